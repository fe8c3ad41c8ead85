use super::*;
use crate::load::{Expectation, Warning};
use crate::report::sample;
use proptest::prelude::*;

fn input(name: &str, saved: Saved) -> Input {
    Input::of(name, saved).unwrap()
}

fn merged(all: Vec<Saved>) -> Saved {
    let inputs = all.into_iter().enumerate();
    let inputs = inputs.map(|(index, saved)| input(&index.to_string(), saved));
    merge(inputs.collect(), Targets::One).unwrap()
}

fn rejection(one: Saved, other: Saved) -> String {
    let inputs = vec![input("a.json", one), input("b.json", other)];
    merge(inputs, Targets::One).unwrap_err()
}

/// The same result from another host.
fn there(mut saved: Saved) -> Saved {
    saved.host = "there".to_owned();
    saved
}

fn later(mut saved: Saved, by: &str) -> Saved {
    saved.result.started = format!("2026-11-20T12:00:{by}Z");
    saved
}

#[test]
fn single_result_remains_unchanged() {
    assert_eq!(merged(vec![sample::load()]), sample::load());
}

#[test]
fn counts_are_added_and_percentiles_come_from_the_sum() {
    let one = sample::of(&[vec![100; 98], vec![100; 98]]);
    let other = there(sample::of(&[vec![100], vec![9000, 9000, 9000]]));
    let both = merged(vec![one, other]);
    let result = &both.result;
    assert_eq!(result.connections.asked, 24);
    assert_eq!(result.echo.received, 200);
    assert_eq!(result.echo.response_time_us.count, 200);
    // The mean of both p99 would be 4,550.
    assert_eq!(result.echo.response_time_us.p99, 9000 / 8 * 8 + 7);
    assert!((result.echo.per_second - 100.0).abs() < 1e-9);
    assert_eq!(result.intervals.len(), 2);
    assert_eq!(result.intervals[1].echoes, 101);
    assert_eq!(result.intervals[1].p50_us, 100);
    assert_eq!(result.intervals[1].held, 24);
    assert_eq!(both.configuration.rate, Some(20.0));
    assert_eq!(both.configuration.size_bytes, 128);
    assert_eq!(both.host, "here, there");
    assert_eq!(both.parts.len(), 2);
}

/// The load over TLS, with one handshake that took this long and one that was resumed in 50 us.
fn over_tls(mut saved: Saved, full_us: u64) -> Saved {
    let times = [full_us, 50];
    saved.configuration.tls = true;
    saved.histograms.handshake_us = sample::counts(&times);
    saved.result.connect.handshake_us = Some(sample::summary(&times));
    saved.result.connect.handshakes = Some(Handshakes {
        full: 1,
        resumed: 1,
    });
    saved.result.connections.failed.tls = 2;
    saved
}

#[test]
fn handshakes_are_added() {
    let one = over_tls(sample::load(), 700);
    let both = merged(vec![one.clone(), over_tls(there(sample::load()), 900)]);
    let connect = &both.result.connect;
    let sum = Handshakes {
        full: 2,
        resumed: 2,
    };
    assert_eq!(connect.handshakes, Some(sum));
    let times = connect.handshake_us.as_ref().unwrap();
    assert_eq!((times.count, times.min, times.max), (4, 50, 900));
    assert_eq!(both.result.connections.failed.tls, 4);
    assert!(both.configuration.tls);
    let plain = merged(vec![sample::load(), there(sample::load())]);
    assert_eq!(plain.result.connect.handshakes, None);
    assert_eq!(plain.result.connect.handshake_us, None);
    let why = rejection(one, there(sample::load()));
    assert!(why.contains("different --tls: on and off"), "{why}");
}

#[test]
fn file_without_tls_has_no_key_for_it() {
    let text = serde_json::to_string(&sample::load()).unwrap();
    for key in ["handshake", "\"tls\":true", "\"tls\":false"] {
        assert!(!text.contains(key), "{key}: {text}");
    }
    let saved = over_tls(sample::load(), 700);
    let text = serde_json::to_string(&saved).unwrap();
    let read: Saved = serde_json::from_str(&text).unwrap();
    assert_eq!(read, saved);
}

#[test]
fn second_of_several_parts_is_the_second_of_the_merged_result() {
    let one = sample::of(&[vec![100; 98]]);
    let other = sample::of(&[vec![100, 9000, 9000, 9000]]);
    let second = |saved: &Saved| {
        let interval = saved.result.intervals[0].clone();
        (interval, saved.interval_response_us[0].clone())
    };
    let sum = sum_of_second(&[second(&one), second(&other)]);
    let both = merged(vec![one, there(other)]);
    assert_eq!(sum, both.result.intervals[0]);
    assert_eq!((sum.echoes, sum.held), (102, 24));
}

