//! Counts in words, as the text report and the page both show them.

use super::units::{as_f64, bytes, finite, whole};
use crate::load::{
    Connect, Echo, Handshakes, Keepalives, LoadResult, Lost, Memory, Probe, ServerSide, Summary,
    UserspaceFigures,
};
use crate::numbers::grouped;

pub(super) fn connections(result: &LoadResult) -> String {
    let counts = &result.connections;
    let failed = counts.failed.total();
    let [requested, established, failed, lost] =
        [counts.asked, counts.opened, failed, counts.lost].map(grouped);
    let reconnected = match counts.reconnected {
        0 => String::new(),
        count => format!(", {} reconnected", grouped(count)),
    };
    format!(
        "{requested} requested, {established} established, {failed} failed, {lost} lost{}{reconnected}",
        lost_by(&counts.lost_by)
    )
}

/// The causes of lost connections, between parentheses; empty if there is none.
fn lost_by(lost: &Lost) -> String {
    let causes = [
        (lost.fin, "by FIN"),
        (lost.reset, "by reset"),
        (lost.timeout, "by timeout"),
        (lost.other, "for other causes"),
    ];
    let causes = causes.iter().filter(|(count, _)| *count > 0);
    let causes: Vec<String> = causes
        .map(|(count, cause)| format!("{} {cause}", grouped(*count)))
        .collect();
    if causes.is_empty() {
        return String::new();
    }
    format!(" ({})", causes.join(", "))
}

/// The packets of userspace TCP.
pub(super) fn userspace_tcp(figures: &UserspaceFigures) -> String {
    let [sent, received, retransmitted] = [
        figures.packets_sent,
        figures.packets_received,
        figures.retransmitted,
    ]
    .map(grouped);
    let further = [
        (figures.keepalives_answered, "keepalives answered"),
        (figures.bad_checksums, "with a wrong checksum"),
    ];
    let further = further.iter().filter(|(count, _)| *count > 0);
    let further = further.map(|(count, what)| format!(", {} {what}", grouped(*count)));
    let further: String = further.collect();
    format!("{sent} packets sent, {received} received, {retransmitted} retransmitted{further}")
}

/// The clock that the times are of, and how long several loads were measured together: each with its name.
pub(super) fn clocks(result: &LoadResult) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(clock) = &result.clock {
        let offset = milliseconds(clock.offset_us.abs());
        let side = if clock.offset_us < 0.0 {
            "ahead of"
        } else {
            "behind"
        };
        let error = milliseconds(clock.uncertainty_us);
        let server = &clock.server;
        facts.push((
            "clock",
            format!("{offset} ms {side} {server}, within {error} ms; times are of that clock"),
        ));
    }
    if let Some(together) = result.together.as_ref().filter(|all| all.hosts > 1) {
        let clocks = match (&together.server, together.uncertainty_us) {
            (Some(server), Some(error)) => {
                format!(
                    "by the clock of {server}, within {} ms",
                    milliseconds(error)
                )
            }
            _ => "clocks not compared".to_owned(),
        };
        let (hosts, seconds) = (grouped(together.hosts), together.seconds);
        facts.push((
            "together",
            format!("{hosts} hosts for {seconds:.1} s, {clocks}"),
        ));
    }
    facts
}

/// Microseconds as milliseconds with three digits.
fn milliseconds(microseconds: f64) -> String {
    let microseconds = whole(microseconds);
    format!(
        "{}.{:03}",
        grouped(microseconds / 1000),
        microseconds % 1000
    )
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

/// How many handshakes of TLS had a key exchange, and how many were of a resumed session.
pub(super) fn handshakes(handshakes: &Handshakes) -> String {
    let [full, resumed] = [handshakes.full, handshakes.resumed].map(grouped);
    format!("{full} full, {resumed} resumed")
}

pub(super) fn echoes(echo: &Echo) -> String {
    let [due, sent, received, mismatched] =
        [echo.due, echo.sent, echo.received, echo.mismatched].map(grouped);
    format!("{due} due, {sent} sent, {received} received, {mismatched} mismatched")
}

/// The messages without a reply at the end of the measured part, and after the load has waited for them.
pub(super) fn outstanding(echo: &Echo) -> String {
    let [outstanding, unanswered, missing] =
        [echo.outstanding, echo.unanswered, echo.missing].map(grouped);
    format!("{outstanding} at the end; {unanswered} never answered, {missing} missing")
}

pub(super) fn probe(probe: &Probe) -> String {
    let [probed, alive, dead, mismatched] =
        [probe.asked, probe.alive, probe.dead, probe.mismatched].map(grouped);
    format!("{probed} idle probed, {alive} alive, {dead} dead, {mismatched} mismatched")
}

pub(super) fn keepalive(keepalive: &Keepalives) -> String {
    let [sent, received, mismatched, unanswered] = [
        keepalive.sent,
        keepalive.received,
        keepalive.mismatched,
        keepalive.unanswered,
    ]
    .map(grouped);
    format!("{sent} sent, {received} received, {mismatched} mismatched, {unanswered} unanswered")
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
        processes(server)
    )
}

/// Which processes were measured, and how if not by resident set size.
fn processes(server: &ServerSide) -> String {
    let by_pss = match server.memory {
        Memory::Rss => "",
        Memory::Pss => ", PSS",
    };
    match (server.pid, server.processes) {
        // The sum of several servers.
        (0, _) => format!("several processes{by_pss}"),
        (pid, 0 | 1) => format!("process {pid}{by_pss}"),
        (pid, count) => format!(
            "process {pid} and {} more{by_pss}",
            grouped(u64::from(count) - 1)
        ),
    }
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
    fn several_processes_are_counted_and_their_kind_of_memory_is_named() {
        let mut measured = ServerSide {
            pid: 77,
            ..ServerSide::default()
        };
        assert_eq!(processes(&measured), "process 77");
        measured.processes = 201;
        measured.memory = Memory::Pss;
        assert_eq!(processes(&measured), "process 77 and 200 more, PSS");
    }

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
