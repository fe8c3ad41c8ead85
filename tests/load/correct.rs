//! The figures for a correct server: `echoloop serve` as the child process.

use crate::run::{load, result};

#[test]
fn closed_loop_counts_every_message_without_a_warning() {
    let result = result(&["--active", "8", "--duration", "1s", "--warmup", "200ms"]);
    assert!(result.echo.sent > 100, "{result:#?}");
    assert_eq!(result.echo.due, result.echo.sent);
    assert_eq!((result.echo.mismatched, result.echo.unanswered), (0, 0));
    assert_eq!(result.echo.response_time_us, result.echo.service_time_us);
    assert!(result.echo.outstanding <= 8, "one per connection");
    assert!(result.echo.sent.abs_diff(result.echo.received) <= 8);
    assert_eq!(
        result.echo.response_time_us.count,
        result.echo.received + result.echo.outstanding
    );
    let second: u64 = result
        .intervals
        .iter()
        .map(|interval| interval.echoes)
        .sum();
    assert_eq!(result.echo.received, second);
    assert_eq!(
        result.generator.lag_us.count, 0,
        "a closed loop has no schedule"
    );
    assert!(result.server.unwrap().rss_bytes > 0);
    assert!(result.warnings.is_empty(), "{:#?}", result.warnings);
}

#[test]
fn rate_is_exact_to_the_message() {
    let result = result(&[
        "--active",
        "3",
        "--rate",
        "250",
        "--duration",
        "2s",
        "--warmup",
        "100ms",
    ]);
    assert_eq!(
        (result.echo.due, result.echo.unanswered),
        (500, 0),
        "{result:#?}"
    );
    assert_eq!(result.generator.lag_us.count, 500);
    let asked: u64 = result.intervals.iter().map(|interval| interval.asked).sum();
    assert_eq!(asked, 500);
}

#[test]
fn messages_of_any_size_are_echoed_with_many_in_flight() {
    for (size, pipeline) in [("1", "1"), ("7", "9"), ("100000", "3"), ("1MiB", "2")] {
        let result = result(&[
            "--active",
            "2",
            "--size",
            size,
            "--pipeline",
            pipeline,
            "--duration",
            "300ms",
            "--warmup",
            "0",
        ]);
        assert!(result.echo.received > 0, "{size}: {result:#?}");
        assert_eq!(result.echo.unanswered, 0, "{size}: {result:#?}");
        assert_eq!(result.echo.mismatched, 0, "{size}: {result:#?}");
    }
}

#[test]
fn idle_connections_all_answer_their_probe() {
    let result = result(&["--idle", "3000", "--duration", "1s", "--warmup", "0"]);
    assert_eq!(
        (result.connections.asked, result.connections.opened),
        (3000, 3000)
    );
    assert_eq!(result.connections.lost, 0);
    assert_eq!(
        (result.probe.asked, result.probe.alive),
        (3000, 3000),
        "{result:#?}"
    );
    assert_eq!(result.intervals.last().unwrap().held, 3000);
    assert_eq!(result.echo.sent, 0);
    assert_eq!(result.connect.time_us.count, 3000);
}

#[test]
fn probe_can_be_a_sample_or_off() {
    let some = result(&[
        "--idle",
        "100",
        "--probe",
        "10",
        "--duration",
        "100ms",
        "--warmup",
        "0",
    ]);
    assert_eq!((some.probe.asked, some.probe.alive), (10, 10), "{some:#?}");
    let none = result(&[
        "--idle",
        "100",
        "--probe",
        "off",
        "--duration",
        "100ms",
        "--warmup",
        "0",
    ]);
    assert_eq!(none.probe.asked, 0, "{none:#?}");
}

#[test]
fn ramp_limits_connects_per_second() {
    let result = result(&[
        "--idle",
        "50",
        "--ramp",
        "100",
        "--duration",
        "100ms",
        "--warmup",
        "0",
    ]);
    assert!(result.connect.seconds >= 0.48, "{result:#?}");
    assert_eq!(result.connections.opened, 50);
}

#[test]
fn churn_reconnects_after_every_echo() {
    for how in ["fin", "reset"] {
        let result = result(&[
            "--churn",
            how,
            "--active",
            "4",
            "--duration",
            "1s",
            "--warmup",
            "0",
        ]);
        assert!(result.echo.received > 20, "{how}: {result:#?}");
        assert_eq!(result.echo.unanswered, 0, "{how}: {result:#?}");
        assert_eq!(result.echo.mismatched, 0, "{how}: {result:#?}");
        assert_eq!(result.connections.failed.total(), 0, "{how}: {result:#?}");
        let connects = result.connect.time_us.count;
        assert!(
            connects.abs_diff(result.echo.sent) <= 8,
            "{how}: one echo each: {result:#?}"
        );
        assert!(result.connect.per_second > 20.0, "{how}: {result:#?}");
    }
}

#[test]
fn churn_keeps_the_rate() {
    let result = result(&[
        "--churn",
        "fin",
        "--active",
        "4",
        "--rate",
        "100",
        "--duration",
        "1s",
        "--warmup",
        "0",
    ]);
    assert_eq!(
        (result.echo.due, result.echo.unanswered),
        (100, 0),
        "{result:#?}"
    );
    assert_eq!(result.echo.response_time_us.count, 100);
}

#[test]
fn text_fits_a_screen_and_shows_both_times() {
    let output = load(&[
        "--active",
        "2",
        "--idle",
        "10",
        "--rate",
        "100",
        "--duration",
        "500ms",
        "--expect",
        "lost=0",
    ]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    // On a loaded machine warnings precede the figures.
    let figures = output.stdout.find("target ").unwrap();
    let lines = output.stdout[figures..].lines().count();
    assert!(lines <= 24, "{}", output.stdout);
    for words in [
        "response time",
        "service time",
        "schedule lag",
        "connect time",
        "10 idle probed, 10 alive",
        "bytes per connection",
        "lost=0: met",
    ] {
        assert!(
            output.stdout.contains(words),
            "no {words:?} in\n{}",
            output.stdout
        );
    }
}

#[test]
fn measured_part_begins_at_the_given_time() {
    let is_late = |warning: &String| warning.contains("--start-at");
    // The processes must have started before, which takes longer on a busy machine.
    let in_time = ["+1.5s", "+3s", "+6s", "+12s"].iter().find_map(|start| {
        let result = result(&[
            "--active",
            "1",
            "--rate",
            "10",
            "--start-at",
            start,
            "--warmup",
            "100ms",
            "--duration",
            "100ms",
            "--save",
            "/dev/null",
        ]);
        assert_eq!(result.echo.due, 1);
        (!result.warnings.iter().any(is_late)).then_some(result)
    });
    in_time.unwrap();
}
