//! Counts in words, as the text report and the page both show them.

use super::units::{as_f64, bytes, finite, whole};
use crate::load::{Connect, Echo, LoadResult, Probe, ServerSide, Summary};
use crate::numbers::grouped;

pub(super) fn connections(result: &LoadResult) -> String {
    let counts = &result.connections;
    let failed = counts.failed.total();
    let [requested, established, failed, lost] =
        [counts.asked, counts.opened, failed, counts.lost].map(grouped);
    format!("{requested} requested, {established} established, {failed} failed, {lost} lost")
}

/// The connect rate and the SYN retransmits. An old result has the machine's retransmits only.
pub(super) fn connects(connect: &Connect) -> String {
    let rate = grouped(whole(connect.per_second));
    let own = grouped(connect.retransmitted);
    match connect.machine_retransmitted {
        Some(all) => format!(
            "{rate} per second, {own} SYN retransmits (machine: {})",
            grouped(all)
        ),
        None => format!("{rate} per second, {own} SYN retransmits on the machine"),
    }
}

pub(super) fn echoes(echo: &Echo) -> String {
    let [sent, received, mismatched, unanswered] =
        [echo.sent, echo.received, echo.mismatched, echo.unanswered].map(grouped);
    format!("{sent} sent, {received} received, {mismatched} mismatched, {unanswered} unanswered")
}

pub(super) fn probe(probe: &Probe) -> String {
    let [probed, alive, dead, mismatched] =
        [probe.asked, probe.alive, probe.dead, probe.mismatched].map(grouped);
    format!("{probed} idle probed, {alive} alive, {dead} dead, {mismatched} mismatched")
}

/// CPU time in per cent of one CPU.
pub(super) fn cpu(percent: f64) -> String {
    format!("{:.0} % of a CPU", finite(percent))
}

pub(super) fn server(server: &ServerSide) -> String {
    format!(
        "{}; {} resident ({} before{}), {:.0} bytes per connection ({})",
        cpu(server.cpu_percent),
        bytes(server.rss_bytes),
        bytes(server.rss_before_bytes),
        match server.rss_after_bytes {
            0 => String::new(),
            after => format!(", {} after", bytes(after)),
        },
        finite(server.rss_bytes_per_connection),
        match server.pid {
            // The sum of several servers.
            0 => "several processes".to_owned(),
            pid => format!("process {pid}"),
        }
    )
}

/// The names of [`figures`].
pub(super) const FIGURES: [&str; 8] =
    ["min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// The figures of a distribution, in microseconds.
pub(super) fn figures(times: &Summary) -> [f64; 8] {
    let [min, p50, p90, p99] = [times.min, times.p50, times.p90, times.p99].map(as_f64);
    let [p99_9, p99_99, max] = [times.p99_9, times.p99_99, times.max].map(as_f64);
    [min, times.mean, p50, p90, p99, p99_9, p99_99, max]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_retransmits_are_labelled() {
        let mut connect = Connect {
            retransmitted: 3,
            ..Connect::default()
        };
        let old = connects(&connect);
        assert!(old.ends_with(", 3 SYN retransmits on the machine"), "{old}");
        connect.machine_retransmitted = Some(1_770);
        let new = connects(&connect);
        assert!(
            new.ends_with(", 3 SYN retransmits (machine: 1,770)"),
            "{new}"
        );
    }
}
