//! A result as text on one screen: warnings first, then the figures, aligned.

use super::facts::{self, FIGURES, figures};
use super::units::{bytes, bytes_per_second, whole};
use crate::load::LoadResult;
use crate::numbers::grouped;
use std::fmt::Write;

/// The width of the column of names.
pub(super) const NAMES: usize = 16;

/// Formats a result as text.
#[must_use]
pub fn text(result: &LoadResult) -> String {
    let mut page = Page(String::new());
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
    fn line(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.0, "{name:<NAMES$}{text}");
    }

    fn warnings(&mut self, result: &LoadResult) {
        for warning in &result.warnings {
            let _ = writeln!(self.0, "!! {warning}");
        }
        if !result.warnings.is_empty() {
            self.0.push('\n');
        }
    }

    fn counts(&mut self, result: &LoadResult) {
        let (target, seconds, started) = (&result.target, result.seconds, &result.started);
        let target = format!("{target}, measured for {seconds:.1} s from {started}");
        self.line("target", &target);
        self.line("connections", &facts::connections(result));
        let (connect, echo, probe) = (&result.connect, &result.echo, &result.probe);
        let connects = facts::connects(connect);
        self.line("connects", &format!("{:.2} s, {connects}", connect.seconds));
        if echo.sent > 0 {
            self.line("echoes", &facts::echoes(echo));
            let rate = grouped(whole(echo.per_second));
            let bytes = bytes_per_second(echo.bytes_per_second);
            self.line("rate", &format!("{rate} per second, {bytes} each way"));
        }
        if probe.asked > 0 {
            self.line("probe", &facts::probe(probe));
        }
    }

    fn times(&mut self, result: &LoadResult) {
        self.0.push('\n');
        self.row("us", FIGURES.map(str::to_owned));
        for (name, times) in [
            ("response time", &result.echo.response_time_us),
            ("service time", &result.echo.service_time_us),
            ("schedule lag", &result.generator.lag_us),
            ("connect time", &result.connect.time_us),
        ] {
            if times.count > 0 {
                let mut cells = figures(times).map(|time| format!("{time:.0}"));
                cells[1] = format!("{:.1}", times.mean);
                self.row(name, cells);
            }
        }
    }

    fn row(&mut self, name: &str, cells: [String; 8]) {
        let cells = cells.map(|cell| format!("{cell:>10}"));
        self.line(name, &cells.concat());
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
            let (expr, actual) = (&expectation.expr, expectation.actual);
            self.line("expected", &format!("{expr}: {verdict} ({actual})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Expectation;

    #[test]
    fn warnings_come_first_and_all_fits_on_one_screen() {
        let mut result = LoadResult {
            warnings: vec!["it burns".to_owned()],
            ..LoadResult::default()
        };
        result.echo.sent = 1_234_567;
        result.expect.push(Expectation {
            expr: "p99<5ms".to_owned(),
            actual: 7.5,
            met: false,
        });
        let text = text(&result);
        assert!(text.starts_with("!! it burns\n"), "{text}");
        assert!(text.contains("1,234,567 sent"), "{text}");
        assert!(text.contains("p99<5ms: MISSED (7.5)"), "{text}");
        assert!(text.lines().count() <= 24, "one screen:\n{text}");
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    }
}
