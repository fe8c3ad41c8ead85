//! The comparison as a table of 80 columns.

use super::{Comparison, Row};
use crate::numbers::{as_f64, grouped, whole};
use std::fmt::Write;

const HEADER: &str =
    "pattern     opened accept echoes/s CPU us  p50 ms  p99 ms  tasks     PSS switch";

/// Below the table.
const LEGEND: &str = "\
opened   idle clients that the kernel has connected; the server accepts later
accept   those that the server has accepted; up to 129 others wait in the
         accept queue of each listener (std listens with a backlog of 128)
p50, p99 response time, from when a message was due
CPU us   per echo, user and system, of all processes of the server
switch   context switches per echo
tasks    threads of all processes; PSS: their memory, shared pages counted once
";

/// Formats the comparison for a terminal.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n\n{HEADER}\n", headline(comparison));
    for row in &comparison.patterns {
        let _ = writeln!(text, "{}", line(row));
    }
    text.push('\n');
    text.push_str(LEGEND);
    if let Some(cost) = comparison.serial_cpu_us_per_echo {
        let _ = writeln!(
            text,
            "\nThe serial server with one client takes {cost:.1} us of CPU per echo at this rate.\n\
             What a pattern takes above that is process control (Stevens, UNP 30.13). An\n\
             event loop can be below it: one wake-up serves several clients."
        );
    }
    for note in notes(comparison) {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// What was measured, in two lines.
fn headline(comparison: &Comparison) -> String {
    let idle = comparison.patterns.first().map_or(0, |row| row.idle.asked);
    let [idle, active] = [idle, comparison.active].map(|count| grouped(count as u64));
    let rate = grouped(comparison.rate.into());
    format!(
        "First {idle} idle clients, then {active} active ones that send {rate} messages per\n\
         second; {}. Pools have {} threads or processes.",
        time(comparison),
        comparison.workers
    )
}

/// How long each row was measured.
pub(super) fn time(comparison: &Comparison) -> String {
    let seconds = comparison.seconds;
    match comparison.rounds {
        1 => format!("{seconds} s each"),
        rounds => format!("{seconds} s each, the median of {rounds} rounds"),
    }
}

/// What the marks mean, if there are any.
pub(super) fn notes(comparison: &Comparison) -> Vec<&'static str> {
    let has = |mark: fn(&Row) -> bool| comparison.patterns.iter().any(mark);
    let mut notes = Vec::new();
    if has(|row| row.saturated) {
        notes.push("* The load had no CPU time left or was late: it is the limit, not the server.");
    }
    if has(|row| row.overloaded && !row.saturated) {
        notes.push("+ The server did not keep up; response times grow with the duration.");
    }
    notes
}

/// The mark behind the rate.
pub(super) fn mark(row: &Row) -> &'static str {
    match row {
        Row {
            saturated: true, ..
        } => "*",
        Row {
            overloaded: true, ..
        } => "+",
        _ => "",
    }
}

fn line(row: &Row) -> String {
    let [opened, accepted] = [row.idle.opened, row.idle.accepted].map(|n| grouped(n as u64));
    let rate = grouped(whole(row.echoes_per_second));
    let begin = format!(
        "{:<11} {opened:>6} {accepted:>6} {rate:>8}{:1}",
        row.pattern,
        mark(row)
    );
    if let Some(failure) = &row.failure {
        return format!("{begin} {}", shortened(&failure.reason, 43));
    }
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let time = |value: Option<u64>| match value {
        Some(us) => format!("{:.2}", as_f64(us) / 1000.0),
        None => "-".to_owned(),
    };
    format!(
        "{begin}{:>6} {:>7} {:>7} {:>6} {:>7} {:>6}",
        number(row.cpu_us_per_echo),
        time(row.p50_us),
        time(row.p99_us),
        grouped(row.threads.into()),
        row.pss_bytes.map_or("-".to_owned(), size),
        number(row.switches_per_echo),
    )
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 3).collect();
    kept + "..."
}

/// A size in the unit that suits it, to three digits.
pub(super) fn size(bytes: u64) -> String {
    let mib = as_f64(bytes) / 1024.0 / 1024.0;
    match mib {
        ..9.95 => format!("{mib:.1} MiB"),
        ..999.5 => format!("{mib:.0} MiB"),
        ..10_000.0 => format!("{:.1} GiB", mib / 1024.0),
        _ => format!("{:.0} GiB", mib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::experiment::sample;

    #[test]
    fn table_fits_80_columns_and_shows_each_pattern() {
        let comparison = sample::comparison();
        let text = text(&comparison);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for row in &comparison.patterns {
            let shown = text.lines().find(|line| line.starts_with(row.pattern));
            let shown = shown.unwrap_or_else(|| panic!("{}: {text}", row.pattern));
            let reason = row.failure.as_ref().map(|failure| &failure.reason[..20]);
            assert!(
                reason.is_none_or(|reason| shown.contains(reason)),
                "{shown}"
            );
        }
        assert!(text.contains("10.0 us of CPU per echo"), "{text}");
    }

    #[test]
    fn saturated_load_and_overloaded_server_are_marked() {
        let mut comparison = sample::comparison();
        assert!(!text(&comparison).contains("\n* ") && !text(&comparison).contains("\n+ "));
        comparison.patterns[0].saturated = true;
        comparison.patterns[1].overloaded = true;
        let text = text(&comparison);
        assert!(
            text.contains("5,000*") && text.contains("\n* The load"),
            "{text}"
        );
        assert!(
            text.contains("+ ") && text.contains("\n+ The server"),
            "{text}"
        );
    }

    #[test]
    fn sizes_have_three_digits() {
        let mib = 1024 * 1024;
        assert_eq!(size(mib / 2), "0.5 MiB");
        assert_eq!(size(133 * mib), "133 MiB");
        assert_eq!(size(1_109 * mib), "1.1 GiB");
        assert_eq!(size(20_480 * mib), "20 GiB");
    }
}
