use super::*;
use crate::load::{Condition, Config, ConnectError, LoadResult};
use proptest::prelude::*;

/// Runs a search to its end against a model: whether a value is met, and how many connections are held otherwise.
/// Returns the values tried.
fn run(
    mut search: Search,
    mut model: impl FnMut(u64) -> (bool, Option<u64>),
) -> (Search, Vec<u64>) {
    let mut tried = Vec::new();
    while let Some(value) = search.next() {
        assert!(tried.len() < 5000, "no end: {tried:?}");
        let (is_met, held) = model(value);
        search.record(value, is_met, held);
        tried.push(value);
    }
    (search, tried)
}

/// A server that answers `capacity` a second.
fn rate_model(capacity: u64) -> impl FnMut(u64) -> (bool, Option<u64>) {
    move |value| (value <= capacity, None)
}

/// A server that holds `limit` connections.
fn limit_model(limit: u64) -> impl FnMut(u64) -> (bool, Option<u64>) {
    move |value| (value <= limit, (value > limit).then_some(limit))
}

#[test]
fn rate_is_doubled_then_bisected_then_confirmed() {
    let (search, tried) = run(Search::new(1000, 1 << 40), rate_model(9_900));
    let expected = [
        1000, 2000, 4000, 8000, 16_000, 12_000, 10_000, 9000, 9500, 9750, 10_000,
    ];
    assert_eq!(tried, expected, "what was not met is repeated");
    assert_eq!(search.best(), Some(9750));
}

#[test]
fn limit_of_connections_is_found_with_what_was_held() {
    let (search, tried) = run(Search::new(100, 1 << 20), limit_model(700));
    assert_eq!(tried, [100, 200, 400, 800, 700, 701, 701]);
    assert_eq!(search.best(), Some(700));
}

#[test]
fn limit_below_the_first_value_is_found() {
    for limit in [1, 2, 63, 99] {
        let (search, tried) = run(Search::new(100, 1 << 20), limit_model(limit));
        assert_eq!(search.best(), Some(limit), "{tried:?}");
        assert!(tried.len() <= 4, "{tried:?}");
    }
    let (search, tried) = run(Search::new(100, 1 << 20), limit_model(0));
    assert_eq!((search.best(), tried), (None, vec![100, 1, 1]));
}

#[test]
fn search_descends_if_the_first_value_is_not_met() {
    let (search, tried) = run(Search::new(1000, 1 << 20), rate_model(20));
    assert_eq!(tried[..4], [1000, 250, 62, 15]);
    assert_eq!(search.best(), Some(20));
    let (search, tried) = run(Search::new(1000, 1 << 20), rate_model(0));
    assert_eq!(search.best(), None);
    assert_eq!(tried, [1000, 250, 62, 15, 3, 1, 1]);
}

#[test]
fn disturbed_step_does_not_end_the_search() {
    let mut is_first = true;
    let (search, tried) = run(Search::new(1000, 1 << 40), |value| {
        let is_disturbed = value == 4000 && std::mem::take(&mut is_first);
        (value <= 100_000 && !is_disturbed, None)
    });
    let best = search.best().unwrap();
    assert!((95_000..=100_000).contains(&best), "{tried:?}");
}

#[test]
fn search_ends_at_its_maximum() {
    let (search, tried) = run(Search::new(100, 1000), |_| (true, None));
    assert_eq!(tried, [100, 200, 400, 800, 1000]);
    assert_eq!(search.best(), Some(1000));
    let (_, tried) = run(Search::new(100, 7), |_| (true, None));
    assert_eq!(tried, [7]);
}

proptest! {
    #[test]
    fn capacity_is_found_within_the_tolerance(capacity in 0_u64..1 << 30, first in 1_u64..5000) {
        let (search, tried) = run(Search::new(first, 1 << 40), rate_model(capacity));
        prop_assert!(tried.len() < 60, "{tried:?}");
        let best = search.best().unwrap_or(0);
        prop_assert!(best <= capacity && (capacity - best) * TOLERANCE <= best, "{best} of {capacity}");
    }

    #[test]
    fn limit_of_connections_is_found_exactly(limit in 0_u64..1 << 20, first in 1_u64..5000) {
        let (search, tried) = run(Search::new(first, 1 << 20), limit_model(limit));
        prop_assert_eq!(search.best().unwrap_or(0), limit);
        prop_assert!(tried.len() < 30, "{tried:?}");
    }

    /// A server that holds a different number each time, up to its limit.
    #[test]
    fn limit_is_exact_though_fewer_are_held(limit in 0_u64..1 << 20, held in proptest::collection::vec(0.0_f64..1.0, 100)) {
        let mut shares = held.into_iter().cycle();
        let (search, tried) = run(Search::new(100, 1 << 20), |value| {
            let held = whole(as_f64(limit) * shares.next().unwrap());
            (value <= limit, (value > limit).then_some(held))
        });
        prop_assert_eq!(search.best().unwrap_or(0), limit, "{:?}", tried);
    }

    /// Whatever the server does, the search ends, and its end is consistent with the steps.
    #[test]
    fn search_ends_against_any_server(outcomes in proptest::collection::vec(any::<(bool, Option<u64>)>(), 1..60), first in 1_u64..2000, max in 1_u64..1 << 40) {
        let mut outcomes = outcomes.into_iter().chain([(false, None)]).cycle();
        let mut met = Vec::new();
        let (search, tried) = run(Search::new(first, max), |value| {
            let (is_met, held) = outcomes.next().unwrap();
            if is_met { met.push(value); }
            (is_met, held.filter(|_| !is_met))
        });
        prop_assert!(tried.iter().all(|value| (1..=max).contains(value)));
        prop_assert_eq!(search.best(), met.into_iter().max());
    }

    #[test]
    fn sweep_is_from_low_to_high(low in 0_u64..1 << 30, more in 0_u64..1 << 30, steps in 2_u32..50) {
        let high = low + more;
        let values = sweep(low, high, steps);
        prop_assert_eq!((values.first(), values.last()), (Some(&low), Some(&high)));
        prop_assert!(values.is_sorted() && values.len() <= steps as usize);
    }
}

