//! Whether a load has passed: all expectations are met, and nothing failed that no expectation covers.

use super::{Condition, LoadResult};
use crate::numbers::grouped;

/// A kind of failure: what it is called after its count, its count, and the figures of expectations that replace it.
type Check = (
    &'static str,
    fn(&LoadResult) -> u64,
    &'static [&'static str],
);

const DEFAULTS: [Check; 5] = [
    (
        "connections failed",
        |result| result.connections.failed.total(),
        &["failed", "opened"],
    ),
    (
        "connections lost",
        |result| result.connections.lost,
        &["lost"],
    ),
    (
        "replies wrong",
        |result| {
            result
                .echo
                .mismatched
                .saturating_add(result.probe.mismatched)
        },
        &["mismatched"],
    ),
    (
        "replies missing",
        |result| {
            result
                .echo
                .missing
                .saturating_add(result.keepalive.unanswered)
        },
        &["missing", "unanswered"],
    ),
    (
        // Those that were lost are counted as such.
        "idle connections dead",
        |result| result.probe.dead.saturating_sub(result.probe.lost),
        &["alive"],
    ),
];

/// Why a load has not passed, in a few words each: expectations that were missed, and failures whose figure has no
/// condition. Empty if it has passed.
#[must_use]
pub fn failures(result: &LoadResult, conditions: &[Condition]) -> Vec<String> {
    let missed = result.expect.iter().filter(|expected| !expected.met);
    let missed = missed.map(|expected| format!("{} missed ({})", expected.expr, expected.found()));
    let has_condition = |figures: &[&str]| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| figures.contains(&condition.figure_name()))
    };
    let failed = DEFAULTS
        .iter()
        .filter(|(.., figures)| !has_condition(figures));
    let failed = failed
        .map(|(what, count, _)| (what, count(result)))
        .filter(|(_, count)| *count > 0);
    let failed = failed.map(|(what, count)| format!("{} {what}", grouped(count)));
    missed.chain(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> LoadResult {
        let mut result = LoadResult::default();
        result.connections.failed.refused = 1;
        result.connections.lost = 3;
        result.echo.mismatched = 4;
        result.probe.mismatched = 1;
        result.echo.unanswered = 9;
        result.echo.missing = 4;
        result.keepalive.unanswered = 2;
        result.probe.asked = 100;
        result.probe.alive = 90;
        result.probe.dead = 10;
        result.probe.lost = 3;
        result
    }

    fn with(result: &LoadResult, expressions: &[&str]) -> Vec<String> {
        let conditions = expressions.iter().map(|text| text.parse().unwrap());
        let conditions: Vec<Condition> = conditions.collect();
        let mut result = result.clone();
        result.expect = conditions.iter().map(|one| one.check(&result)).collect();
        failures(&result, &conditions)
    }

    #[test]
    fn every_kind_of_failure_is_named_without_expectations() {
        let all = [
            "1 connections failed",
            "3 connections lost",
            "5 replies wrong",
            "6 replies missing",
            "7 idle connections dead",
        ];
        assert_eq!(with(&failing(), &[]), all);
        assert!(with(&LoadResult::default(), &[]).is_empty());
    }

    #[test]
    fn expectation_replaces_the_default_of_its_figure_only() {
        let result = failing();
        for (expression, replaced) in [
            ("lost<5", "lost"),
            ("failed<=1", "failed"),
            ("opened>=0%", "failed"),
            ("mismatched<6", "wrong"),
            ("missing<5", "missing"),
            ("unanswered<10", "missing"),
            ("alive>=90%", "dead"),
        ] {
            let left = with(&result, &[expression]);
            assert_eq!(left.len(), 4, "{expression}: {left:?}");
            let is_left = left.iter().any(|one| one.contains(replaced));
            assert!(!is_left, "{expression}: {left:?}");
        }
        let missed = with(&result, &["lost<3", "rate<1"]);
        assert_eq!(missed[0], "lost<3 missed (3)");
        assert_eq!(missed.len(), 5, "{missed:?}");
    }
}
