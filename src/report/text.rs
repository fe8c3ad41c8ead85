//! A result on one screen: what is wrong first, then the figures, aligned.

use super::units::{bytes, bytes_per_second, process, syn_retransmits, whole};
use crate::load::{LoadResult, Summary};
use crate::numbers::grouped;
use std::fmt::{self, Write};

/// The width of the names on the left.
const NAMES: usize = 16;

/// The result as people read it.
#[must_use]
pub fn text(result: &LoadResult) -> String {
    let mut page = Page(String::new());
    page.warnings(result);
    page.connections(result);
    page.echoes(result);
    page.times(result);
    page.processes(result);
    page.expectations(result);
    page.0
}

/// The line for what is known of the server only when all connections are closed, where the result came before.
#[must_use]
pub fn after_closing(result: &LoadResult) -> Option<String> {
    let server = result.server.as_ref();
    let after = server.map_or(0, |server| server.rss_after_bytes);
    let mut page = Page(String::new());
    page.line(
        "server",
        format_args!("{} resident, with all connections closed", bytes(after)),
    );
    (after > 0).then_some(page.0)
}

struct Page(String);

impl Page {
    /// One line: its name, and what it says. Writing to a string does not fail.
    fn line(&mut self, name: &str, what: fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{name:<NAMES$}{what}");
    }

    fn warnings(&mut self, result: &LoadResult) {
        for warning in &result.warnings {
            let _ = writeln!(self.0, "!! {warning}");
        }
        if !result.warnings.is_empty() {
            self.0.push('\n');
        }
    }

    fn connections(&mut self, result: &LoadResult) {
        let connections = &result.connections;
        self.line(
            "target",
            format_args!(
                "{}, for {:.1} s from {}",
                result.target, result.seconds, result.started
            ),
        );
        self.line(
            "connections",
            format_args!(
                "{} asked, {} opened, {} failed, {} lost",
                grouped(connections.asked),
                grouped(connections.opened),
                grouped(connections.failed.total()),
                grouped(connections.lost)
            ),
        );
        let connect = &result.connect;
        self.line(
            "opening",
            format_args!(
                "{:.2} s, {} per second, {}",
                connect.seconds,
                grouped(whole(connect.per_second)),
                syn_retransmits(connect)
            ),
        );
    }

    fn echoes(&mut self, result: &LoadResult) {
        let echo = &result.echo;
        if echo.sent > 0 {
            self.line(
                "echoes",
                format_args!(
                    "{} sent, {} right, {} wrong, {} unanswered",
                    grouped(echo.sent),
                    grouped(echo.received),
                    grouped(echo.mismatched),
                    grouped(echo.unanswered)
                ),
            );
            self.line(
                "rate",
                format_args!(
                    "{} per second, {} each way",
                    grouped(whole(echo.per_second)),
                    bytes_per_second(echo.bytes_per_second)
                ),
            );
        }
        let probe = &result.probe;
        if probe.asked > 0 {
            self.line(
                "probe",
                format_args!(
                    "{} idle asked, {} alive, {} dead, {} wrong",
                    grouped(probe.asked),
                    grouped(probe.alive),
                    grouped(probe.dead),
                    grouped(probe.mismatched)
                ),
            );
        }
    }

    fn times(&mut self, result: &LoadResult) {
        self.0.push('\n');
        self.line(
            "us",
            format_args!(
                "{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
                "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"
            ),
        );
        self.distribution("response time", &result.echo.response_time_us);
        self.distribution("service time", &result.echo.service_time_us);
        self.distribution("schedule lag", &result.generator.lag_us);
        self.distribution("connect time", &result.connect.time_us);
    }

    fn distribution(&mut self, name: &str, times: &Summary) {
        if times.count == 0 {
            return;
        }
        self.line(
            name,
            format_args!(
                "{:>10}{:>10.1}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
                times.min,
                times.mean,
                times.p50,
                times.p90,
                times.p99,
                times.p99_9,
                times.p99_99,
                times.max
            ),
        );
    }

    fn processes(&mut self, result: &LoadResult) {
        self.0.push('\n');
        let busy = result.generator.cpu_percent;
        self.line("load tester", format_args!("{busy:.0} % of a processor"));
        if let Some(server) = &result.server {
            self.line(
                "server",
                format_args!(
                    "{:.0} % of a processor; {} resident ({} before{}), {:.0} bytes per connection ({})",
                    server.cpu_percent,
                    bytes(server.rss_bytes),
                    bytes(server.rss_before_bytes),
                    match server.rss_after_bytes {
                        0 => String::new(),
                        after => format!(", {} after", bytes(after)),
                    },
                    server.rss_bytes_per_connection,
                    process(server.pid)
                ),
            );
        }
    }

    fn expectations(&mut self, result: &LoadResult) {
        if !result.expect.is_empty() {
            self.0.push('\n');
        }
        for expectation in &result.expect {
            let verdict = if expectation.met { "met" } else { "MISSED" };
            let (expr, actual) = (&expectation.expr, expectation.actual);
            self.line("expected", format_args!("{expr}: {verdict} ({actual})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Expectation;

    #[test]
    fn syn_retransmits_of_the_machine_are_labelled() {
        let mut result = LoadResult::default();
        result.connect.retransmitted = 3;
        let old = text(&result);
        assert!(
            old.contains(", 3 SYN retransmits on the machine\n"),
            "{old}"
        );
        result.connect.machine_retransmitted = Some(1_770);
        let new = text(&result);
        assert!(
            new.contains(", 3 SYN retransmits (machine: 1,770)\n"),
            "{new}"
        );
    }

    #[test]
    fn what_is_wrong_comes_first() {
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
