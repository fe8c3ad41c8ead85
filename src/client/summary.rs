//! What `ping` says of its echoes: a line for each, and all together in the end, as text or as JSON.

use super::echoes::{Echoes, Finding};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// How `ping` speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line for each echo, and a summary.
    Lines,
    /// The summary alone.
    Summary,
    /// The summary alone, as one JSON object.
    Json,
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The line of one echo, or of what came instead.
#[must_use]
pub fn line_of(finding: Finding, size: usize, peer: &str, patience: Duration) -> String {
    match finding {
        Finding::Back {
            number,
            round_trip,
            is_late,
        } => format!(
            "{size} bytes from {peer}: seq={number} time={:.3} ms{}\n",
            milliseconds(round_trip),
            if is_late { " (late)" } else { "" }
        ),
        Finding::Wrong {
            number,
            at,
            found,
            expected,
        } => format!(
            "{size} bytes from {peer}: seq={number} wrong: byte {at} is {found:#04x}, sent was {expected:#04x}\n"
        ),
        Finding::GivenUp { number } => {
            format!("no echo from {peer}: seq={number} not back within {patience:?}\n")
        }
        Finding::Surplus(count) => {
            format!("{count} bytes from {peer}: nothing was sent for them\n")
        }
    }
}

/// All echoes together, as text.
#[must_use]
pub fn text_of(echoes: &Echoes, peer: &str, took: Duration) -> String {
    let Echoes {
        sent,
        received,
        lost,
        ..
    } = echoes;
    let mut text = format!("\n--- {peer} echo statistics ---\n");
    let _ = write!(
        text,
        "{sent} sent, {received} received, {lost} lost ({:.1}%)",
        percent(*lost, *sent)
    );
    let rarities = [
        (echoes.late, "of them late"),
        (echoes.wrong_echoes, "wrong"),
        (echoes.waited_for(), "still under way"),
    ];
    for (count, what) in rarities {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if echoes.surplus > 0 {
        let _ = write!(text, ", {} bytes too many", echoes.surplus);
    }
    let _ = writeln!(text, ", in {:.3} s", took.as_secs_f64());
    let times = &echoes.round_trips;
    if !times.is_empty() {
        let quantile = |quantile| in_ms(times.value_at_quantile(quantile));
        let _ = writeln!(
            text,
            "round trip min/avg/p50/p99/max = {:.3}/{:.3}/{:.3}/{:.3}/{:.3} ms",
            in_ms(times.min()),
            times.mean() / 1e6,
            quantile(0.5),
            quantile(0.99),
            in_ms(times.max()),
        );
    }
    text
}

/// The version of the keys: raised when one is taken away or means something else.
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
    round_trip_us: Distribution,
}

#[derive(Serialize)]
struct Distribution {
    count: u64,
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    p99_99: f64,
    max: f64,
}

impl Distribution {
    fn of(times: &Histogram<u64>) -> Distribution {
        let quantile = |quantile| in_us(times.value_at_quantile(quantile));
        Distribution {
            count: times.len(),
            min: in_us(times.min()),
            mean: (times.mean()).round() / 1e3,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            p99_99: quantile(0.9999),
            max: in_us(times.max()),
        }
    }
}

/// All echoes together, as one JSON object on one line. Times are in microseconds. The keys are stable: scripts rely on
/// them.
///
/// # Errors
/// It cannot be written; of these fields, all can.
pub fn json_of(
    echoes: &Echoes,
    size: usize,
    peer: &str,
    took: Duration,
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
        mismatched: echoes.wrong_echoes,
        surplus_bytes: echoes.surplus,
        round_trip_us: Distribution::of(&echoes.round_trips),
    };
    serde_json::to_string(&document).map(|json| json + "\n")
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn in_ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn in_us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn three_of_which_one_is_lost() -> Echoes {
        let patience = Duration::from_secs(1);
        let mut echoes = Echoes::new(8, patience).unwrap();
        let mut payload = Vec::new();
        for microseconds in [100, 300] {
            echoes.send(Time::ZERO, &mut payload);
            let now = Time::ZERO + Duration::from_micros(microseconds);
            echoes.receive(&payload, now, |_| {});
        }
        echoes.send(Time::ZERO, &mut payload);
        echoes.give_up(Time::ZERO + patience, |_| {});
        echoes
    }

    #[test]
    fn the_summary_counts_and_gives_times() {
        let echoes = three_of_which_one_is_lost();
        let text = text_of(&echoes, "127.0.0.1:7", Duration::from_millis(2500));
        let expected = "\n--- 127.0.0.1:7 echo statistics ---\n\
            3 sent, 2 received, 1 lost (33.3%), in 2.500 s\n\
            round trip min/avg/p50/p99/max = 0.100/0.200/0.100/0.300/0.300 ms\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_json_is_one_object_on_one_line() {
        let echoes = three_of_which_one_is_lost();
        let json = json_of(&echoes, 8, "[::1]:7", Duration::from_millis(2500)).unwrap();
        assert!(
            json.starts_with("{\"schema\":1,\"target\":\"[::1]:7\",\"size\":8,\"seconds\":2.5")
        );
        assert!(json.contains("\"sent\":3,\"received\":2,\"lost\":1,"));
        assert!(
            json.contains("\"count\":2,\"min\":99.968,\"mean\":"),
            "{json}"
        );
        assert!(json.ends_with("}}\n") && json.lines().count() == 1);
    }
}
