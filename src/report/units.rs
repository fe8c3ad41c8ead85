//! Figures as text, each in the unit that suits its size.

use crate::numbers::grouped;

pub(super) use crate::numbers::{as_f64, whole};

/// The sum of a count over all items; it saturates, since a saved result may contain any number.
#[inline(never)]
pub(super) fn total<T>(all: &[T], count: impl Fn(&T) -> u64) -> u64 {
    all.iter().map(count).fold(0, u64::saturating_add)
}

/// The number, or zero if it is infinite or NaN.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

/// The number of nines of a percentile: 1 for 90, 2 for 99.
pub(super) fn nines(percent: f64) -> f64 {
    -((100.0 - percent).max(1e-9) / 100.0).log10()
}

/// A size in bytes.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.0} KiB", as_f64(count) / 1024.0),
        10_000_000..10_000_000_000 => format!("{:.1} MiB", as_f64(count) / 1024.0 / 1024.0),
        _ => format!("{:.1} GiB", as_f64(count) / 1024.0 / 1024.0 / 1024.0),
    }
}

/// Bytes per second.
pub(super) fn bytes_per_second(rate: f64) -> String {
    format!("{:.1} MB/s", finite(rate) / 1e6)
}

/// A time in microseconds, to three digits: `397 us`, `1.23 ms`, `2.5 s`.
#[must_use]
pub fn time(microseconds: f64) -> String {
    match finite(microseconds) {
        us @ ..999.5 => format!("{} us", three_digits(us)),
        us @ ..999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// A time in whole microseconds, as [`time()`] formats it.
pub(super) fn micros(microseconds: u64) -> String {
    time(as_f64(microseconds))
}

/// A number short enough for an axis or a tile: `950`, `12.3k`, `1.2M`.
#[must_use]
pub fn short(number: f64) -> String {
    match finite(number) {
        number @ ..1000.0 => three_digits(number),
        number @ ..9999.5 => grouped(whole(number)),
        number @ ..999_500.0 => format!("{}k", three_digits(number / 1e3)),
        number @ ..999_500_000.0 => format!("{}M", three_digits(number / 1e6)),
        number => format!("{}G", three_digits(number / 1e9)),
    }
}

/// A number as [`short`] formats it, with `k` from 1,000 on if the largest of its column has it.
pub(super) fn short_beside(number: f64, largest: f64) -> String {
    if largest >= 9999.5 && (1000.0..999_500.0).contains(&number) {
        format!("{}k", three_digits(number / 1e3))
    } else {
        short(number)
    }
}

/// Seconds, with a fraction only where there is one: `10 s`, `2.5 s`.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{} s", trimmed(format!("{:.3}", finite(seconds))))
}

/// Three significant digits, without trailing zeros.
fn three_digits(number: f64) -> String {
    trimmed(match number.abs() {
        0.0..9.995 => format!("{number:.2}"),
        9.995..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    })
}

fn trimmed(number: String) -> String {
    if !number.contains('.') {
        return number;
    }
    let digits = number.trim_end_matches('0');
    digits.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_their_size() {
        for (microseconds, written) in [
            (0.0, "0 us"),
            (4.25, "4.25 us"),
            (397.0, "397 us"),
            (999.9, "1 ms"),
            (1234.0, "1.23 ms"),
            (31_055.0, "31.1 ms"),
            (999_900.0, "1 s"),
            (60_000_000.0, "60 s"),
            (f64::NAN, "0 us"),
        ] {
            assert_eq!(time(microseconds), written);
        }
    }

    #[test]
    fn large_numbers_are_abbreviated() {
        for (number, written) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (950.0, "950"),
            (9971.0, "9,971"),
            (12_345.0, "12.3k"),
            (999_900.0, "1M"),
            (2_500_000.0, "2.5M"),
            (3e9, "3G"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(short(number), written);
        }
        assert_eq!(seconds(10.0), "10 s");
        assert_eq!(seconds(2.5004), "2.5 s");
        assert_eq!(bytes(4096), "4096 B");
        assert_eq!(bytes(6_197_248), "6052 KiB");
        assert_eq!(bytes(5_000_000_000), "4768.4 MiB");
    }
}
