//! A comparison for the tests of its renderings.

use super::{Comparison, Failure, FailureKind, Idle, Row, empty_row};
use crate::lab::patterns::{Family, Pattern};

/// Two patterns of each kind: one that serves all, one that fails.
pub(super) fn comparison() -> Comparison {
    let rows = |idle| {
        let names = ["poll", "pool", "thread", "select", "reuse_port"];
        let rows = names.map(|name| row(Pattern::find(name).unwrap(), idle));
        rows.to_vec()
    };
    let mut series: Vec<Row> = [1, 100, 1000].into_iter().flat_map(rows).collect();
    series.sort_by_key(|row| row.pattern);
    Comparison {
        schema: 1,
        active: 50,
        rate: 5000,
        seconds: 2,
        rounds: 1,
        workers: 64,
        serial_cpu_us_per_echo: Some(10.0),
        patterns: rows(1000),
        series,
    }
}

fn row(pattern: &Pattern, idle: usize) -> Row {
    let fails = match pattern.name {
        "select" => (idle >= 1000).then_some(FailureKind::Ended),
        "pool" => (idle >= 64).then_some(FailureKind::NoReply),
        "reuse_port" => Some(FailureKind::SomeReplies),
        _ => None,
    };
    let mut row = Row {
        idle: Idle {
            asked: idle,
            opened: idle,
            accepted: idle,
            queued: 0,
        },
        active_opened: 50,
        echoes_per_second: 5000.0,
        cpu_us_per_echo: Some(69.25),
        p50_us: Some(123),
        p99_us: Some(12_345),
        threads: 1051,
        processes: 1,
        pss_bytes: Some(133 << 20),
        switches_per_echo: Some(1.25),
        load_cpu_percent: 20.0,
        ..empty_row(pattern, idle, 64)
    };
    row.subtract(Some(10.0));
    row.failure = fails.map(|kind| Failure {
        kind,
        reason: format!("{}: the reason of <{}>", kind.label(), pattern.name),
    });
    assert!(pattern.family == Family::Workers || row.places.is_none());
    row
}
