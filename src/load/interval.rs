//! One second of a result, and its form in JSON.

use serde::{Deserialize, Serialize};

/// One second of the measured part; the last may be shorter. Its times are those of the echoes received in it: null in JSON
/// if there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "IntervalJson", into = "IntervalJson")]
pub struct Interval {
    /// Its end, in seconds since the measured part began.
    pub at: f64,
    /// Correct echoes.
    pub echoes: u64,
    /// Messages due in it.
    pub asked: u64,
    /// Response time: the median.
    pub p50_us: u64,
    /// Response time: the 99th percentile.
    pub p99_us: u64,
    /// Response time: the maximum.
    pub max_us: u64,
    /// Connections established at its end.
    pub held: u64,
    /// Connections lost since the measured part began.
    pub lost: u64,
}

/// An [`Interval`] in JSON.
#[derive(Serialize, Deserialize)]
struct IntervalJson {
    at: f64,
    echoes: u64,
    #[serde(default)]
    asked: u64,
    #[serde(default)]
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    #[serde(default)]
    max_us: Option<u64>,
    #[serde(default)]
    held: u64,
    #[serde(default)]
    lost: u64,
}

impl From<Interval> for IntervalJson {
    fn from(interval: Interval) -> IntervalJson {
        let time = |time: u64| (interval.echoes > 0).then_some(time);
        IntervalJson {
            at: interval.at,
            echoes: interval.echoes,
            asked: interval.asked,
            p50_us: time(interval.p50_us),
            p99_us: time(interval.p99_us),
            max_us: time(interval.max_us),
            held: interval.held,
            lost: interval.lost,
        }
    }
}

impl From<IntervalJson> for Interval {
    fn from(json: IntervalJson) -> Interval {
        Interval {
            at: json.at,
            echoes: json.echoes,
            asked: json.asked,
            p50_us: json.p50_us.unwrap_or_default(),
            p99_us: json.p99_us.unwrap_or_default(),
            max_us: json.max_us.unwrap_or_default(),
            held: json.held,
            lost: json.lost,
        }
    }
}
