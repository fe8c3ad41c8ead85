//! A server that cannot keep up with the schedule, one that stalls, and one that never replies.

use crate::output::lines_of;
use crate::run::{Running, echoloop, load, result};
use crate::servers::{Fate, serve};
use echoloop::load::{LoadResult, Warning};
use echoloop::numbers::as_f64;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// A server that handles one message at a time and takes this long for each.
fn with_service_time(time: Duration) -> String {
    let gate = Mutex::new(());
    let server = serve(move |_| {
        let _guard = gate.lock().unwrap();
        // The service time, not a wait for a condition.
        thread::sleep(time);
        Fate::Answered
    });
    server.to_string()
}

/// A run of 2 s on this schedule, with this warm-up.
fn overloaded(warmup: &str) -> LoadResult {
    let server = with_service_time(Duration::from_millis(2));
    // At most 500 per second.
    result(&[
        &server,
        "--active",
        "4",
        "--rate",
        "5k",
        "--warmup",
        warmup,
        "--duration",
        "2s",
    ])
}

#[track_caller]
fn assert_consistent(result: &LoadResult) {
    let echo = &result.echo;
    assert!(echo.received > 20, "it replies: {result:#?}");
    assert!(
        echo.received <= 1_004,
        "at most 500 per second: {result:#?}"
    );
    let rate = echo.per_second * result.seconds;
    assert!((rate - as_f64(echo.received)).abs() < 0.5, "{result:#?}");
    assert!(echo.sent.abs_diff(echo.received) <= 4, "{result:#?}");
    let in_intervals: u64 = result.intervals.iter().map(|one| one.echoes).sum();
    assert_eq!(in_intervals, echo.received, "{result:#?}");
    let times = echo.response_time_us.count;
    assert_eq!(times, echo.received + echo.outstanding, "{result:#?}");
    assert_eq!(echo.response_time_lower_bounds.count, echo.unanswered);
    assert!(echo.response_time_lower_bounds.is_bound("p99"));
    assert_eq!(echo.missing, 0, "each connection replies: {result:#?}");
}

#[test]
fn overload_counts_due_sent_received_and_outstanding() {
    let result = overloaded("0");
    assert_consistent(&result);
    let echo = &result.echo;
    assert_eq!(echo.due, 10_000);
    assert_eq!(echo.due, echo.received + echo.outstanding, "{result:#?}");
    // At most the 2,000 messages of the first 0.4 s were answered, until 2 s after the measured part.
    assert!(echo.response_time_us.p50 > 2_300_000, "{result:#?}");
    assert!(echo.response_time_us.p99 > 3_400_000, "{result:#?}");
}

#[test]
fn backlog_of_the_warmup_does_not_hide_replies() {
    let result = overloaded("1s");
    assert_consistent(&result);
    let echo = &result.echo;
    assert_eq!(echo.due, 10_000);
    // Of the 5,000 messages due in the warm-up at most 500 were answered in it.
    assert!(echo.outstanding + echo.received > 14_000, "{result:#?}");
    assert!(echo.outstanding + echo.received <= 15_000, "{result:#?}");
}

#[test]
fn overload_is_the_first_warning_and_no_failure() {
    let server = with_service_time(Duration::from_millis(2));
    let run = |expect: &[&str]| {
        let usual = [&server, "--active", "4", "--rate", "5k", "--warmup", "0"];
        load(&[&usual[..], &["--duration", "1s", "-o", "json"], expect].concat())
    };
    let output = run(&[]);
    let result = output.result();
    let first = &result.warning_details[0];
    if result.generator.saturated {
        // On a busy machine this process may be late as well.
        assert!(result.warnings[0].starts_with("SATURATED"), "{result:#?}");
    } else {
        let is_overload = matches!(first, Warning::ServerOverloaded(_, 5_000, _));
        assert!(is_overload, "{:#?}", result.warnings);
    }
    assert_eq!(output.code, Some(0), "{output:#?}");
    // A lower bound does not show that a time is below a limit.
    let output = run(&["--expect", "p99<1m"]);
    assert_eq!(output.code, Some(3), "{output:#?}");
    let output = run(&["--expect", "outstanding<100"]);
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert!(
        output.stderr.contains("outstanding<100 missed"),
        "{output:#?}"
    );
}

#[test]
fn text_marks_lower_bounds_of_an_overloaded_server() {
    let server = with_service_time(Duration::from_millis(2));
    let usual = [&server, "--active", "4", "--rate", "5k", "--warmup", "0"];
    let output = load(&[&usual[..], &["--duration", "1s"]].concat());
    let line = |name: &str| {
        let mut lines = output.stdout.lines();
        let found = lines.find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name}: {output:#?}"))
    };
    assert!(line("echoes").contains("5,000 due, "), "{output:#?}");
    assert!(line("outstanding").contains(" 0 missing"), "{output:#?}");
    assert!(line("response time").contains(" >="), "{output:#?}");
    assert!(!line("service time").contains(">="), "{output:#?}");
}

