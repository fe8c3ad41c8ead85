//! Figures as people read them: times and sizes in the unit that suits them.

use crate::load::Connect;
use crate::numbers::grouped;

pub(super) use crate::numbers::{as_f64, whole};

/// SYN retransmits: the load's own, and those of all programs on its machine. An old result has only the latter.
pub(super) fn syn_retransmits(connect: &Connect) -> String {
    let count = grouped(connect.retransmitted);
    match connect.machine_retransmitted {
        Some(all) => format!("{count} SYN retransmits (machine: {})", grouped(all)),
        None => format!("{count} SYN retransmits on the machine"),
    }
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

/// A time, from microseconds, to three digits: `397 µs`, `1.23 ms`, `2.5 s`.
pub(super) fn time(microseconds: f64) -> String {
    let microseconds = finite(microseconds);
    if microseconds < 999.5 {
        return format!("{} µs", three_digits(microseconds));
    }
    if microseconds < 999_500.0 {
        return format!("{} ms", three_digits(microseconds / 1e3));
    }
    format!("{} s", three_digits(microseconds / 1e6))
}

/// A number short enough for an axis or a headline: `950`, `12.3k`, `1.2M`.
pub(super) fn short(number: f64) -> String {
    let number = finite(number);
    if number < 9999.5 {
        return count_or_three_digits(number);
    }
    if number < 999_500.0 {
        return format!("{}k", three_digits(number / 1e3));
    }
    if number < 999_500_000.0 {
        return format!("{}M", three_digits(number / 1e6));
    }
    format!("{}G", three_digits(number / 1e9))
}

/// A number as [`short`] writes it, beside others of which `largest` is the largest: thousands alike.
pub(super) fn short_beside(number: f64, largest: f64) -> String {
    let number = finite(number);
    if largest >= 9999.5 && (1000.0..999_500.0).contains(&number) {
        format!("{}k", three_digits(number / 1e3))
    } else {
        short(number)
    }
}

/// Seconds, without a fraction where there is none: `10 s`, `2.5 s`.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{} s", trimmed(format!("{:.3}", finite(seconds))))
}

/// In per cent of one processor.
pub(super) fn processor(percent: f64) -> String {
    format!("{:.0} % of a processor", finite(percent))
}

/// The id of a process, of which the sum of several has none.
pub(super) fn process(pid: u32) -> String {
    match pid {
        0 => "several processes".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// What is no number is nothing.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

fn count_or_three_digits(number: f64) -> String {
    if number >= 1000.0 {
        grouped(whole(number))
    } else {
        three_digits(number)
    }
}

/// Three digits that mean something, without zeros behind the point.
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
    number
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_unit_that_suits_them() {
        for (microseconds, written) in [
            (0.0, "0 µs"),
            (4.25, "4.25 µs"),
            (397.0, "397 µs"),
            (999.9, "1 ms"),
            (1234.0, "1.23 ms"),
            (31_055.0, "31.1 ms"),
            (999_900.0, "1 s"),
            (60_000_000.0, "60 s"),
            (f64::NAN, "0 µs"),
        ] {
            assert_eq!(time(microseconds), written);
        }
    }

    #[test]
    fn large_numbers_are_short() {
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
