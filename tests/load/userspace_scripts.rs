//! Scripts on connections in user space, against real servers on another host.

use crate::real_servers::{
    Server, asyncio_lines_at, memcached_at, mosquitto_at, nginx_at, redis_at, websockets_at,
};
use crate::run::{load, script_file};
use crate::userspace_hosts::{assert_all_alive, load_over_tun, place_on, with_routed_host};
use echoloop::load::LoadResult;

const IDLE: u64 = 1000;

/// Runs a script on a server, with 1,000 idle connections in user space and these flags; all must be alive.
#[track_caller]
fn verified(server: &Server, script: &str, more: &[&str]) -> LoadResult {
    let fixed = ["--script", script, "--idle", "1000"];
    let output = load_over_tun(&server.address, &[&fixed, more].concat());
    let result = assert_all_alive(&output, IDLE);
    let wrong = |warning: &&String| warning.contains("WRONG");
    assert_eq!(result.warnings.iter().find(wrong), None);
    result
}

#[test]
fn http_script_verifies_nginx_on_another_host() {
    let name = "userspace_scripts::http_script_verifies_nginx_on_another_host";
    with_routed_host(name, |other| {
        if let Some(server) = nginx_at(place_on(other), 1000) {
            verified(&server, "http", &["-d", "500ms"]);
        }
    });
}

/// An HTTP server that announces the end of a connection with each reply.
#[test]
fn connections_that_nginx_closes_are_opened_again() {
    let name = "userspace_scripts::connections_that_nginx_closes_are_opened_again";
    with_routed_host(name, |other| {
        let Some(server) = nginx_at(place_on(other), 1) else {
            return;
        };
        let request = r#"send = "GET / HTTP/1.1\r\nHost: x\r\n\r\n""#;
        let expect = r#"expect = { http = true, ends_with = "hello" }"#;
        let script = script_file(&format!(
            "[message]\n{request}\n{expect}\n[keepalive]\nevery = '500ms'\n{request}\n{expect}\n"
        ));
        // The end is between two rounds of keepalives: nginx would not answer a probe right behind one.
        let result = verified(&server, script.path().to_str().unwrap(), &["-d", "1750ms"]);
        let keepalive = &result.keepalive;
        assert!(keepalive.received > IDLE, "{result:#?}");
        assert_eq!(keepalive.mismatched, 0, "{result:#?}");
        // Once for each reply, and the proofs of some connections, each once.
        let reconnected = result.connections.reconnected;
        let replies = keepalive.received + result.probe.alive;
        let proofs = reconnected - replies.min(reconnected);
        assert!(reconnected >= replies && proofs < IDLE / 10, "{result:#?}");
        assert_eq!(keepalive.unanswered, 0, "{result:#?}");
        // Hardly any: a reset and the SYN after it may arrive in the other order.
        let retransmitted = result.connect.retransmitted;
        assert!(retransmitted < IDLE / 10, "{result:#?}");
    });
}

#[test]
fn redis_script_verifies_redis_on_another_host() {
    let name = "userspace_scripts::redis_script_verifies_redis_on_another_host";
    with_routed_host(name, |other| {
        if let Some(server) = redis_at(place_on(other)) {
            let active = ["--active", "20", "-d", "500ms"];
            let result = verified(&server, "redis", &active);
            assert!(result.echo.received > 0, "{result:#?}");
            assert_eq!(result.echo.unanswered, 0, "{result:#?}");
        }
    });
}

/// Its hello is an HTTP request, which changes the protocol of the connection.
#[test]
fn websocket_script_verifies_websockets_on_another_host() {
    let name = "userspace_scripts::websocket_script_verifies_websockets_on_another_host";
    with_routed_host(name, |other| {
        if let Some(server) = websockets_at(place_on(other)) {
            let active = ["--active", "20", "-d", "500ms"];
            let result = verified(&server, "websocket", &active);
            assert!(result.echo.received > 0, "{result:#?}");
            assert_eq!(result.echo.unanswered, 0, "{result:#?}");
        }
    });
}

#[test]
fn memcached_script_verifies_memcached_on_another_host() {
    let name = "userspace_scripts::memcached_script_verifies_memcached_on_another_host";
    with_routed_host(name, |other| {
        if let Some(server) = memcached_at(place_on(other)) {
            verified(&server, "memcached", &["-d", "500ms"]);
        }
    });
}

#[test]
fn mqtt_script_verifies_mosquitto_on_another_host() {
    let name = "userspace_scripts::mqtt_script_verifies_mosquitto_on_another_host";
    with_routed_host(name, |other| {
        if let Some(server) = mosquitto_at(place_on(other)) {
            verified(&server, "mqtt", &["-d", "500ms"]);
        }
    });
}

