//! The units that users type: durations, sizes, counts, rates, addresses.

use crate::net::SocketBuffer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// In nanoseconds.
const DURATIONS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// In bytes.
const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const COUNTS: [(&str, u64); 3] = [("", 1), ("k", 1_000), ("m", 1_000_000)];

/// A duration such as `100us`, `500ms`, `30s`, `5m`, `1h`, or `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = if text == "0" { "0s" } else { text };
    let nanoseconds = with_unit(text, &DURATIONS).map(Duration::from_nanos);
    nanoseconds.ok_or_else(|| "not a duration: write 100us, 500ms, 30s, 5m or 1h".to_owned())
}

/// A duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    positive(duration(text)?)
}

/// A keepalive time: the kernel takes 1 to 32,767 whole seconds (tcp(7), `TCP_KEEPIDLE`).
pub(super) fn keepalive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if (1..=32_767).contains(&time.as_secs()) && time.subsec_nanos() == 0 => Ok(time),
        _ => Err("the kernel takes whole seconds, from 1s to 32767s".to_owned()),
    }
}

/// A size in bytes such as `4096`, `64KiB`, `1MiB`, `2GiB`; also `10kB` and `1MB`, which are powers of ten.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let bytes = with_unit(text, &SIZES);
    bytes.ok_or_else(|| "not a size: write 4096, 64KiB, 1MiB or 2GiB".to_owned())
}

/// A size in bytes that is not zero.
pub(super) fn positive_size(text: &str) -> Result<usize, String> {
    positive(size(text)?)
}

/// The size of a generated message: several copies of one are in memory at the same time.
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
    let count = with_unit(text, &COUNTS);
    count.ok_or_else(|| "not a count: write 500, 10k or 1m".to_owned())
}

/// A count that is not zero.
pub(super) fn positive_count(text: &str) -> Result<usize, String> {
    positive(count(text)?)
}

/// A number per second such as `0.5`, `100`, `20k`; `max` is `None`.
pub(super) fn rate(text: &str) -> Result<Option<f64>, String> {
    if text == "max" {
        return Ok(None);
    }
    let suffixes = [('k', 1e3), ('m', 1e6)].into_iter();
    let mut matching = suffixes.filter_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = matching.next().unwrap_or((text, 1.0));
    let is_plain = number.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && is_plain => Ok(Some(number * scale)),
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

fn positive<T: Default + PartialEq>(value: T) -> Result<T, String> {
    if value == T::default() {
        return Err("must be more than zero".to_owned());
    }
    Ok(value)
}

/// An address to listen on, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenAddress(String);

impl ListenAddress {
    /// Checks the form only: resolving a name may block.
    pub(super) fn parse(text: &str) -> Result<ListenAddress, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let is_host = if host.starts_with('[') && host.ends_with(']') {
            text.parse::<SocketAddr>().is_ok()
        } else {
            !host.contains(|c: char| c == ':' || c.is_whitespace())
        };
        if is_host && port_number(port).is_some() {
            Ok(ListenAddress(text.to_owned()))
        } else {
            Err("not an address: write HOST:PORT, [V6]:PORT or :PORT".to_owned())
        }
    }

    /// All its addresses; resolves a name, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let all_interfaces = if self.0.starts_with(':') { "[::]" } else { "" };
        let addresses = format!("{all_interfaces}{}", self.0).to_socket_addrs()?;
        Ok(addresses.collect())
    }

    /// As typed.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An address to connect to, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetAddress(String);

impl TargetAddress {
    /// As [`ListenAddress::parse`], without port 0.
    pub(super) fn parse(text: &str) -> Result<TargetAddress, String> {
        let ListenAddress(text) = ListenAddress::parse(text)?;
        let port = text.rsplit_once(':').map(|(_, port)| port_number(port));
        if port == Some(Some(0)) {
            return Err("port 0 cannot be connected to: write HOST:PORT".to_owned());
        }
        Ok(TargetAddress(text))
    }

    /// The server that `load` starts on 127.0.0.1, with a port that is not known yet.
    pub(super) fn own_server() -> TargetAddress {
        TargetAddress("127.0.0.1:0".to_owned())
    }

    /// All its addresses, in the order of the resolver; resolves a name, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.literal_addresses() {
            Some(addresses) => Ok(addresses),
            None => Ok(self.0.to_socket_addrs()?.collect()),
        }
    }

    /// All its addresses, unless it is a name; this machine's in place of the unspecified address.
    pub(super) fn literal_addresses(&self) -> Option<Vec<SocketAddr>> {
        let all_interfaces = if self.0.starts_with(':') { "[::]" } else { "" };
        let address: SocketAddr = format!("{all_interfaces}{}", self.0).parse().ok()?;
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
        Some(match (address.ip().is_unspecified(), address.is_ipv4()) {
            (false, _) => vec![address],
            (true, true) => vec![v4],
            (true, false) => vec![v4, v6],
        })
    }

    /// As typed.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An address to connect from, as typed: an IP address, with or without a port.
pub(super) fn local_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let with_port_0 = |ip: IpAddr| SocketAddr::new(ip, 0);
    text.parse()
        .or_else(|_| bare.unwrap_or(text).parse().map(with_port_0))
        .map_err(|_| "not an address: write IP or IP:PORT, such as 127.0.0.2".to_owned())
}

/// A port as typed: digits, and no sign.
fn port_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// A decimal number followed by one of `units`, as a multiple of the smallest; it must be whole.
fn with_unit<T: TryFrom<u64>>(text: &str, units: &[(&str, u64)]) -> Option<T> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.parse::<u64>().ok()?.checked_mul(*scale)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(*scale)?;
    let is_whole = fraction % parts == 0;
    let number = whole.checked_add(fraction / parts).filter(|_| is_whole)?;
    T::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_unless_they_are_0() {
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
    fn rates_are_positive_numbers_or_max() {
        assert_eq!(rate("max"), Ok(None));
        assert_eq!(rate("0.5"), Ok(Some(0.5)));
        assert_eq!(rate("20k"), Ok(Some(20_000.0)));
        for wrong in ["", "0", "-1", "fast", "5s", "1e3", "k", "+1", "inf"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(positive_count("0").is_err() && positive_count("1") == Ok(1));
    }

    #[test]
    fn sizes_and_counts_take_their_units() {
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
    fn addresses_take_a_host_and_a_port() {
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
        for port_0 in ["localhost:0", "localhost:00", ":0", "[::1]:000"] {
            assert!(TargetAddress::parse(port_0).is_err(), "{port_0}");
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
