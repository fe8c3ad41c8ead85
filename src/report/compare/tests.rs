//! Whole comparisons of results with synthetic noise.

use super::noise::Noise;
use super::*;
use crate::load::{Counts, Interval};
use crate::report::sample;

/// A run of so many seconds, each with about `rate` replies of about `time` microseconds.
fn run(noise: &mut Noise, seconds: usize, rate: f64, time: f64) -> Saved {
    let second = |noise: &mut Noise| -> Vec<u64> {
        let replies = crate::numbers::whole(noise.value(rate, 0.01));
        // All messages of a second share its noise.
        let level = noise.value(time, 0.02);
        let times = (0..replies).map(|_| crate::numbers::whole(noise.value(level, 0.1)));
        times.collect()
    };
    let all: Vec<Vec<u64>> = (0..seconds).map(|_| second(noise)).collect();
    let mut saved = sample::of(&all);
    // Distinct runs.
    saved.begun = format!("2026-11-20T11:00:{:02}.000Z", noise_second(&all));
    saved
}

fn noise_second(all: &[Vec<u64>]) -> u64 {
    all.iter().flatten().sum::<u64>() % 60
}

#[track_caller]
fn compared(base: Saved, new: Saved) -> Comparison {
    let input = |name, saved| Input::of(name, saved).unwrap();
    compare(input("base.json", base), input("new.json", new)).unwrap()
}

#[test]
fn same_server_is_never_different_and_20_percent_always() {
    let mut noise = Noise::new(11);
    for trial in 0..20 {
        let base = run(&mut noise, 8, 500.0, 1000.0);
        let same = run(&mut noise, 8, 500.0, 1000.0);
        let slower = run(&mut noise, 8, 500.0 / 1.2, 1200.0);
        let comparison = compared(base.clone(), same);
        assert_eq!(
            comparison.verdict(),
            "no significant difference",
            "trial {trial}"
        );
        let comparison = compared(base, slower);
        let significant = comparison.significant();
        for name in ["rate", "mean", "p50"] {
            assert!(
                significant.contains(&name),
                "trial {trial}: {significant:?}"
            );
        }
        let change = comparison.figure("rate").unwrap().change_percent().unwrap();
        assert!((-18.5..-15.0).contains(&change), "{change}");
    }
}

#[test]
fn three_seconds_are_too_few_for_any_claim() {
    let mut noise = Noise::new(12);
    let base = run(&mut noise, 3, 500.0, 1000.0);
    let new = run(&mut noise, 10, 100.0, 5000.0);
    let comparison = compared(base, new);
    let expected = "too few seconds to compare: 3 and 10, each run needs at least 7";
    assert_eq!(comparison.verdict(), expected);
    assert_eq!(comparison.significant(), [""; 0]);
}

#[test]
fn percentile_with_too_few_messages_is_not_judged() {
    let mut noise = Noise::new(13);
    let base = run(&mut noise, 10, 100.0, 1000.0);
    let new = run(&mut noise, 10, 100.0, 2000.0);
    let comparison = compared(base, new);
    let verdict = |key| comparison.figure(key).unwrap().verdict;
    assert_eq!(verdict("p50_us"), Verdict::Significant);
    // 1,000 messages are one block.
    assert_eq!(verdict("p99_us"), Verdict::TooFewMessages);
    assert_eq!(verdict("max_us"), Verdict::NotTested);
}

#[test]
fn extreme_second_alone_makes_no_difference() {
    let mut noise = Noise::new(14);
    let base = run(&mut noise, 10, 1200.0, 1000.0);
    let mut new = run(&mut noise, 10, 1200.0, 1000.0);
    // A stall in one second: the p99 of the whole run is that of this second.
    let stalled = sample::counts(&[50_000; 500]);
    new.histograms.response_us.0.extend(stalled.0.clone());
    new.interval_response_us[4] = stalled;
    let comparison = compared(base, new);
    let p99 = comparison.figure("p99_us").unwrap();
    assert!(p99.change_percent().unwrap() > 1000.0, "{p99:?}");
    assert_eq!(p99.verdict, Verdict::Noise);
}

#[test]
fn same_load_and_empty_load_are_rejected() {
    let input = |name, saved| Input::of(name, saved).unwrap();
    let load = sample::load();
    let error = compare(input("a", load.clone()), input("b", load.clone())).unwrap_err();
    assert!(error.contains("same load"), "{error}");
    let mut empty = sample::of(&[]);
    empty.begun = String::new();
    let error = compare(input("a", load), input("b", empty)).unwrap_err();
    assert!(error.starts_with("b cannot be compared"), "{error}");
}

#[test]
fn idle_runs_have_figures_and_no_messages() {
    let mut base = sample::of(&[vec![], vec![]]);
    base.configuration.active = 0;
    let mut new = base.clone();
    new.host = "other".to_owned();
    new.result.server.as_mut().unwrap().rss_bytes_per_connection = 250.0;
    let comparison = compared(base, new);
    assert!(comparison.verdict().starts_with("nothing to compare"));
    assert!(comparison.figure("rate").is_none());
    let memory = comparison.figure("rss_bytes_per_connection").unwrap();
    assert_eq!(memory.change_percent(), Some(150.0));
}

#[test]
fn text_fits_80_columns_and_names_noise() {
    let mut noise = Noise::new(15);
    let mut base = run(&mut noise, 8, 500.0, 1_000_000.0);
    let new = run(&mut noise, 8, 500.0 / 1.2, 1_200_000.0);
    base.result.warnings = vec!["a warning of many words ".repeat(9)];
    let comparison = compared(base, new);
    let text = comparison_text(&comparison);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(text.is_ascii(), "{text}");
    assert!(
        text.contains("significant difference: rate, mean, p50"),
        "{text}"
    );
    assert!(text.starts_with("!! base: a warning of many"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("lost ") && line.ends_with("0.0 %  -")),
        "{text}"
    );
}

#[test]
fn figures_of_any_file_have_finite_json() {
    let mut base = sample::load();
    base.result.echo.per_second = f64::INFINITY;
    base.result.intervals = (0..9_u32)
        .map(|at| Interval {
            at: f64::from(at),
            ..Interval::default()
        })
        .collect();
    base.interval_response_us = vec![Counts(vec![(0, u64::MAX)]); 9];
    let mut new = base.clone();
    new.result.echo.per_second = 0.0;
    let comparison = compared(base, new);
    let json = serde_json::to_value(comparison.record()).unwrap();
    assert!(json["compare"]["rate"]["base"].is_null(), "{json}");
    assert_eq!(json["compare"]["rate"]["significant"], false);
    assert!(
        json["compare"]["p99_us"]["interval_percent"].is_null()
            || json["compare"]["p99_us"]["significant"] == false
    );
}
