//! The figures as metrics of Prometheus: their names, units and help texts.

use super::Snapshot;
use super::snapshot::label;
use super::text_format::Text;
use crate::connection::CloseReason;
use crate::server::Refusal;
use crate::tls::HandshakeStats;
use std::time::Duration;

/// The bounds of times: from 2^10 ns (a microsecond) to 2^32 ns (four seconds).
const TIME_BOUNDS: (u32, u32) = (10, 32);

/// The bounds of events per iteration: from 1 to 1024, the most that one wait takes.
const EVENT_BOUNDS: (u32, u32) = (0, 10);

/// The text of a scrape.
#[must_use]
pub fn metrics(snapshot: &Snapshot) -> String {
    let mut text = Text::new();
    connections(&mut text, snapshot);
    traffic(&mut text, snapshot);
    memory(&mut text, snapshot);
    event_loop(&mut text, snapshot);
    tls(&mut text, snapshot);
    program(&mut text, snapshot);
    process(&mut text, snapshot);
    text.into_string()
}

fn connections(text: &mut Text, snapshot: &Snapshot) {
    let server = &snapshot.server;
    let counters = &server.counters;
    text.gauge(
        "echoloop_connections_open",
        "Open connections.",
        server.live,
    );
    text.gauge(
        "echoloop_connections_limit",
        "Connections above which clients are refused.",
        server.max_connections,
    );
    text.counter(
        "echoloop_connections_opened_total",
        "Connections that were accepted and admitted.",
        counters.opened,
    );
    let mut closed = text.family(
        "echoloop_connections_closed_total",
        "counter",
        "Closed connections, by reason.",
    );
    for reason in close_reasons() {
        closed.labelled("reason", &label(reason), counters.closed_for(reason));
    }
    let mut refused = text.family(
        "echoloop_connections_refused_total",
        "counter",
        "Refused connections, by cause.",
    );
    for refusal in Refusal::ALL {
        refused.labelled("cause", &label(refusal), counters.refused_for(refusal));
    }
    text.counter(
        "echoloop_accept_failures_total",
        "Connections that failed before they were accepted.",
        counters.accept_failed,
    );
    text.counter(
        "echoloop_accept_pauses_total",
        "Pauses of accepting, for lack of file descriptors or memory.",
        counters.accept_paused,
    );
    text.counter(
        "echoloop_accept_rate_pauses_total",
        "Pauses of accepting, since the limit of connections per second was reached.",
        counters.accept_limited,
    );
    let mut armed = text.family(
        "echoloop_deadlines_armed",
        "gauge",
        "Connections with a deadline, by its kind.",
    );
    for (class, count) in deadlines(snapshot) {
        armed.labelled("class", class, count);
    }
}

/// The reasons for which a server closes connections.
pub(super) fn close_reasons() -> impl Iterator<Item = CloseReason> {
    let of_clients = [CloseReason::ConnectFailed, CloseReason::ConnectTimeout];
    let reasons = CloseReason::ALL.into_iter();
    reasons.filter(move |reason| !of_clients.contains(reason))
}

