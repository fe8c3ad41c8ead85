//! A result as text on one screen: warnings first, then the figures, aligned.

use super::facts::{self, FIGURES, figures};
use super::find;
use super::units::{bytes, bytes_per_second, whole};
use crate::load::{FIGURE_KEYS, LoadResult, LowerBounds, Summary};
use crate::numbers::grouped;
use crate::wrap::{Break, wrapped};
use std::fmt::Write;

/// The width of the column of names.
pub(super) const NAMES: usize = 16;

/// The width of a column of times: eight of them and the names are 80 columns.
const CELL: usize = 8;

/// Formats a result as text.
#[must_use]
pub fn text(result: &LoadResult) -> String {
    let mut page = Page(result.find.as_ref().map(find::text).unwrap_or_default());
    page.warnings(result);
    page.counts(result);
    page.times(result);
    page.processes(result);
    page.expectations(result);
    page.0
}

/// The line for the server's memory after all connections were closed, which is measured after the result is printed.
#[must_use]
pub fn after_closing(result: &LoadResult) -> Option<String> {
    let server = result.server.as_ref()?;
    let after = bytes(server.rss_after_bytes);
    let mut page = Page(String::new());
    let text = format!("{after} resident after all connections were closed");
    page.line("server", &text);
    (server.rss_after_bytes > 0).then_some(page.0)
}

struct Page(String);

impl Page {
    /// A line of the table, which fits as it is.
    fn cells(&mut self, name: &str, cells: &str) {
        let _ = writeln!(self.0, "{name:<NAMES$}{cells}");
    }

    fn line(&mut self, name: &str, text: &str) {
        let [first, indent] = [name, ""].map(|name| format!("{name:<NAMES$}"));
        self.0 += &wrapped(&first, &indent, text, Break::Clauses);
    }

    fn warnings(&mut self, result: &LoadResult) {
        for warning in &result.warnings {
            self.0 += &wrapped("!! ", "   ", warning, Break::Words);
        }
        if !result.warnings.is_empty() {
            self.0.push('\n');
        }
    }

    fn counts(&mut self, result: &LoadResult) {
        let (target, seconds, started) = (&result.target, result.seconds, &result.started);
        let target = format!("{target}, measured {seconds:.1} s from {started}");
        self.line("target", &target);
        for (name, text) in facts::clocks(result) {
            self.line(name, &text);
        }
        self.line("connections", &facts::connections(result));
        let (connect, echo, probe) = (&result.connect, &result.echo, &result.probe);
        let connects = facts::connects(connect);
        self.line("connects", &format!("{:.2} s, {connects}", connect.seconds));
        if let Some(userspace) = &result.userspace_tcp {
            self.line("userspace TCP", &facts::userspace_tcp(userspace));
        }
        if let Some(handshakes) = &connect.handshakes {
            self.line("TLS handshakes", &facts::handshakes(handshakes));
        }
        if !echo.is_none() {
            self.line("echoes", &facts::echoes(echo));
            self.line("outstanding", &facts::outstanding(echo));
            let rate = grouped(whole(echo.per_second));
            let bytes = bytes_per_second(echo.bytes_per_second);
            self.line("rate", &format!("{rate} per second, {bytes} each way"));
        }
        if result.keepalive.sent > 0 {
            self.line("keepalives", &facts::keepalive(&result.keepalive));
        }
        if probe.asked > 0 {
            self.line("probe", &facts::probe(probe));
        }
    }

    fn times(&mut self, result: &LoadResult) {
        self.0.push('\n');
        self.row("us", FIGURES.map(str::to_owned));
        let (echo, exact) = (&result.echo, &LowerBounds::default());
        let bounds = &echo.response_time_lower_bounds;
        let has_echoes = !echo.is_none();
        let handshake = result.connect.handshake_us.clone().unwrap_or_default();
        for (name, times, bounds, is_expected) in [
            ("response time", &echo.response_time_us, bounds, has_echoes),
            ("service time", &echo.service_time_us, exact, has_echoes),
            ("schedule lag", &result.generator.lag_us, exact, false),
            ("connect time", &result.connect.time_us, exact, false),
            ("TLS handshake", &handshake, exact, false),
        ] {
            if times.count > 0 || is_expected {
                self.row(name, cells(times, bounds));
            }
        }
    }

