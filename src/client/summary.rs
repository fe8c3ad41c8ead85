//! The output of `ping`: a line for each echo and a summary, as text or as JSON.

use super::echo_tracker::{EchoEvent, EchoTracker, nanoseconds};
use crate::echo::Summary;
use crate::numbers::percent;
use crate::time::in_units;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// What `ping` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line for each echo, then the summary.
    Lines,
    /// The summary only.
    Summary,
    /// The summary only, as one JSON object.
    Json,
}

/// The line for one event.
#[must_use]
pub fn line_of(event: EchoEvent, size: usize, peer: &str, timeout: Duration) -> String {
    match event {
        EchoEvent::Received {
            number,
            round_trip,
            is_late,
        } => format!(
            "{size} bytes from {peer}: seq={number} time={:.3} ms{}\n",
            round_trip.as_secs_f64() * 1e3,
            if is_late { " (late)" } else { "" }
        ),
        EchoEvent::Mismatched {
            number,
            at,
            found,
            expected,
        } => format!(
            "{size} bytes from {peer}: seq={number} mismatch: byte {at} is {found:#04x}, expected {expected:#04x}\n"
        ),
        EchoEvent::Lost { number } => {
            format!(
                "no echo from {peer}: seq={number} not received within {}\n",
                in_units(timeout)
            )
        }
        EchoEvent::Surplus(count) => {
            format!("{count} bytes from {peer}: unexpected, no echo is missing\n")
        }
    }
}

/// The figures of the round trips in nanoseconds. The histogram rounds to a thousandth, which would differ from the line of
/// the fastest and of the slowest echo, so those are exact.
fn round_trips(echoes: &EchoTracker) -> Summary {
    let rounded = Summary::of(&echoes.round_trips);
    let Some((shortest, longest)) = echoes.extremes else {
        return rounded;
    };
    let (min, max) = (nanoseconds(shortest), nanoseconds(longest));
    Summary {
        min,
        p50: rounded.p50.clamp(min, max),
        p90: rounded.p90.clamp(min, max),
        p99: rounded.p99.clamp(min, max),
        p99_9: rounded.p99_9.clamp(min, max),
        p99_99: rounded.p99_99.clamp(min, max),
        max,
        ..rounded
    }
}

/// The summary of all echoes as text; over TLS, with the time of the handshake.
#[must_use]
pub fn text_of(
    echoes: &EchoTracker,
    peer: &str,
    took: Duration,
    handshake: Option<Duration>,
) -> String {
    let EchoTracker {
        sent,
        received,
        lost,
        ..
    } = echoes;
    let mut text = format!("--- {peer} echo statistics ---\n");
    let _ = write!(
        text,
        "{sent} sent, {received} received, {lost} lost ({:.1}%)",
        percent(*lost, *sent)
    );
    let optional = [
        (echoes.late, "of them late"),
        (echoes.mismatched, "mismatched"),
        (echoes.in_flight(), "in flight"),
        (echoes.surplus, "surplus bytes"),
    ];
    for (count, what) in optional {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    let _ = writeln!(text, ", in {:.3} s", took.as_secs_f64());
    if let Some(handshake) = handshake {
        let milliseconds = handshake.as_secs_f64() * 1e3;
        let _ = writeln!(text, "TLS handshake = {milliseconds:.3} ms");
    }
    let times = round_trips(echoes).in_units_of(1e6);
    if times.count > 0 {
        let _ = writeln!(
            text,
            "round trip min/avg/p50/p99/max = {:.3}/{:.3}/{:.3}/{:.3}/{:.3} ms",
            times.min, times.mean, times.p50, times.p99, times.max
        );
    }
    text
}

/// The version of the JSON object; raised when a key is removed or changes its meaning.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    target: &'a str,
    size: usize,
    seconds: f64,
    sent: u64,
    received: u64,
    lost: u64,
    late: u64,
    mismatched: u64,
    surplus_bytes: u64,
    round_trip_us: Summary<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_us: Option<f64>,
}

/// The summary of all echoes as one JSON object on one line, with times in microseconds. The keys are stable: scripts
/// rely on them.
///
/// # Errors
/// Serialization fails, which it does not for these fields.
pub fn json_of(
    echoes: &EchoTracker,
    size: usize,
    peer: &str,
    took: Duration,
    handshake: Option<Duration>,
) -> serde_json::Result<String> {
    let document = Document {
        schema: SCHEMA,
        target: peer,
        size,
        seconds: (took.as_secs_f64() * 1e6).round() / 1e6,
        sent: echoes.sent,
        received: echoes.received,
        lost: echoes.lost,
        late: echoes.late,
        mismatched: echoes.mismatched,
        surplus_bytes: echoes.surplus,
        round_trip_us: round_trips(echoes).in_units_of(1e3),
        handshake_us: handshake.map(|handshake| (handshake.as_secs_f64() * 1e9).round() / 1e3),
    };
    serde_json::to_string(&document).map(|json| json + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    /// Two received after 100 and 300 us, one lost.
    fn three_echoes() -> EchoTracker {
        let timeout = Duration::from_secs(1);
        let mut echoes = EchoTracker::new(8, timeout).unwrap();
        let pattern = echoes.pattern();
        for microseconds in [100, 300] {
            let echo: Vec<u8> = echoes.send(&pattern, Time::ZERO).bytes().collect();
            echoes.receive(&echo, Time::ZERO + Duration::from_micros(microseconds));
        }
        echoes.send(&pattern, Time::ZERO);
        echoes.expire(Time::ZERO + timeout);
        echoes
    }

    #[test]
    fn text_has_counts_and_times() {
        let took = Duration::from_millis(2500);
        let text = text_of(&three_echoes(), "127.0.0.1:7", took, None);
        let expected = "--- 127.0.0.1:7 echo statistics ---\n\
            3 sent, 2 received, 1 lost (33.3%), in 2.500 s\n\
            round trip min/avg/p50/p99/max = 0.100/0.200/0.100/0.300/0.300 ms\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let took = Duration::from_millis(2500);
        let json = json_of(&three_echoes(), 8, "[::1]:7", took, None).unwrap();
        let target = "{\"schema\":1,\"target\":\"[::1]:7\",\"size\":8,\"seconds\":2.5";
        assert!(json.starts_with(target), "{json}");
        let counts = "\"sent\":3,\"received\":2,\"lost\":1,";
        assert!(json.contains(counts), "{json}");
        let times = "\"count\":2,\"min\":100.0,\"mean\":";
        assert!(json.contains(times), "{json}");
        assert!(json.ends_with("}}\n") && json.lines().count() == 1);
    }

    #[test]
    fn handshake_of_tls_is_shown_once() {
        let (echoes, took) = (three_echoes(), Duration::from_secs(1));
        let handshake = Some(Duration::from_nanos(1_234_567));
        let text = text_of(&echoes, "[::1]:7", took, handshake);
        assert!(text.contains("\nTLS handshake = 1.235 ms\n"), "{text}");
        let json = json_of(&echoes, 8, "[::1]:7", took, handshake).unwrap();
        assert!(json.ends_with(",\"handshake_us\":1234.567}\n"), "{json}");
    }
}