/// The number of connections in each class of deadlines.
pub(super) fn deadlines(snapshot: &Snapshot) -> [(&'static str, usize); 4] {
    let deadlines = &snapshot.server.deadlines;
    [
        ("idle", deadlines.idle),
        ("stalled", deadlines.stalled),
        ("linger", deadlines.linger),
        ("handshake", deadlines.handshake),
    ]
}

fn traffic(text: &mut Text, snapshot: &Snapshot) {
    let (received, sent) = snapshot.bytes();
    text.counter(
        "echoloop_received_bytes_total",
        "Bytes received from clients.",
        received,
    );
    text.counter(
        "echoloop_sent_bytes_total",
        "Bytes that the kernel has accepted for clients.",
        sent,
    );
    if let Some(messages) = snapshot.messages {
        text.counter(
            "echoloop_received_messages_total",
            "Messages received from clients.",
            messages.received,
        );
        text.counter(
            "echoloop_sent_messages_total",
            "Messages sent to clients.",
            messages.sent,
        );
    }
}

fn memory(text: &mut Text, snapshot: &Snapshot) {
    let server = &snapshot.server;
    text.gauge(
        "echoloop_buffered_bytes",
        "Buffer memory of all connections.",
        server.buffered,
    );
    text.gauge(
        "echoloop_buffered_peak_bytes",
        "The most buffer memory since the start.",
        server.most_buffered,
    );
    text.gauge(
        "echoloop_buffered_limit_bytes",
        "The limit of buffer memory.",
        server.max_buffered,
    );
    text.counter(
        "echoloop_evictions_total",
        "Connections that were reset while buffer memory was scarce.",
        server.evicted,
    );
}

fn event_loop(text: &mut Text, snapshot: &Snapshot) {
    let Some(stats) = &snapshot.server.iterations else {
        return;
    };
    text.counter(
        "echoloop_iterations_total",
        "Iterations of the event loop.",
        stats.iterations,
    );
    let mut events = text.family(
        "echoloop_iteration_events",
        "histogram",
        "Events per iteration.",
    );
    let plain = |value: u64| value.to_string();
    events.histogram(&stats.events, EVENT_BOUNDS, plain);
    let mut times = text.family(
        "echoloop_iteration_duration_seconds",
        "histogram",
        "The time of an iteration without the wait.",
    );
    times.histogram(&stats.time, TIME_BOUNDS, seconds);
    text.gauge(
        "echoloop_iteration_longest_seconds",
        "The longest iteration since the start.",
        stats.longest.as_secs_f64(),
    );
}

fn tls(text: &mut Text, snapshot: &Snapshot) {
    let Some(handshakes) = &snapshot.handshakes else {
        return;
    };
    let mut completed = text.family(
        "echoloop_tls_handshakes_total",
        "counter",
        "Completed TLS handshakes, by kind.",
    );
    completed.labelled("kind", "full", handshakes.full);
    completed.labelled("kind", "resumed", handshakes.resumed);
    let mut failed = text.family(
        "echoloop_tls_handshake_failures_total",
        "counter",
        "Failed TLS handshakes, by cause.",
    );
    for (cause, count) in failed_handshakes(snapshot) {
        failed.labelled("cause", &cause, count);
    }
    let mut times = text.family(
        "echoloop_tls_handshake_duration_seconds",
        "histogram",
        "The time from accepting a connection to the end of its handshake.",
    );
    times.histogram(&handshakes.time, TIME_BOUNDS, seconds);
}

/// The number of failed handshakes, by cause.
pub(super) fn failed_handshakes(snapshot: &Snapshot) -> impl Iterator<Item = (String, u64)> {
    // The server closes a connection whose handshake takes too long, without its session.
    let timeouts = snapshot
        .server
        .counters
        .closed_for(CloseReason::HandshakeTimeout);
    let handshakes = snapshot.handshakes.iter();
    let failed = handshakes.flat_map(HandshakeStats::failed);
    failed.map(move |(kind, count)| {
        let label = label(kind);
        let count = if label == "handshake_timeout" {
            timeouts
        } else {
            count
        };
        (label, count)
    })
}

fn program(text: &mut Text, snapshot: &Snapshot) {
    let mut upgrades = text.family("echoloop_upgrades_total", "counter", "Upgrades, by result.");
    upgrades.labelled("result", "done", snapshot.upgrades.done);
    upgrades.labelled("result", "failed", snapshot.upgrades.failed);
    text.counter(
        "echoloop_log_lines_dropped_total",
        "Log lines that stderr did not accept.",
        snapshot.log_lines_dropped,
    );
    text.gauge(
        "echoloop_draining",
        "Whether the server drains: 1 or 0.",
        u8::from(snapshot.server.is_draining),
    );
    let mut build = text.family(
        "echoloop_build_info",
        "gauge",
        "The version and the protocol, as labels of the value 1.",
    );
    let version = env!("CARGO_PKG_VERSION");
    build.sample(
        "",
        &[("version", version), ("protocol", &snapshot.protocol)],
        1,
    );
}

fn process(text: &mut Text, snapshot: &Snapshot) {
    let process = &snapshot.process;
    text.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        process.started.as_secs_f64(),
    );
    text.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        process.cpu.as_secs_f64(),
    );
    if let Some(bytes) = process.resident_bytes {
        text.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            bytes,
        );
    }
    if let Some(count) = process.open_fds {
        text.gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            count,
        );
    }
    text.gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        process.max_fds,
    );
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> String {
    Duration::from_nanos(nanoseconds).as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::snapshot::example;

    /// The value of a sample, with its labels.
    fn value(text: &str, sample: &str) -> f64 {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("{sample} is missing: {text}"))
            .parse()
            .unwrap()
    }

    #[test]
    fn figures_have_their_samples() {
        let text = metrics(&example());
        for (sample, expected) in [
            ("echoloop_connections_open", 1000.0),
            ("echoloop_connections_opened_total", 1009.0),
            (
                "echoloop_connections_closed_total{reason=\"peer_closed\"}",
                7.0,
            ),
            (
                "echoloop_connections_refused_total{cause=\"max_per_source\"}",
                5.0,
            ),
            ("echoloop_received_bytes_total", 1_099_511_627_776.0),
            ("echoloop_received_messages_total", 9.0),
            ("echoloop_deadlines_armed{class=\"idle\"}", 990.0),
            ("echoloop_iterations_total", 3.0),
            ("echoloop_iteration_longest_seconds", 0.0015),
            (
                "echoloop_tls_handshake_failures_total{cause=\"handshake_timeout\"}",
                2.0,
            ),
            ("echoloop_upgrades_total{result=\"failed\"}", 1.0),
            ("process_start_time_seconds", 1_795_339_000.0),
            ("process_cpu_seconds_total", 1.25),
            ("process_open_fds", 1017.0),
        ] {
            let actual = value(&text, sample);
            assert!((actual - expected).abs() < 1e-9, "{sample}: {actual}");
        }
    }

    #[test]
    fn histogram_is_cumulative_and_ends_with_its_count() {
        let text = metrics(&example());
        let bucket = |le| {
            value(
                &text,
                &format!("echoloop_iteration_events_bucket{{le=\"{le}\"}}"),
            )
        };
        let counts = ["1", "2", "512", "1024", "+Inf"].map(|le| bucket(le).to_string());
        assert_eq!(counts, ["2", "2", "2", "3", "3"]);
        assert!((value(&text, "echoloop_iteration_events_sum") - 702.0).abs() < 1e-9);
        assert!((value(&text, "echoloop_iteration_events_count") - 3.0).abs() < 1e-9);
        let times = "echoloop_iteration_duration_seconds";
        let below = format!("{times}_bucket{{le=\"0.000004096\"}}");
        assert!((value(&text, &below) - 1.0).abs() < 1e-9);
        assert!((value(&text, &format!("{times}_sum")) - 0.001_543).abs() < 1e-12);
    }

    #[test]
    fn unknown_figures_have_no_samples() {
        let text = metrics(&Snapshot::default());
        for absent in ["iteration", "tls", "messages", "process_open_fds"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        assert!((value(&text, "echoloop_received_bytes_total")).abs() < 1e-9);
    }
}
