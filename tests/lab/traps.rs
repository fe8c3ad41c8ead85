//! `echoloop lab trap`: every trap shows its mistake and its remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

/// The traps with a figure that only the wrong version prints and one that only the right version prints, as far as
/// they are the same on every machine.
const RESULTS: [(&str, &str, &str); 15] = [
    (
        "partial-frame",
        "he, lo\\x05wor, d\\x03end",
        "hello, world, end",
    ),
    (
        "short-write",
        "of 16,000,000 bytes",
        "16,000,000 of 16,000,000 bytes",
    ),
    (
        "edge",
        "4,096 of 10,000 bytes; 5,904 wait",
        "10,000 of 10,000 bytes",
    ),
    (
        "half-close",
        "no echo, then connection reset",
        "hello, then FIN",
    ),
    ("close", "then connection reset", "then FIN"),
    (
        "sigpipe",
        "ended by SIGPIPE; the other client read nothing",
        "read hello",
    ),
    (
        "slow-reader",
        "32,000,000 sent",
        "bytes in the memory of the server",
    ),
    (
        "starvation",
        "before the quiet one",
        "16,384 bytes of the busy client",
    ),
    ("stale-key", "C reads FIN instead", "C reads its echo"),
    ("emfile", "wake-ups in 1 s", "wake-ups in 1 s"),
    ("backlog", "of 60 are connected", "60 of 60 are connected"),
    ("herd", "wake-ups for 5", "wake-ups for 5"),
    ("nagle", "ms for a request", "ms for a request"),
    (
        "urgent",
        "the server read abcdef",
        "the server read abcXdef",
    ),
    (
        "time-wait",
        "4 of 20 connections, then: address in use",
        "20 of 20",
    ),
];

fn trap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command
        .args(["lab", "trap"])
        .args(arguments)
        .env_remove("ECHOLOOP_LOG");
    command
}

/// The text on stdout, in lines of at most 80 columns; an error is one line.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    for line in stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    match code {
        0 | 3 => assert_eq!(stderr, ""),
        1 => assert_eq!(stderr.lines().count(), 1, "{stderr}"),
        _ => assert!(stderr.lines().all(|line| line.len() <= 80), "{stderr}"),
    }
    stdout
}

/// The text without line breaks and indentation.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The results of a text, of the wrong and of the right version.
#[track_caller]
fn results(text: &str) -> (String, String) {
    let (_, rest) = text.split_once("\nresult ").unwrap();
    let (results, _) = rest.split_once("\nwhy ").unwrap();
    let (wrong, right) = results.split_once(" right: ").unwrap();
    (joined(wrong), joined(right))
}

/// Checks that the quoted code is in the source file that the text names.
#[track_caller]
fn assert_is_quoted(name: &str, text: &str) {
    let (_, rest) = text.split_once("\ncode        ").unwrap();
    let (path, rest) = rest.split_once('\n').unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let source = fs::read_to_string(&source).unwrap();
    let (_, rest) = rest.split_once("\n\n").unwrap();
    let (code, _) = rest.split_once("\n\necholoop ").unwrap();
    let mut marked = 0;
    for line in code.lines() {
        let (mark, quoted) = line.split_at(4.min(line.len()));
        marked += usize::from(!mark.trim().is_empty());
        let is_there = source
            .lines()
            .any(|line| line.trim_start() == quoted.trim_start());
        assert!(is_there, "{name}: {quoted:?} is not in {path}");
    }
    assert!(marked > 0, "{name}: {code}");
}

#[test]
fn every_trap_shows_its_mistake_and_its_remedy() {
    let queue = Mutex::new(RESULTS.into_iter());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, wrong, right)) = next() {
                    let text = printed(&trap(&[name]).output().unwrap(), 0);
                    let results = results(&text);
                    assert!(results.0.contains(wrong), "{name}: {text}");
                    assert!(results.1.contains(right), "{name}: {text}");
                    assert!(!text.contains("NOT as predicted"), "{text}");
                    assert_is_quoted(name, &text);
                    for label in [
                        "experiment  ",
                        "predicted   wrong: ",
                        "why         ",
                        "echoloop    src/",
                    ] {
                        assert!(text.contains(&format!("\n{label}")), "{name}: {text}");
                    }
                }
            });
        }
    });
}

#[test]
fn list_has_a_trap_per_line() {
    let list = printed(&trap(&[]).output().unwrap(), 0);
    let names: Vec<&str> = list
        .lines()
        .map(|line| line.split_once("  ").expect("a sentence").0)
        .collect();
    assert_eq!(names, RESULTS.map(|(name, ..)| name));
    let help = printed(&trap(&["--help"]).output().unwrap(), 0);
    assert!(!help.contains("--in-child"), "{help}");
}

#[test]
fn wrong_and_right_run_one_version() {
    for (flag, shown, hidden) in [
        ("--wrong", "wrong: the server read abcdef", "right: "),
        ("--right", "right: the server read abcXdef", "wrong: "),
    ] {
        let text = printed(&trap(&["urgent", flag]).output().unwrap(), 0);
        let (results, code) = text.split_once("\ncode ").unwrap();
        let has_solution = code.contains("set_socket_oobinline");
        assert_eq!(has_solution, flag == "--right", "{text}");
        assert!(
            results.contains(&format!("\nresult      {shown}")),
            "{text}"
        );
        assert!(!results.contains(hidden), "{text}");
    }
    for usage in [&["urgent", "--wrong", "--right"][..], &["--wrong"]] {
        printed(&trap(usage).output().unwrap(), 2);
    }
}

#[test]
fn unknown_name_is_rejected_with_the_most_similar_one() {
    for (name, expected) in [
        ("egde", "did you mean edge?"),
        ("reader", "did you mean slow-reader?"),
        ("quux\n\x1b", "there is no trap 'quux\\n\\u{1b}'"),
        (&"long".repeat(50), "'echoloop lab trap' lists"),
    ] {
        let output = trap(&[name]).output().unwrap();
        printed(&output, 2);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
}

/// Runs the trap `sigpipe` with another program as its `sh`.
fn sigpipe_with_shell(script: Option<&str>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    if let Some(script) = script {
        let path = folder.path().join("sh");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = trap(&["sigpipe"]);
    command.env("PATH", folder.path()).output().unwrap()
}

#[test]
fn result_that_differs_from_the_prediction_exits_with_3() {
    // This shell ignores SIGPIPE, as few do.
    let output = sigpipe_with_shell(Some("#!/bin/sh\ntrap '' PIPE\nexec /bin/sh \"$@\"\n"));
    let text = printed(&output, 3);
    let (wrong, right) = results(&text);
    let remark = "(NOT as predicted)";
    assert!(wrong.ends_with(remark), "{text}");
    assert!(!right.contains("NOT as predicted"), "{text}");
}

#[test]
fn experiment_that_cannot_be_run_exits_with_1() {
    let output = sigpipe_with_shell(None);
    printed(&output, 1);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = "cannot run the trap sigpipe: sh cannot be run: No such file";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn document_has_every_trap() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lab-traps.md");
    let document = fs::read_to_string(path).unwrap();
    for (name, ..) in RESULTS {
        let command = format!("`echoloop lab trap {name}`");
        assert!(document.contains(&command), "{command}");
    }
}
