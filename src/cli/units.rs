//! The units that users type: durations, sizes, counts, rates. Addresses are in [`addresses`](super::addresses).

use crate::net::SocketBuffer;
use std::time::Duration;

/// In nanoseconds. A number without a unit is in seconds, as for sleep(1) and ping(8).
const DURATIONS: [(&str, u64); 8] = [
    ("", 1_000_000_000),
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// In bytes. A single letter is a power of 1024, as for dd(1) and nginx.
const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("k", 1 << 10),
    ("K", 1 << 10),
    ("m", 1 << 20),
    ("M", 1 << 20),
    ("g", 1 << 30),
    ("G", 1 << 30),
];

const COUNTS: [(&str, u64); 7] = [
    ("", 1),
    ("k", 1_000),
    ("K", 1_000),
    ("m", 1_000_000),
    ("M", 1_000_000),
    ("g", 1_000_000_000),
    ("G", 1_000_000_000),
];

/// A duration such as `100us`, `500ms`, `30s`, `5m`, `1h`, `1d`, or `30` in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = with_unit(text, &DURATIONS).map(Duration::from_nanos);
    nanoseconds.ok_or_else(|| "not a duration: write 100us, 500ms, 30s, 5m, 1h or 1d".to_owned())
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

/// A size in bytes such as `4096`, `64KiB` or `64k`, `1MiB` or `1M`; also `10kB` and `1MB`, which are powers of ten.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let bytes = with_unit(text, &SIZES);
    bytes.ok_or_else(|| "not a size: write 4096, 64k, 64KiB, 1MiB or 2GiB".to_owned())
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

/// A count such as `500`, `10k`, `10K`, `1m`.
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
    let suffixes = [("kK", 1e3), ("mM", 1e6), ("gG", 1e9)].into_iter();
    let mut matching = suffixes.filter_map(|(units, scale)| {
        let number = text.strip_suffix(|c: char| units.contains(c))?;
        Some((number, scale))
    });
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
    fn durations_take_units_and_plain_seconds() {
        assert_eq!(duration("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "s",
            "5parsecs",
            "5D",
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
        for (text, per_second) in [("20K", 2e4), ("1m", 1e6), ("1.5M", 1.5e6), ("1g", 1e9)] {
            assert_eq!(rate(text), Ok(Some(per_second)), "{text}");
        }
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
        for (text, bytes, number) in [
            ("64k", 64 << 10, 64_000),
            ("64K", 64 << 10, 64_000),
            ("3m", 3 << 20, 3_000_000),
            ("3M", 3 << 20, 3_000_000),
            ("2g", 2 << 30, 2_000_000_000),
            ("2G", 2 << 30, 2_000_000_000),
        ] {
            assert_eq!((size(text), count(text)), (Ok(bytes), Ok(number)), "{text}");
        }
        for wrong in ["", "abc", "1QiB", "-1", "0.3B", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
            assert!(count(wrong).is_err(), "{wrong}");
        }
        assert!(message_size("64MiB").is_ok() && message_size("65MiB").is_err());
        assert!(backlog("0").is_err() && backlog("4096") == Ok(4096));
    }
}
