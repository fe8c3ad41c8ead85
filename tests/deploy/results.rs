//! What the parts of a load saved, added up without the code that merges them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The only line of the standard output of a part.
#[track_caller]
pub(crate) fn only_line(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.ends_with('\n'), "the line is not complete");
    serde_json::from_str(text).unwrap()
}

/// The number at this path of every saved result, added up.
#[track_caller]
pub(crate) fn sum(saved: &[Value], path: &str) -> u64 {
    let numbers = saved.iter().map(|saved| {
        let number = saved.pointer(path).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no {path} in {saved:#}"))
    });
    numbers.sum()
}

/// The response times of all parts together: microseconds, and how many replies took as long.
pub(crate) fn response_times(saved: &[Value]) -> BTreeMap<u64, u64> {
    let mut times = BTreeMap::new();
    for part in saved {
        let pairs = part["histograms"]["response_us"].as_array().unwrap();
        for pair in pairs {
            *times.entry(pair[0].as_u64().unwrap()).or_default() += pair[1].as_u64().unwrap();
        }
    }
    times
}

/// The least time that `percent` of all replies do not exceed.
pub(crate) fn percentile(times: &BTreeMap<u64, u64>, percent: u64) -> u64 {
    let all: u64 = times.values().sum();
    let rank = (all * percent).div_ceil(100).max(1);
    let mut seen = 0;
    let mut reached = times.iter().filter(|(_, count)| {
        seen += *count;
        seen >= rank
    });
    *reached.next().expect("there are replies").0
}
