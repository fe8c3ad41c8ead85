//! The units in which people type: durations, sizes, counts, addresses.

use crate::net::SocketBuffer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A duration such as `100us`, `500ms`, `30s`, `5m`, `1h`, or `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const NANOSECONDS: [(&str, u64); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split(text);
    let scale = NANOSECONDS.iter().find(|(name, _)| *name == unit);
    scale
        .and_then(|(_, scale)| scaled(number, *scale))
        .map(Duration::from_nanos)
        .ok_or_else(|| "not a duration: write 100us, 500ms, 30s, 5m or 1h".to_owned())
}

/// A duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than zero".to_owned()),
        duration => Ok(duration),
    }
}

/// A keepalive time: the kernel takes 1 to 32,767 whole seconds (tcp(7), `TCP_KEEPIDLE`).
pub(super) fn keepalive(text: &str) -> Result<Duration, String> {
    let silence = duration(text)?;
    if (1..=32_767).contains(&silence.as_secs()) && silence.subsec_nanos() == 0 {
        Ok(silence)
    } else {
        Err("the kernel takes whole seconds, from 1s to 32767s".to_owned())
    }
}

/// A size in bytes such as `4096`, `64KiB`, `1MiB`, `2GiB`; also `10kB` and `1MB`, which are powers of ten.
pub(super) fn size(text: &str) -> Result<usize, String> {
    const BYTES: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let (number, unit) = split(text);
    let scale = BYTES.iter().find(|(name, _)| *name == unit);
    scale
        .and_then(|(_, scale)| scaled(number, *scale))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "not a size: write 4096, 64KiB, 1MiB or 2GiB".to_owned())
}

/// A size in bytes that is not zero.
pub(super) fn positive_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Err("must be more than zero".to_owned()),
        size => Ok(size),
    }
}

/// The size of a message that is made up here. One is held several times over, once at each place that it waits in.
pub(super) fn message_size(text: &str) -> Result<usize, String> {
    match positive_size(text)? {
        size if size <= 1 << 26 => Ok(size),
        _ => Err("at most 64MiB".to_owned()),
    }
}

/// The size of a socket buffer: the kernel doubles it, in an `int` (socket(7), `SO_SNDBUF`). Or `kernel`.
pub(super) fn socket_buffer(text: &str) -> Result<SocketBuffer, String> {
    if text == "kernel" {
        return Ok(SocketBuffer::Kernel);
    }
    match positive_size(text)? {
        size if size <= 1 << 30 => Ok(SocketBuffer::Size(size)),
        _ => Err("at most 1GiB, or `kernel`".to_owned()),
    }
}

/// A count such as `500`, `10k`, `1m`.
pub(super) fn count(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "" => Some(1),
        "k" => Some(1_000),
        "m" => Some(1_000_000),
        _ => None,
    };
    scale
        .and_then(|scale| scaled(number, scale))
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| "not a count: write 500, 10k or 1m".to_owned())
}

/// A count that is not zero.
pub(super) fn positive_count(text: &str) -> Result<usize, String> {
    match count(text)? {
        0 => Err("must be more than zero".to_owned()),
        count => Ok(count),
    }
}

/// A number per second such as `0.5`, `100`, `20k`, or `max`, which is none.
pub(super) fn rate(text: &str) -> Result<Option<f64>, String> {
    if text == "max" {
        return Ok(None);
    }
    let (number, unit) = split(text);
    let scale = match unit {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        _ => 0.0,
    };
    match number.parse::<f64>() {
        Ok(number) if number * scale > 0.0 => Ok(Some(number * scale)),
        _ => Err("not a rate: write 0.5, 100, 20k, 1m or max".to_owned()),
    }
}

/// A count that fits the kernel's `int` and is not zero.
pub(super) fn backlog(text: &str) -> Result<u32, String> {
    match count(text).map(u32::try_from)? {
        Ok(backlog) if (1..=i32::MAX.unsigned_abs()).contains(&backlog) => Ok(backlog),
        _ => Err("from 1 to 2147483647".to_owned()),
    }
}

/// An address to listen on, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenAddress {
    text: String,
}

impl ListenAddress {
    /// Its form is checked here; whether a name resolves is found out later, since that may take long.
    pub(super) fn parse(text: &str) -> Result<ListenAddress, String> {
        let wrong = || "not an address: write HOST:PORT, [V6]:PORT or :PORT".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        port_number(port).ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if (host.contains(':') && !bracketed) || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        if bracketed && text.parse::<SocketAddr>().is_err() {
            return Err(wrong());
        }
        let text = text.to_owned();
        Ok(ListenAddress { text })
    }

    /// All addresses that it stands for; looks names up, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let text = match self.text.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => self.text.clone(),
        };
        Ok(text.to_socket_addrs()?.collect())
    }

    /// As it was typed.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// An address to connect to, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetAddress {
    text: String,
}

impl TargetAddress {
    /// As [`ListenAddress::parse`], but port 0 is nobody's.
    pub(super) fn parse(text: &str) -> Result<TargetAddress, String> {
        let ListenAddress { text } = ListenAddress::parse(text)
            .map_err(|_| "not an address: write HOST:PORT, [V6]:PORT or :PORT".to_owned())?;
        let port = text
            .rsplit_once(':')
            .and_then(|(_, port)| port_number(port));
        if port == Some(0) {
            return Err("nobody listens on port 0: write HOST:PORT".to_owned());
        }
        Ok(TargetAddress { text })
    }

    /// The server that `load` starts on 127.0.0.1; its port is not known before.
    pub(super) fn own_server() -> TargetAddress {
        TargetAddress {
            text: "127.0.0.1:0".to_owned(),
        }
    }

    /// All addresses that it stands for, in the order of the resolver; looks names up, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.literal_addresses() {
            Some(addresses) => Ok(addresses),
            None => Ok(self.text.to_socket_addrs()?.collect()),
        }
    }

    /// All addresses that it stands for, unless it is a name; the unspecified address stands for this machine.
    pub(super) fn literal_addresses(&self) -> Option<Vec<SocketAddr>> {
        let address: SocketAddr = match self.text.strip_prefix(':') {
            Some(port) => format!("[::]:{port}").parse().ok()?,
            None => self.text.parse().ok()?,
        };
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
        Some(match (address.ip().is_unspecified(), address.is_ipv4()) {
            (false, _) => vec![address],
            (true, true) => vec![v4],
            (true, false) => vec![v4, v6],
        })
    }

    /// As it was typed.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// An address to connect from, as typed: an IP address, with or without a port.
pub(super) fn local_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    text.parse()
        .or_else(|_| {
            bare.unwrap_or(text)
                .parse()
                .map(|ip: IpAddr| (ip, 0).into())
        })
        .map_err(|_| "not an address: write IP or IP:PORT, such as 127.0.0.2".to_owned())
}

/// A port as typed: digits, and no sign.
fn port_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// The number at the front of `text`, and what stands behind it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    text.split_at(end.unwrap_or(text.len()))
}

/// `number` times `scale`, where it is a plain decimal that comes out whole.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.contains('.') && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = match fraction {
        "" => 0,
        digits => digits.parse::<u64>().ok()?.checked_mul(scale)?,
    };
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    (fraction % parts == 0).then(|| whole.checked_add(fraction / parts))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "s",
            "5",
            "5parsecs",
            "-5s",
            "1.s",
            "5 s",
            "99999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(positive_duration("0").is_err());
        assert!(keepalive("100ms").is_err() && keepalive("30s").is_ok());
    }

    #[test]
    fn socket_buffer_is_a_size_or_kernel() {
        assert_eq!(socket_buffer("64KiB"), Ok(SocketBuffer::Size(65_536)));
        assert_eq!(socket_buffer("kernel"), Ok(SocketBuffer::Kernel));
        for wrong in ["0", "Kernel", "kernel1", "2GiB", ""] {
            assert!(socket_buffer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_as_people_write_them() {
        assert_eq!(rate("max"), Ok(None));
        assert_eq!(rate("0.5"), Ok(Some(0.5)));
        assert_eq!(rate("20k"), Ok(Some(20_000.0)));
        for wrong in ["", "0", "-1", "fast", "5s", "1e3"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(positive_count("0").is_err() && positive_count("1") == Ok(1));
    }

    #[test]
    fn sizes_and_counts_as_people_write_them() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1m"), Ok(1_000_000));
        assert_eq!(count("1.5k"), Ok(1500));
        for wrong in ["", "abc", "1QiB", "-1", "0.3B", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
            assert!(count(wrong).is_err(), "{wrong}");
        }
        assert!(message_size("64MiB").is_ok() && message_size("65MiB").is_err());
        assert!(backlog("0").is_err() && backlog("4096") == Ok(4096));
    }

    #[test]
    fn addresses_as_people_write_them() {
        for right in [
            "127.0.0.1:8000",
            "[::1]:8000",
            ":8000",
            "localhost:0",
            "*:1",
        ] {
            assert!(ListenAddress::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "nonsense",
            "8000",
            "::1:8000",
            "[::1]",
            "[nonsense]:1",
            "a b:1",
            "x:+1",
            "x:65536",
        ] {
            assert!(ListenAddress::parse(wrong).is_err(), "{wrong}");
        }
        for address in [":8000", "localhost:1", "[::1]:8000"] {
            assert!(TargetAddress::parse(address).is_ok(), "{address}");
        }
        for nobodys in ["localhost:0", "localhost:00", ":0", "[::1]:000"] {
            assert!(TargetAddress::parse(nobodys).is_err(), "{nobodys}");
        }
        let here = TargetAddress::parse(":7000").unwrap().resolve().unwrap();
        assert_eq!(here[0], "127.0.0.1:7000".parse().unwrap());
        for (typed, address) in [
            ("127.0.0.2", "127.0.0.2:0"),
            ("127.0.0.2:5", "127.0.0.2:5"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(local_address(typed), Ok(address.parse().unwrap()));
        }
        assert!(local_address("localhost").is_err());
        let all = ListenAddress::parse(":7000").unwrap().resolve().unwrap();
        assert_eq!(all, ["[::]:7000".parse().unwrap()]);
    }
}
