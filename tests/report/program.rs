//! Output, files and errors of `echoloop report`.

use crate::tools::run as run_to_exit;
use crate::{echoloop, run};
use echoloop::load::{LoadResult, Saved};
use std::fs;
use std::process::Output;

fn report_with_stdin(arguments: &[&str], input: &[u8]) -> Output {
    let arguments = [&["report"], arguments].concat();
    run_to_exit(echoloop(&arguments), input)
}

fn report(arguments: &[&str]) -> Output {
    report_with_stdin(arguments, b"")
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "stderr: {stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The single line of an error.
#[track_caller]
fn error(arguments: &[&str]) -> String {
    let output = report(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "stderr: {stderr}");
    assert!(output.stdout.is_empty(), "something is on stdout");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    stderr
}

fn saved(name: &str) -> Saved {
    serde_json::from_slice(&fs::read(run(name)).unwrap()).unwrap()
}

#[test]
fn stdin_given_twice_is_a_usage_error() {
    let output = report(&["-", &run("together-1"), "-"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "stderr: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(stderr.contains("give - once"), "{stderr}");
}

#[test]
fn single_result_is_reported_unchanged() {
    let json = stdout(&report(&[&run("together-1"), "-o", "json"]));
    let result: LoadResult = serde_json::from_str(&json).unwrap();
    let mut expected = saved("together-1").result;
    // The file is of a version whose `sent` was what was due.
    assert!(
        !fs::read_to_string(run("together-1"))
            .unwrap()
            .contains("\"due\"")
    );
    expected.echo.due = expected.echo.sent;
    assert_eq!(result, expected);
}

#[test]
fn results_of_two_processes_merge_in_any_order() {
    let (one, other) = (run("together-1"), run("together-2"));
    let json = stdout(&report(&[&one, &other, "-o", "json"]));
    assert_eq!(json, stdout(&report(&[&other, &one, "-o", "json"])));
    let result: LoadResult = serde_json::from_str(&json).unwrap();
    let (one, other) = (saved("together-1").result, saved("together-2").result);
    assert_eq!(
        result.echo.received,
        one.echo.received + other.echo.received
    );
    assert_eq!(result.connections.asked, 408);
    assert_eq!(result.intervals.len(), one.intervals.len());
    assert_eq!(
        result.intervals[1].echoes,
        one.intervals[1].echoes + other.intervals[1].echoes
    );
    // Both measured the same server.
    let (server, seen) = (result.server.unwrap(), one.server.unwrap());
    assert_eq!((server.pid, server.rss_bytes), (seen.pid, seen.rss_bytes));
    assert!(server.rss_bytes_per_connection < seen.rss_bytes_per_connection);
}

#[test]
fn results_without_machine_retransmits_can_be_merged() {
    let text = fs::read_to_string(run("together-1")).unwrap();
    assert!(!text.contains("machine_retransmitted"), "not an old result");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.json");
    let key = "\"retransmitted\":0";
    let other = fs::read_to_string(run("together-2")).unwrap();
    assert!(other.contains(key), "no retransmits");
    let new = other.replace(key, "\"retransmitted\":2,\"machine_retransmitted\":7");
    fs::write(&path, new).unwrap();
    let json = |paths: [&str; 2]| {
        let json = stdout(&report(&[paths[0], paths[1], "-o", "json"]));
        let result: LoadResult = serde_json::from_str(&json).unwrap();
        let connect = result.connect;
        (connect.retransmitted, connect.machine_retransmitted)
    };
    let old = run("together-1");
    assert_eq!(json([&old, &run("together-2")]), (0, None));
    assert_eq!(json([&old, path.to_str().unwrap()]), (2, Some(7)));
}

#[test]
fn merged_result_can_be_saved_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.json");
    let both = path.to_str().unwrap();
    let one = report(&[
        &run("together-1"),
        &run("together-2"),
        "--save",
        both,
        "-o",
        "json",
    ]);
    assert_eq!(stdout(&one), stdout(&report(&[both, "-o", "json"])));
    let twice = error(&[both, &run("together-1")]);
    assert!(twice.contains("twice"), "{twice}");
}

#[test]
fn text_names_merged_results_and_pipe_gets_no_sparklines() {
    let text = stdout(&report(&[&run("together-1"), &run("together-2")]));
    assert!(text.contains("merged          2 loads, on bench"), "{text}");
    assert!(text.is_ascii(), "{text}");
    let figures = text.find("target ").unwrap();
    let lines = text[figures..].lines().count();
    assert!(lines <= 24, "one screen below the warnings: {text}");
}

#[test]
fn html_goes_to_stdout_or_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let page = stdout(&report(&[&run("idle"), "-o", "html"]));
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert_eq!(page.matches("<svg role=\"img\"").count(), 2);
    let text = stdout(&report(&[&run("idle"), "--report", path.to_str().unwrap()]));
    assert!(text.contains("500 requested"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), page);
}

#[test]
fn result_is_read_from_stdin() {
    let bytes = fs::read(run("idle")).unwrap();
    let json = stdout(&report_with_stdin(&["-", "-o", "json"], &bytes));
    let result: LoadResult = serde_json::from_str(&json).unwrap();
    assert_eq!(result, saved("idle").result);
}

#[test]
fn expectations_apply_to_the_merged_result() {
    let (one, other) = (run("together-1"), run("together-2"));
    let met = report(&[&one, &other, "--expect", "rate>900"]);
    assert!(stdout(&met).contains("rate>900: met"));
    // Each single result misses it.
    let missed = report(&[&one, "--expect", "rate>900"]);
    assert_eq!(missed.status.code(), Some(3));
    let text = String::from_utf8(missed.stdout).unwrap();
    assert!(text.contains("rate>900: MISSED"), "{text}");
}

#[test]
fn unusable_file_is_named_in_one_line_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let newer = fs::read_to_string(run("idle")).unwrap();
    let newer = newer.replace("\"schema\":1", "\"schema\":2");
    let result = serde_json::to_string(&saved("idle").result).unwrap();
    for (name, text, reason) in [
        ("broken.json", "{\"kind\":", "not JSON"),
        ("other.json", "{\"a\": 1}", "echoloop load --save"),
        ("result.json", &result, "not with -o json"),
        ("newer.json", &newer, "version is 2"),
    ] {
        let line = error(&[&file(name, text)]);
        assert!(line.contains(name) && line.contains(reason), "{line}");
    }
    let missing = error(&["/nonexistent/run.json"]);
    assert!(missing.contains("/nonexistent/run.json"), "{missing}");
    let unwritable = report(&[&run("idle"), "--report", "/nonexistent/page.html"]);
    let stderr = String::from_utf8(unwritable.stderr).unwrap();
    assert_eq!(unwritable.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/nonexistent/page.html"), "{stderr}");
}

#[test]
fn mismatched_results_are_rejected_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.json");
    let both = path.to_str().unwrap();
    let line = error(&[&run("together-1"), &run("idle"), "--save", both]);
    assert!(line.contains("--across-targets"), "{line}");
    let arguments = [&run("together-1"), &run("idle"), "--across-targets"];
    let line = error(&arguments);
    assert!(line.contains("--start-at"), "{line}");
    assert!(!path.exists());
}

#[test]
fn missing_file_argument_is_a_usage_error() {
    let output = report(&[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_has_examples() {
    let help = stdout(&report(&["--help"]));
    assert!(help.contains("echoloop report a.json b.json"), "{help}");
}

#[test]
fn load_writes_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let load = echoloop(&[
        "load",
        "--active",
        "2",
        "--duration",
        "200ms",
        "--warmup",
        "0",
        "--report",
        path.to_str().unwrap(),
    ]);
    let load = run_to_exit(load, b"");
    assert_eq!(load.status.code(), Some(0), "{load:?}");
    let page = fs::read_to_string(&path).unwrap();
    assert_eq!(page.matches("<svg role=\"img\"").count(), 6);
    assert!(page.contains("--report"), "no command in the page");
}