    fn row(&mut self, name: &str, cells: [String; 8]) {
        let cells = cells.map(|cell| format!("{cell:>CELL$}"));
        self.cells(name, &cells.concat());
    }

    fn processes(&mut self, result: &LoadResult) {
        self.0.push('\n');
        self.line("load tester", &facts::cpu(result.generator.cpu_percent));
        if let Some(server) = &result.server {
            self.line("server", &facts::server(server));
        }
    }

    fn expectations(&mut self, result: &LoadResult) {
        if !result.expect.is_empty() {
            self.0.push('\n');
        }
        for expectation in &result.expect {
            let verdict = if expectation.met { "met" } else { "MISSED" };
            let (expr, found) = (&expectation.expr, expectation.found());
            self.line("expected", &format!("{expr}: {verdict} ({found})"));
        }
    }
}

/// The figures of a distribution: `-` without times, `>=` before a lower bound.
fn cells(times: &Summary, bounds: &LowerBounds) -> [String; 8] {
    if times.count == 0 {
        return FIGURES.map(|_| "-".to_owned());
    }
    let mut keys = FIGURE_KEYS.into_iter();
    let mut digits = [0, 1].into_iter();
    figures(times).map(|time| {
        let is_bound = keys.next().is_some_and(|key| bounds.is_bound(key));
        let sign = if is_bound { ">=" } else { "" };
        cell(sign, time, digits.next().unwrap_or(0))
    })
}

/// A time in microseconds with so many digits after the point; with fewer, or in seconds, where that is too wide for a
/// column.
fn cell(sign: &str, microseconds: f64, digits: usize) -> String {
    let seconds = microseconds / 1e6;
    let texts = [
        format!("{sign}{microseconds:.digits$}"),
        format!("{sign}{microseconds:.0}"),
        format!("{sign}{seconds:.2}s"),
        format!("{sign}{seconds:.1}s"),
        format!("{sign}{seconds:.0}s"),
    ];
    let fitting = texts.iter().find(|text| text.len() < CELL);
    fitting.or(texts.last()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Expectation;

    #[test]
    fn table_of_the_longest_times_fits_80_columns() {
        let mut result = LoadResult::default();
        for times in [9_999_999, 60_000_000] {
            result.echo.response_time_us = crate::report::sample::summary(&[times; 2]);
            let text = text(&result);
            let row = text.lines().find(|line| line.starts_with("response time"));
            let row = row.unwrap();
            assert_eq!(row.len(), 80, "{text}");
            assert_eq!(row.split_whitespace().count(), 2 + FIGURES.len(), "{text}");
        }
        assert_eq!(cell("", 123_456.7, 1), "123457");
        assert_eq!(cell("", 12_345_678.9, 1), "12.35s");
        assert_eq!(cell("", 12_345.6, 1), "12345.6");
        assert_eq!(cell(">=", 123_456.7, 1), ">=0.12s");
    }

    #[test]
    fn warnings_come_first_and_all_fits_on_one_screen() {
        let mut result = LoadResult {
            warnings: vec!["it burns".to_owned()],
            ..LoadResult::default()
        };
        result.echo.sent = 1_234_567;
        result.expect.push(Expectation {
            expr: "p99<5ms".to_owned(),
            actual: Some(7.5),
            met: false,
        });
        let text = text(&result);
        assert!(text.starts_with("!! it burns\n"), "{text}");
        assert!(text.contains("1,234,567 sent"), "{text}");
        let has_no_times = |line: &str| line.starts_with("response time") && line.contains(" - ");
        assert!(text.lines().any(has_no_times), "{text}");
        assert!(text.contains("p99<5ms: MISSED (7.5 ms)"), "{text}");
        assert!(text.lines().count() <= 24, "one screen:\n{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn lower_bounds_are_marked() {
        let mut result = LoadResult::default();
        result.echo.received = 2;
        result.echo.response_time_us = Summary {
            count: 3,
            p50: 40,
            p99: 10_000_000,
            ..Summary::default()
        };
        let bounds = &mut result.echo.response_time_lower_bounds;
        (bounds.count, bounds.figures) = (1, vec!["p99".to_owned()]);
        let text = text(&result);
        let line = text.lines().find(|line| line.starts_with("response time"));
        assert!(line.unwrap().contains(" >=10.0s "), "{text}");
        assert!(line.unwrap().contains(" 40 "), "{text}");
    }
}
