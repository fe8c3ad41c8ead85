//! Saved results for tests, from given response times.

use crate::load::{
    Configuration, Connect, Connections, Counts, Distribution, Echo, Histograms, Interval,
    LoadResult, Memory, Part, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide, Summary,
};
use std::time::Duration;

/// Twelve connections, two of them active, for three seconds.
pub(super) fn load() -> Saved {
    of(&[vec![100, 200, 300], vec![150, 4000], vec![90]])
}

/// A result with these response times in microseconds, one list per second.
pub(super) fn of(seconds: &[Vec<u64>]) -> Saved {
    let all: Vec<u64> = seconds.concat();
    let length = super::units::as_f64(seconds.len() as u64);
    let count = all.len() as u64;
    let rate = super::units::as_f64(count) / length.max(1.0);
    let result = LoadResult {
        schema: SCHEMA,
        target: "127.0.0.1:8000".to_owned(),
        started: "2026-11-20T12:00:00.000Z".to_owned(),
        seconds: length,
        connections: Connections {
            asked: 12,
            opened: 12,
            ..Connections::default()
        },
        connect: Connect {
            seconds: 0.5,
            per_second: 24.0,
            retransmitted: 1,
            machine_retransmitted: Some(1),
            time_us: summary(&[30, 40]),
            ..Connect::default()
        },
        echo: Echo {
            due: count,
            sent: count,
            received: count,
            per_second: rate,
            bytes_per_second: rate * 128.0,
            response_time_us: summary(&all),
            service_time_us: summary(&all),
            ..Echo::default()
        },
        probe: Probe {
            asked: 10,
            alive: 10,
            ..Probe::default()
        },
        server: Some(server(77)),
        intervals: seconds
            .iter()
            .enumerate()
            .map(|(index, times)| interval(index, times))
            .collect(),
        ..LoadResult::default()
    };
    Saved {
        kind: SAVED_KIND.to_owned(),
        version: "0.1.0".to_owned(),
        host: "here".to_owned(),
        host_id: None,
        part: None,
        command: ["echoloop", "load", ":8000"].map(str::to_owned).to_vec(),
        configuration: Configuration {
            idle: 10,
            active: 2,
            rate: Some(10.0),
            size_bytes: 128,
            pipeline: 1,
            duration_seconds: length,
            connect_timeout_seconds: 10.0,
            ..Configuration::default()
        },
        begun: "2026-11-20T11:59:58.000Z".to_owned(),
        ended: "2026-11-20T12:00:04.000Z".to_owned(),
        result,
        histograms: Histograms {
            connect_us: counts(&[30, 40]),
            response_us: counts(&all),
            service_us: counts(&all),
            ..Histograms::default()
        },
        interval_response_us: seconds.iter().map(|times| counts(times)).collect(),
        parts: Vec::<Part>::new(),
    }
}

/// A server whose memory has grown by 1,200 bytes.
pub(super) fn server(pid: u32) -> ServerSide {
    ServerSide {
        pid,
        processes: 1,
        memory: Memory::Rss,
        cpu_percent: 10.0,
        rss_bytes: 101_200,
        rss_bytes_per_connection: 100.0,
        rss_before_bytes: 100_000,
        rss_after_bytes: 100_400,
    }
}

/// A histogram of these times.
pub(super) fn distribution(times: &[u64]) -> Distribution {
    let mut distribution = Distribution::new();
    for time in times {
        distribution.record(Duration::from_micros(*time));
    }
    distribution
}

pub(super) fn counts(times: &[u64]) -> Counts {
    distribution(times).counts()
}

pub(super) fn summary(times: &[u64]) -> Summary {
    distribution(times).summary()
}

fn interval(index: usize, times: &[u64]) -> Interval {
    let found = summary(times);
    Interval {
        at: super::units::as_f64(index as u64 + 1),
        echoes: found.count,
        asked: found.count,
        p50_us: found.p50,
        p99_us: found.p99,
        max_us: found.max,
        held: 12,
        lost: 0,
    }
}