#[test]
fn sweep_has_equal_factors_or_from_0_equal_differences() {
    assert_eq!(sweep(1000, 8000, 4), [1000, 2000, 4000, 8000]);
    assert_eq!(sweep(0, 100, 5), [0, 25, 50, 75, 100]);
    assert_eq!(sweep(1, 3, 10), [1, 2, 3]);
    assert_eq!(sweep(7, 7, 3), [7]);
}

#[test]
fn curve_is_sorted_and_a_repeated_value_counts_as_met() {
    let mut find = Find::default();
    for (value, met) in [
        (100, true),
        (400, false),
        (200, false),
        (300, false),
        (200, true),
    ] {
        find.add(FindStep {
            value,
            met,
            ..FindStep::default()
        });
    }
    let values: Vec<u64> = find.steps.iter().map(|step| step.value).collect();
    assert_eq!(values, [100, 200, 200, 300, 400]);
    assert_eq!((find.best, find.next), (Some(200), Some(300)));
    let mut none = Find::default();
    none.add(FindStep::default());
    assert_eq!((none.best, none.next), (None, Some(0)));
}

fn config(idle: u32, active: u32, rate: Option<f64>) -> Config {
    Config {
        idle,
        active,
        rate,
        ..Config::new("127.0.0.1:1".parse().unwrap())
    }
}

fn result(rate: f64, p99: u64) -> LoadResult {
    let mut result = LoadResult {
        seconds: 2.0,
        ..LoadResult::default()
    };
    result.echo.received = 1000;
    result.echo.per_second = rate;
    result.echo.response_time_us.count = 1000;
    result.echo.response_time_us.p99 = p99;
    result
}

#[test]
fn step_is_met_if_the_condition_holds_and_the_rate_is_reached() {
    let condition: Condition = "p99<5ms".parse().unwrap();
    let of = |rate: f64, p99: u64| {
        let config = config(0, 50, Some(10_000.0));
        judge(
            Quantity::Rate,
            &config,
            &result(rate, p99),
            Some(&condition),
        )
    };
    assert!(of(9_900.0, 4999).is_met());
    assert_eq!(of(9_700.0, 4999).cause, Some(Cause::Rate(9_700.0)));
    let missed = of(9_700.0, 5000);
    assert!(
        matches!(missed.cause, Some(Cause::Condition(found, false)) if found.expr == "p99<5ms")
    );
    assert_eq!(missed.held, None);
}

#[test]
fn low_rate_is_reached_with_one_message_fewer() {
    let of = |requested: f64, reached: f64| {
        let config = config(0, 50, Some(requested));
        judge(Quantity::Rate, &config, &result(reached, 10), None).is_met()
    };
    assert!(of(15.0, 14.5), "29 of 30 messages");
    assert!(!of(15.0, 14.0));
}

#[test]
fn late_load_tester_is_named_only_if_the_step_is_not_met() {
    let config = config(0, 50, Some(10_000.0));
    let mut late = result(10_000.0, 10);
    late.generator.lag_us.p99 = 3000;
    assert!(judge(Quantity::Rate, &config, &late, None).is_met());
    late.echo.per_second = 5_000.0;
    let verdict = judge(Quantity::Rate, &config, &late, None);
    assert_eq!(verdict.cause, Some(Cause::LoadTester(3000)));
    late.echo.response_time_us.p99 = 500_000;
    let verdict = judge(Quantity::Rate, &config, &late, None);
    assert_eq!(verdict.cause, Some(Cause::Rate(5_000.0)));
}

#[test]
fn failed_and_lost_connections_tell_how_many_were_held() {
    let mut failed = result(0.0, 0);
    failed.connections.failed.reset = 90;
    failed.connections.failed.timeout = 5;
    failed.connections.lost = 3;
    failed.probe.dead = 4;
    let verdict = judge(Quantity::Idle, &config(800, 0, None), &failed, None);
    assert_eq!(
        verdict.cause,
        Some(Cause::ConnectFailed(ConnectError::Reset, 95))
    );
    assert_eq!(verdict.held, Some(800 - 95 - 4));
    let verdict = judge(Quantity::Rate, &config(800, 0, None), &failed, None);
    assert_eq!(
        verdict.held, None,
        "the number of connections is not varied"
    );
    let mut dead = result(0.0, 0);
    dead.probe.dead = 4;
    let verdict = judge(Quantity::Idle, &config(2, 0, None), &dead, None);
    assert_eq!(
        (verdict.cause, verdict.held),
        (Some(Cause::ProbesUnanswered(4)), Some(0))
    );
    dead.probe.mismatched = 1;
    let verdict = judge(Quantity::Idle, &config(2, 0, None), &dead, None);
    assert_eq!(verdict.cause, Some(Cause::WrongReplies(1)));
}

#[test]
fn step_without_a_reply_is_not_met() {
    let condition: Condition = "p99<5ms".parse().unwrap();
    let silent = LoadResult::default();
    let config = config(0, 5, None);
    let verdict = judge(Quantity::Active, &config, &silent, Some(&condition));
    assert_eq!(verdict.cause, Some(Cause::NoReplies));
    let mut unanswered = result(10.0, 10);
    unanswered.echo.unanswered = 5;
    let verdict = judge(Quantity::Active, &config, &unanswered, None);
    assert_eq!(verdict.cause, Some(Cause::Unanswered(5)));
}