/// A server that speaks first, and gets nothing.
#[test]
fn passive_script_holds_connections_and_sends_no_bytes() {
    let name = "userspace_scripts::passive_script_holds_connections_and_sends_no_bytes";
    with_routed_host(name, |other| {
        let Some(server) = asyncio_lines_at(place_on(other)) else {
            return;
        };
        let load = ["--script", "passive", "--idle", "1000", "-d", "500ms"];
        let output = load_over_tun(&server.address, &load);
        assert_eq!(output.code, Some(0), "{output:#?}");
        let result = output.result();
        let connections = &result.connections;
        let counts = (connections.opened, connections.lost);
        assert_eq!(counts, (IDLE, 0), "{result:#?}");
        assert_eq!((result.echo.sent, result.probe.asked), (0, 0));
        // SYN and ACK, and the ACK of the greeting.
        let sent = result.userspace_tcp.unwrap().packets_sent;
        assert!(sent >= 3 * IDLE, "{result:#?}");
    });
}

/// A hello of two steps, one of them without a reply of its own; a reply of several segments; and keepalives.
const ALL_PARTS: &str = r#"
[[hello]]
send = "SETRANGE echoloop 5000 end\r\n"
expect = { resp = true, equals = ":5003\r\n" }
[[hello]]
send = "CLIENT REPLY SKIP\r\n"
[[hello]]
send = "PING skipped\r\n"
[message]
send = "GET echoloop\r\n"
expect = { resp = true, ends_with = "end\r\n" }
[keepalive]
every = "1s"
send = "PING keep-{connection}-{sequence}\r\n"
expect = { resp = true, ends_with = "\r\nkeep-{connection}-{sequence}\r\n" }
"#;

#[test]
fn hello_long_replies_and_keepalives_are_verified_beside_active_connections() {
    let name = "userspace_scripts::hello_long_replies_and_keepalives_are_verified_beside_active_connections";
    with_routed_host(name, |other| {
        let Some(server) = redis_at(place_on(other)) else {
            return;
        };
        let script = script_file(ALL_PARTS);
        let path = script.path().to_str().unwrap();
        for more in [&["-d", "3s"][..], &["-d", "3s", "--active", "50"]] {
            let result = verified(&server, path, more);
            let keepalive = &result.keepalive;
            let bad = (keepalive.mismatched, keepalive.unanswered);
            assert_eq!(bad, (0, 0), "{result:#?}");
            assert!(keepalive.received >= 2 * IDLE, "{result:#?}");
        }
    });
}

#[test]
fn hello_that_is_not_answered_fails_with_its_connection() {
    let name = "userspace_scripts::hello_that_is_not_answered_fails_with_its_connection";
    with_routed_host(name, |other| {
        let Some(server) = redis_at(place_on(other)) else {
            return;
        };
        let hello = "[hello]\nsend = 'PING'\nexpect = { resp = true }\n";
        let message = "[message]\nsend = 'PING\\r\\n'\nexpect = { resp = true }\n";
        let script = script_file(&format!("{hello}{message}"));
        let path = script.path().to_str().unwrap();
        let load = ["--script", path, "--idle", "50", "-d", "1s"];
        let timeout = ["--connect-timeout", "500ms"];
        let output = load_over_tun(&server.address, &[&load[..], &timeout].concat());
        let result = output.result();
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert_eq!(result.connections.failed.hello, 50, "{result:#?}");
        assert_eq!(result.connections.lost, 0, "{result:#?}");
    });
}

/// The text of a script with messages of these sizes.
fn script_with(hello: usize, message: usize, keepalive: usize) -> String {
    let text = |size: usize| "x".repeat(size.saturating_sub(2));
    let part = |size| {
        format!(
            "send = '{}\\r\\n'\nexpect = {{ line = true }}\n",
            text(size)
        )
    };
    format!(
        "[hello]\n{}[message]\n{}[keepalive]\nevery = '1s'\n{}",
        part(hello),
        part(message),
        part(keepalive)
    )
}

/// More than one segment would need a congestion window and its retransmission: an error before the run, for any part.
#[test]
fn parts_of_a_script_that_are_too_large_are_wrong_usage() {
    for (sizes, named) in [
        ((1201, 9, 9), "hello"),
        ((9, 2000, 9), "message"),
        ((9, 9, 2000), "keepalive"),
        ((9, 700, 700), "message and keepalive"),
    ] {
        let (hello, message, keepalive) = sizes;
        let script = script_file(&script_with(hello, message, keepalive));
        let path = script.path().to_str().unwrap();
        let idle = ["--idle", "9", "-d", "1s", "--script", path];
        for place in [
            &["10.0.0.1:1", "--userspace-tcp"][..],
            &["--userspace-tcp=private"],
        ] {
            let output = load(&[place, &idle].concat());
            assert_eq!(output.code, Some(2), "{output:#?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
            for word in [named, "1200 bytes", path] {
                assert!(output.stderr.contains(word), "no {word}: {output:#?}");
            }
        }
    }
}

#[test]
fn largest_parts_of_a_script_are_sent() {
    let name = "userspace_scripts::largest_parts_of_a_script_are_sent";
    with_routed_host(name, |other| {
        let Some(server) = redis_at(place_on(other)) else {
            return;
        };
        let send = |size: usize| format!("send = 'PING {}\\r\\n'", "x".repeat(size - 7));
        let expect = "expect = { resp = true, ends_with = \"xxx\\r\\n\" }";
        let script = script_file(&format!(
            "[hello]\n{0}\n{expect}\n[message]\n{0}\n{expect}\n",
            send(1200)
        ));
        verified(&server, script.path().to_str().unwrap(), &["-d", "100ms"]);
    });
}
