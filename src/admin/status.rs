//! The figures as JSON. Keys are stable: none is renamed or removed.

use super::metrics::{close_reasons, deadlines, failed_handshakes};
use super::snapshot::label;
use super::{Messages, ProcessFigures, Snapshot};
use crate::histogram::Histogram;
use crate::server::Refusal;
use serde_json::{Map, Value};

/// The version of the keys.
const SCHEMA: u32 = 1;

/// The text of `/status.json`.
#[must_use]
pub fn status(snapshot: &Snapshot) -> String {
    crate::json::pretty(&value(snapshot)).unwrap_or_default() + "\n"
}

/// The figures as a JSON value.
pub(super) fn value(snapshot: &Snapshot) -> Value {
    let server = &snapshot.server;
    let (received, sent) = snapshot.bytes();
    let messages = |pick: fn(Messages) -> u64| Value::from(snapshot.messages.map(pick));
    let state = if server.is_draining {
        "draining"
    } else {
        "serving"
    };
    object(vec![
        ("schema", SCHEMA.into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("protocol", snapshot.protocol.as_str().into()),
        ("state", state.into()),
        ("time_seconds", snapshot.time.as_secs_f64().into()),
        ("connections", connections(snapshot)),
        (
            "traffic",
            object(vec![
                ("received_bytes", received.into()),
                ("sent_bytes", sent.into()),
                ("received_messages", messages(|messages| messages.received)),
                ("sent_messages", messages(|messages| messages.sent)),
            ]),
        ),
        (
            "buffers",
            object(vec![
                ("bytes", server.buffered.into()),
                ("peak_bytes", server.most_buffered.into()),
                ("limit_bytes", server.max_buffered.into()),
                ("evictions", server.evicted.into()),
            ]),
        ),
        (
            "deadlines",
            counts(deadlines(snapshot).map(|(class, count)| (class.to_owned(), count as u64))),
        ),
        ("event_loop", event_loop(snapshot)),
        ("tls", tls(snapshot)),
        (
            "upgrades",
            object(vec![
                ("done", snapshot.upgrades.done.into()),
                ("failed", snapshot.upgrades.failed.into()),
            ]),
        ),
        ("log_lines_dropped", snapshot.log_lines_dropped.into()),
        ("process", process(&snapshot.process)),
    ])
}

fn process(process: &ProcessFigures) -> Value {
    object(vec![
        ("start_time_seconds", process.started.as_secs_f64().into()),
        ("cpu_seconds", process.cpu.as_secs_f64().into()),
        ("resident_bytes", process.resident_bytes.into()),
        ("open_fds", process.open_fds.into()),
        ("max_fds", process.max_fds.into()),
    ])
}

fn connections(snapshot: &Snapshot) -> Value {
    let server = &snapshot.server;
    let counters = &server.counters;
    let closed = close_reasons().map(|reason| (label(reason), counters.closed_for(reason)));
    let refused = Refusal::ALL.map(|refusal| (label(refusal), counters.refused_for(refusal)));
    object(vec![
        ("open", server.live.into()),
        ("limit", server.max_connections.into()),
        ("opened", counters.opened.into()),
        ("closed", counts(closed)),
        ("refused", counts(refused)),
        ("accept_failures", counters.accept_failed.into()),
        ("accept_pauses", counters.accept_paused.into()),
        ("accept_rate_pauses", counters.accept_limited.into()),
    ])
}

fn event_loop(snapshot: &Snapshot) -> Value {
    let Some(stats) = &snapshot.server.iterations else {
        return Value::Null;
    };
    let longest = u64::try_from(stats.longest.as_nanos()).unwrap_or(u64::MAX);
    object(vec![
        ("iterations", stats.iterations.into()),
        ("longest_ns", longest.into()),
        ("events", histogram(&stats.events)),
        ("time_ns", histogram(&stats.time)),
    ])
}

fn tls(snapshot: &Snapshot) -> Value {
    let Some(handshakes) = &snapshot.handshakes else {
        return Value::Null;
    };
    object(vec![
        ("full", handshakes.full.into()),
        ("resumed", handshakes.resumed.into()),
        ("failed", counts(failed_handshakes(snapshot))),
        ("time_ns", histogram(&handshakes.time)),
    ])
}

/// The count and the sum of values, and how many are at most 1, 2, 4 and so on, up to the largest value.
fn histogram(histogram: &Histogram) -> Value {
    let count = histogram.count();
    let mut at_most: Vec<Value> = Vec::new();
    for (bound, below) in histogram.cumulative(0, u32::MAX) {
        at_most.push(Value::Array(vec![bound.into(), below.into()]));
        if below == count {
            break;
        }
    }
    object(vec![
        ("count", count.into()),
        ("sum", histogram.sum().into()),
        ("at_most", Value::Array(at_most)),
    ])
}

/// An object; the macro `json!` would be five times the code.
fn object(pairs: Vec<(&'static str, Value)>) -> Value {
    let mut object = Map::new();
    for (key, value) in pairs {
        object.insert(key.to_owned(), value);
    }
    Value::Object(object)
}

fn counts(pairs: impl IntoIterator<Item = (String, u64)>) -> Value {
    let mut object = Map::new();
    for (key, count) in pairs {
        object.insert(key, count.into());
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::snapshot::example;
    use serde_json::json;

    #[test]
    fn figures_have_their_keys() {
        let value: Value = serde_json::from_str(&status(&example())).unwrap();
        for (pointer, expected) in [
            ("/schema", json!(1)),
            ("/state", json!("serving")),
            ("/connections/open", json!(1000)),
            ("/connections/closed/peer_closed", json!(7)),
            ("/connections/refused/max_per_source", json!(5)),
            ("/traffic/received_bytes", json!(1_u64 << 40)),
            ("/traffic/sent_messages", json!(8)),
            ("/buffers/peak_bytes", json!(65_536)),
            ("/deadlines/idle", json!(990)),
            ("/event_loop/longest_ns", json!(1_500_000)),
            ("/event_loop/events/count", json!(3)),
            ("/event_loop/events/at_most/10", json!([1024, 3])),
            ("/tls/failed/handshake_timeout", json!(2)),
            ("/upgrades/done", json!(2)),
            ("/process/cpu_seconds", json!(1.25)),
        ] {
            assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
        }
        let events = value.pointer("/event_loop/events/at_most").unwrap();
        assert_eq!(events.as_array().unwrap().len(), 11, "up to the largest");
    }

    #[test]
    fn unknown_figures_are_null() {
        let value: Value = serde_json::from_str(&status(&Snapshot::default())).unwrap();
        for pointer in [
            "/event_loop",
            "/tls",
            "/traffic/sent_messages",
            "/process/open_fds",
        ] {
            assert_eq!(value.pointer(pointer), Some(&Value::Null), "{pointer}");
        }
    }
}
