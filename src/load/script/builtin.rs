//! The built-in scripts, as files that users can copy.

/// Their names.
pub(super) const NAMES: [&str; 6] = ["passive", "http", "websocket", "redis", "memcached", "mqtt"];

/// The text of the script with this name.
pub(super) fn source(name: &str) -> Option<&'static str> {
    Some(match name {
        "echo" => include_str!("builtin/echo.toml"),
        "passive" => include_str!("builtin/passive.toml"),
        "http" => include_str!("builtin/http.toml"),
        "websocket" => include_str!("builtin/websocket.toml"),
        "redis" => include_str!("builtin/redis.toml"),
        "memcached" => include_str!("builtin/memcached.toml"),
        "mqtt" => include_str!("builtin/mqtt.toml"),
        _ => return None,
    })
}