#[test]
fn part_without_a_measured_time_does_not_extend_that_of_the_others() {
    let mut refused = sample::of(&[]);
    refused.result.started = "2026-11-20T11:59:58.000Z".to_owned();
    refused.result.connections.failed.refused = 12;
    let all = |parts: Vec<Saved>| {
        let inputs = parts.into_iter().map(|saved| input("part", saved));
        merge_parts(inputs.collect()).unwrap().result
    };
    let result = all(vec![sample::load(), refused.clone()]);
    assert_eq!(result.seconds.to_bits(), 3_f64.to_bits());
    assert_eq!(result.connections.failed.refused, 12);
    assert_eq!(result.intervals.len(), 3);
    let nothing = all(vec![later(refused.clone(), "01.000"), refused]);
    assert_eq!(nothing.seconds.to_bits(), 0_f64.to_bits());
    assert!(merge_parts(Vec::new()).is_err());
}

#[test]
fn intervals_are_aligned_by_the_wall_clock() {
    let one = sample::of(&[vec![100], vec![100], vec![100]]);
    let other = later(there(sample::of(&[vec![7000], vec![7000]])), "02.100");
    let both = merged(vec![one, other]);
    let result = &both.result;
    assert!((result.seconds - 4.1).abs() < 1e-9, "{}", result.seconds);
    let echoes: Vec<_> = result.intervals.iter().map(|one| one.echoes).collect();
    assert_eq!(echoes, [1, 1, 2, 1]);
    let ends: Vec<_> = result.intervals.iter().map(|one| one.at).collect();
    assert_eq!(ends, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(result.intervals[2].max_us, sample::summary(&[7000]).max);
    let warning = result.warnings.last().unwrap();
    let overlap = Warning::PartialOverlap(900, 4100, 3000);
    assert_eq!(result.warning_details.last(), Some(&overlap));
    assert!(warning.contains("for 0.9 of 3.0 s"), "{warning}");
    assert!(warning.contains("over all 4.1 s"), "{warning}");
}

#[test]
fn messages_without_a_reply_are_added_and_stay_lower_bounds() {
    let with_lost = |mut saved: Saved| {
        let echo = &mut saved.result.echo;
        (echo.due, echo.outstanding, echo.unanswered, echo.missing) = (7, 1, 1, 1);
        saved.histograms.response_us.0.push((9_000_000, 1));
        saved.histograms.lower_bounds_us.0.push((9_000_000, 1));
        saved
    };
    let both = merged(vec![
        with_lost(sample::load()),
        there(with_lost(sample::load())),
    ]);
    let echo = &both.result.echo;
    assert_eq!((echo.due, echo.outstanding), (14, 2));
    assert_eq!((echo.unanswered, echo.missing), (2, 2));
    assert_eq!(echo.response_time_us.count, 14);
    assert_eq!(echo.response_time_lower_bounds.count, 2);
    assert!(echo.response_time_lower_bounds.is_bound("p99"));
    assert!(!echo.response_time_lower_bounds.is_bound("p50"));
    assert_eq!(both.histograms.lower_bounds_us.0.len(), 1);
}

#[test]
fn process_measured_by_two_loads_counts_once() {
    let one = sample::load();
    let mut other = sample::load();
    other.command.push("--idle".to_owned());
    other.result.server.as_mut().unwrap().rss_bytes = 102_400;
    let both = merged(vec![one.clone(), other.clone()]);
    let server = both.result.server.clone().unwrap();
    assert_eq!((server.pid, server.rss_bytes), (77, 102_400));
    assert_eq!(server.rss_before_bytes, 100_000);
    assert!((server.cpu_percent - 10.0).abs() < 1e-9);
    assert!((server.rss_bytes_per_connection - 100.0).abs() < 1e-9);
    let three = merged(vec![both.clone(), there(sample::load())]);
    let servers = three.result.server.unwrap();
    assert_eq!((servers.pid, servers.rss_bytes), (0, 203_600));
    assert!((servers.cpu_percent - 20.0).abs() < 1e-9);
}

#[test]
fn own_syn_retransmits_are_added_machine_ones_once_per_host() {
    let mut other = sample::load();
    other.result.connect.retransmitted = 5;
    other.result.connect.machine_retransmitted = Some(9);
    let both = merged(vec![sample::load(), other, there(sample::load())]);
    let connect = &both.result.connect;
    assert_eq!(connect.retransmitted, 1 + 5 + 1);
    assert_eq!(connect.machine_retransmitted, Some(9 + 1));
}

/// A result from before the loads' own retransmits were inferred.
fn old(mut saved: Saved, retransmitted: u64) -> Saved {
    saved.result.connect.retransmitted = retransmitted;
    saved.result.connect.machine_retransmitted = None;
    saved
}

#[test]
fn syn_retransmits_of_old_results_count_once_per_host() {
    let mut second = old(sample::load(), 5);
    second.command.push("--idle".to_owned());
    let olds = vec![
        old(sample::load(), 1),
        second,
        old(there(sample::load()), 1),
    ];
    let both = merged(olds.clone());
    assert_eq!(both.result.connect.retransmitted, 5 + 1);
    assert_eq!(both.result.connect.machine_retransmitted, None);
    let mut new = sample::load();
    new.command.push("--active".to_owned());
    let mixed = merged([olds, vec![new]].concat());
    assert_eq!(mixed.result.connect.retransmitted, 5 + 1 + 1);
    assert_eq!(mixed.result.connect.machine_retransmitted, Some(5 + 1));
}

#[test]
fn equal_warnings_are_merged_by_type_with_their_figures() {
    let with = |warnings: &[Warning]| {
        let mut saved = sample::load();
        saved.result.warnings = warnings.iter().map(ToString::to_string).collect();
        saved.result.warning_details = warnings.to_vec();
        saved
    };
    let lag = Warning::ScheduleLag;
    let wrong = Warning::WrongProbeReplies(3);
    let lost = Warning::ConnectionsLost;
    let one = with(&[lag(4500), wrong.clone(), lost(1, 10)]);
    let other = there(with(&[lost(2, 20), lag(217)]));
    let both = merged(vec![one, other]);
    let clocks = Warning::ClocksNotCompared(2);
    let expected = [wrong, lag(4500), lost(3, 30), clocks];
    assert_eq!(both.result.warning_details, expected);
    let hosts = [
        "1 of 2 loads (here)",
        "2 of 2 loads (here, there)",
        "2 of 2 loads (here, there)",
    ];
    let texts = hosts.iter().zip(&expected);
    let texts = texts.map(|(hosts, warning)| format!("{hosts}: {warning}"));
    let texts: Vec<String> = texts.chain([expected[3].to_string()]).collect();
    assert_eq!(both.result.warnings, texts);
}

#[test]
fn warnings_of_an_old_result_merge_if_their_texts_are_equal() {
    let with = |warnings: &[&str]| {
        let mut saved = sample::load();
        saved.result.warnings = warnings.iter().map(ToString::to_string).collect();
        saved
    };
    let one = with(&["it burns", "late by 217 us", "WRONG REPLIES: 3"]);
    let other = there(with(&["it burns", "late by 4.5 us"]));
    let both = merged(vec![one, other]);
    assert_eq!(
        both.result.warnings,
        [
            "1 of 2 loads (here): WRONG REPLIES: 3",
            "2 of 2 loads (here, there): it burns",
            "1 of 2 loads (here): late by 217 us",
            "1 of 2 loads (there): late by 4.5 us",
            &Warning::ClocksNotCompared(2).to_string(),
        ]
    );
}

#[test]
fn expectation_is_met_if_all_parts_met_it() {
    let with = |met: bool, actual: f64| {
        let mut saved = sample::load();
        let expr = "p99<5ms".to_owned();
        saved.result.expect = vec![Expectation {
            expr,
            actual: Some(actual),
            met,
        }];
        saved
    };
    let both = merged(vec![with(true, 1.0), there(with(false, 7.0))]);
    assert_eq!(both.result.expect.len(), 1);
    assert!(!both.result.expect[0].met);
    assert!((both.result.expect[0].actual.unwrap() - 7.0).abs() < 1e-9);
}

/// A difference between two saved results.
type Change = fn(&mut Saved);

#[test]
fn mismatched_results_are_rejected_with_names_and_reason() {
    let changed = |change: fn(&mut Saved)| {
        let mut saved = there(sample::load());
        change(&mut saved);
        rejection(sample::load(), saved)
    };
    let cases: [(Change, &str); 7] = [
        (|saved| saved.configuration.size_bytes = 64, "--size"),
        (|saved| saved.configuration.pipeline = 2, "--pipeline"),
        (
            |saved| saved.configuration.churn = Some("fin".to_owned()),
            "--churn",
        ),
        (|saved| saved.configuration.rate = None, "--rate"),
        (
            |saved| saved.result.target = "10.0.0.1:7".to_owned(),
            "--across-targets",
        ),
        (
            |saved| saved.result.started = "2026-11-20T12:00:03Z".to_owned(),
            "--start-at",
        ),
        (
            |saved| saved.result.seconds = 0.0,
            "before the measured time",
        ),
    ];
    for (change, reason) in cases {
        let rejected = changed(change);
        assert!(rejected.contains(reason), "{rejected}");
        assert!(
            rejected.contains("b.json") && !rejected.contains('\n'),
            "{rejected}"
        );
    }
    let twice = rejection(sample::load(), sample::load());
    assert!(
        twice.contains("twice") && twice.contains("a.json"),
        "{twice}"
    );
    assert!(merge(Vec::new(), Targets::One).is_err());
}

#[test]
fn idle_only_result_merges_with_any_configuration() {
    let mut idle = there(sample::of(&[vec![], vec![], vec![]]));
    idle.configuration = Configuration {
        idle: 12,
        size_bytes: 1,
        ..Configuration::default()
    };
    let both = merged(vec![idle, sample::load()]);
    assert_eq!(both.configuration.size_bytes, 128);
    assert_eq!(both.configuration.rate, Some(10.0));
}

#[test]
fn several_targets_merge_if_allowed() {
    let mut other = there(sample::load());
    other.result.target = "10.0.0.1:7".to_owned();
    let inputs = vec![input("a", sample::load()), input("b", other)];
    let both = merge(inputs, Targets::Several).unwrap();
    assert_eq!(both.result.target, "10.0.0.1:7, 127.0.0.1:8000");
}

fn times() -> impl Strategy<Value = Vec<Vec<u64>>> {
    let second = proptest::collection::vec(1_u64..60_000_000, 0..40);
    proptest::collection::vec(second, 1..6)
}

proptest! {
    // Each case creates dozens of histograms, which are large.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_does_not_matter_and_every_echo_counts(loads in proptest::collection::vec(times(), 2..5), rotation in 0_usize..5) {
        let saved: Vec<Saved> = loads.iter().enumerate().map(|(index, times)| {
            let mut saved = later(sample::of(times), &format!("00.{index}00"));
            saved.host = format!("host-{}", index % 2);
            saved
        }).collect();
        let mut rotated = saved.clone();
        rotated.rotate_left(rotation % saved.len());
        let together = merged(saved);
        prop_assert_eq!(&together, &merged(rotated));

        let all: Vec<u64> = loads.concat().concat();
        let result = &together.result;
        prop_assert_eq!(result.echo.received, all.len() as u64);
        prop_assert_eq!(result.echo.response_time_us.count, all.len() as u64);
        let in_seconds: u64 = result.intervals.iter().map(|interval| interval.echoes).sum();
        prop_assert_eq!(in_seconds, all.len() as u64);
        let recorded: u64 = together.interval_response_us.iter().flat_map(|counts| &counts.0).map(|(_, count)| count).sum();
        prop_assert_eq!(recorded, all.len() as u64);
    }

    /// The percentiles of all times together, within 0.1 %, the precision of the histogram.
    #[test]
    fn percentiles_are_those_of_the_union(one in times(), other in times()) {
        let mut all: Vec<u64> = one.concat();
        all.extend(other.concat());
        all.sort_unstable();
        let both = merged(vec![sample::of(&one), there(sample::of(&other))]);
        let found = &both.result.echo.response_time_us;
        for (percentile, figure) in [(50, found.p50), (90, found.p90), (99, found.p99), (100, found.max)] {
            let rank = (all.len() * percentile).div_ceil(100).max(1);
            let expected = all.get(rank - 1).copied().unwrap_or(0);
            prop_assert!(figure.abs_diff(expected) <= expected / 1000 + 1, "p{}: {} and {}", percentile, figure, expected);
        }
    }

    /// Everything counts once.
    #[test]
    fn merged_results_can_be_merged_again(one in times(), other in times(), third in times()) {
        let third = later(there(sample::of(&third)), "00.500");
        let mut second = sample::of(&other);
        second.command.push("second".to_owned());
        let first = sample::of(&one);
        let twice = merged(vec![merged(vec![first.clone(), second.clone()]), third.clone()]);
        let once = merged(vec![first, second, third]);
        prop_assert_eq!(&twice.histograms, &once.histograms);
        prop_assert_eq!(&twice.result.server, &once.result.server);
        prop_assert_eq!(&twice.result.connections, &once.result.connections);
        prop_assert_eq!(twice.result.echo.received, once.result.echo.received);
        prop_assert_eq!(twice.parts.len(), 3);
    }
}
