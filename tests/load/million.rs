//! `benches/million/run` with few connections: one process of `load` or several, and errors.

use crate::tools::{lacking, run_within};
use echoloop::load::LoadResult;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// The exit code, the merged result if there is one, and all output.
struct Outcome {
    code: Option<i32>,
    result: Option<LoadResult>,
    text: String,
}

/// Runs it with this program as `echoloop`, from a shell with at most `files` file descriptors.
fn million(program: &str, files: u32, arguments: &[&str]) -> Outcome {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/million/run");
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -n "$1"; shift; exec sh "$@""#, "sh"])
        .args([&files.to_string(), script])
        .args(arguments)
        .env("ECHOLOOP", program)
        .env("HOLD", "2s")
        .env("START_IN", "3")
        .env_remove("PORT");
    let output = run_within(Duration::from_secs(120), command, b"");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut values = serde_json::Deserializer::from_str(&stdout).into_iter();
    Outcome {
        code: output.status.code(),
        result: values.next().and_then(Result::ok),
        text: stdout.clone() + &String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn assert_all_alive(parts: &str) {
    let outcome = million(env!("CARGO_BIN_EXE_echoloop"), 1000, &["300", parts]);
    let text = outcome.text;
    assert_eq!(outcome.code, Some(0), "{text}");
    let result = outcome.result.unwrap();
    let counts = &result.connections;
    assert_eq!((counts.asked, counts.opened, counts.lost), (300, 300, 0));
    assert_eq!((result.probe.asked, result.probe.alive), (300, 300));
    assert_eq!(result.expect.len(), 3, "{text}");
    for line in [
        format!("processes of load            {parts}\n"),
        "exit code                    0\n".to_owned(),
    ] {
        assert!(text.contains(&line), "no line {line:?} in {text}");
    }
}

#[test]
fn one_process_holds_all_connections_of_the_bench() {
    assert_all_alive("1");
}

#[test]
fn parts_hold_all_connections_of_the_bench_together() {
    assert_all_alive("3");
}

#[test]
fn bench_fails_if_the_result_of_a_part_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("echoloop");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *\"--part 2/3\"*) exit 0 ;; esac\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_echoloop")
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = million(program.to_str().unwrap(), 1000, &["300", "3"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text);
    assert!(
        outcome.text.contains("part 2 of 3 is missing"),
        "{}",
        outcome.text
    );
    assert_eq!(outcome.result.unwrap().connections.opened, 200);
}

#[test]
fn bench_reports_the_file_descriptors_that_it_needs() {
    let outcome = million(env!("CARGO_BIN_EXE_echoloop"), 300, &["300", "1"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text);
    let message = "300 connections need 364 file descriptors, but the limit is 300:";
    assert!(outcome.text.contains(message), "{}", outcome.text);
    assert!(outcome.result.is_none(), "{}", outcome.text);
}

#[test]
fn bench_rejects_arguments_that_it_does_not_have() {
    let cases: [(&[&str], &str); 6] = [
        (&["--fast"], "unknown option '--fast'"),
        (&["0"], "CONNECTIONS is a number from 1"),
        (&["5g"], "CONNECTIONS is a number from 1"),
        (&["300", "two"], "PARTS is a number from 1"),
        (&["300", "1", "2"], "unexpected argument '2'"),
        (
            &["--userspace-tcp", "300", "2"],
            "--userspace-tcp has one process of load, not 2",
        ),
    ];
    for (arguments, message) in cases {
        let outcome = million(env!("CARGO_BIN_EXE_echoloop"), 1000, arguments);
        let text = outcome.text;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(message), "{arguments:?}: {text}");
    }
}

#[test]
fn bench_reports_the_memory_that_it_needs() {
    // More than any machine has.
    let outcome = million(env!("CARGO_BIN_EXE_echoloop"), 1000, &["90000000m", "1"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text);
    let message = "90000000000000 connections need 720000000000 MB of memory, but ";
    assert!(outcome.text.contains(message), "{}", outcome.text);
}

#[test]
fn bench_takes_thousands_and_millions() {
    let outcome = million(env!("CARGO_BIN_EXE_echoloop"), 300, &["1k"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text);
    let message = "1000 connections need 1064 file descriptors, but the limit is 300:";
    assert!(outcome.text.contains(message), "{}", outcome.text);
}

#[test]
fn bench_holds_connections_without_sockets() {
    let program = env!("CARGO_BIN_EXE_echoloop");
    let outcome = million(program, 1000, &["--userspace-tcp", "300"]);
    let text = outcome.text;
    let refusals = [
        "the TUN device cannot be opened",
        "a private network namespace is not permitted",
    ];
    if refusals.iter().any(|refusal| text.contains(refusal)) {
        lacking(text.trim());
        return;
    }
    assert_eq!(outcome.code, Some(0), "{text}");
    let result = outcome.result.unwrap();
    let counts = &result.connections;
    assert_eq!((counts.asked, counts.opened, counts.lost), (300, 300, 0));
    assert_eq!((result.probe.asked, result.probe.alive), (300, 300));
    for line in [
        "held                         300; the kernel had sockets for ",
        "listen overflows             0\n",
        "SYN cookies sent             0\n",
        "exit code                    0\n",
    ] {
        assert!(text.contains(line), "no line {line:?} in {text}");
    }
}