#[test]
fn stall_shows_in_the_tail_at_every_rate() {
    for rate in ["100", "1k", "10k"] {
        let gate = Mutex::new(None::<Instant>);
        let server = serve(move |_| {
            let mut begun = gate.lock().unwrap();
            match *begun {
                None => *begun = Some(Instant::now()),
                // The fault: all connections stall, once.
                Some(time) if time.elapsed() > Duration::from_millis(700) => {
                    thread::sleep(Duration::from_millis(500));
                    *begun = Some(Instant::now() + Duration::from_secs(3600));
                }
                Some(_) => {}
            }
            Fate::Answered
        });
        let server = server.to_string();
        let arguments = [&server, "--active", "10", "--rate", rate, "--warmup", "0"];
        let result = result(&[&arguments[..], &["--duration", "2s"]].concat());
        let p99_9 = result.echo.response_time_us.p99_9;
        assert!(p99_9 >= 450_000, "{rate}: {result:#?}");
        assert_eq!(result.echo.unanswered, 0, "{rate}: {result:#?}");
    }
}

#[test]
fn stall_that_never_ends_is_a_lower_bound() {
    // It hangs before the end of the measured part, for longer than the load waits.
    let server = serve(|message| {
        if message.number >= 25 {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let server = server.to_string();
    let arguments = [&server, "--active", "4", "--rate", "200", "--warmup", "0"];
    let output = load(&[&arguments[..], &["--duration", "1s", "-o", "json"]].concat());
    let result = output.result();
    let echo = &result.echo;
    assert_eq!(echo.due, 200);
    assert_eq!(echo.unanswered, 100, "{result:#?}");
    assert_eq!(echo.missing, echo.unanswered, "{result:#?}");
    assert!(echo.response_time_us.p99 > 2_000_000, "{result:#?}");
    assert!(echo.response_time_lower_bounds.is_bound("p99"));
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert!(output.stderr.contains("replies missing"), "{output:#?}");
}

#[test]
fn silent_server_is_reported_while_the_load_runs() {
    let server = serve(|_| Fate::Ignored).to_string();
    let mut load = Running::start(echoloop(&[
        "load",
        &server,
        "--active",
        "4",
        "--duration",
        "5s",
        "--connect-timeout",
        "2s",
        "-o",
        "json",
    ]));
    let lines = lines_of(&mut load);
    let first = lines.recv_timeout(Duration::from_secs(20)).unwrap();
    // Not after the connect timeout.
    let seconds = first
        .strip_prefix("no reply for ")
        .unwrap_or_else(|| panic!("{first}"));
    let seconds: f64 = seconds.split(' ').next().unwrap().parse().unwrap();
    assert!((1.0..2.0).contains(&seconds), "{first}");
    let rest: Vec<String> = lines.iter().collect();
    assert!(rest.iter().any(|line| line.contains("p50 -")), "{rest:#?}");
    let mut text = String::new();
    let stdout = load.process.stdout.as_mut().unwrap();
    std::io::Read::read_to_string(stdout, &mut text).unwrap();
    assert_eq!(load.process.wait().unwrap().code(), Some(3));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value["echo"]["service_time_us"]["p50"].is_null(), "{text}");
    assert!(value["intervals"][0]["p50_us"].is_null(), "{text}");
    let result: LoadResult = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (result.echo.received, result.echo.missing),
        (0, 4),
        "{text}"
    );
    assert!(
        matches!(result.warning_details[0], Warning::NoReply(4)),
        "{text}"
    );
    assert!(result.echo.response_time_us.p50 > 5_000_000, "{text}");
    assert!(
        result.echo.response_time_lower_bounds.is_bound("min"),
        "{text}"
    );
}

#[test]
fn time_without_samples_is_null_and_misses_an_expectation() {
    let arguments = ["--idle", "3", "--duration", "100ms", "--warmup", "0"];
    let output = load(&[&arguments[..], &["-o", "json", "--expect", "p99<5ms"]].concat());
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert!(
        output.stderr.contains("p99<5ms missed (no samples)"),
        "{output:#?}"
    );
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(value["echo"]["response_time_us"]["p99"].is_null());
    assert!(value["expect"][0]["actual"].is_null());
    let output = load(&[&arguments[..], &["--expect", "p99<5ms"]].concat());
    assert!(
        output.stdout.contains("p99<5ms: MISSED (no samples)"),
        "{output:#?}"
    );
}

#[test]
fn server_that_accepts_nothing_is_reported_before_the_connect_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let mut load = Running::start(echoloop(&[
        "load",
        &target,
        "--active",
        "2",
        "--duration",
        "100ms",
        "--connect-timeout",
        "5s",
    ]));
    let lines = lines_of(&mut load);
    let first = lines.recv_timeout(Duration::from_secs(20)).unwrap();
    let seconds = first.strip_prefix("the server has accepted no connection for ");
    let seconds = seconds.unwrap_or_else(|| panic!("{first}"));
    let seconds: f64 = seconds.split(' ').next().unwrap().parse().unwrap();
    assert!((1.0..5.0).contains(&seconds), "{first}");
    drop(load);
}
