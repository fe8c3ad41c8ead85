//! `echoloop lab patterns`: table, JSON, page, errors, and its end.

use crate::echoloop;
use crate::server::wait_until;
use crate::tools::{run, run_within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// How long a comparison of some patterns may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn table_json_and_page_show_what_serves_and_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let arguments = ["lab", "patterns", "pool", "thread", "echoloop"];
    let flags = [
        "--idle", "70", "-c", "4", "--quick", "-o", "json", "--report",
    ];
    let page_path = page.to_str().unwrap();
    let all = [&arguments[..], &flags[..], &[page_path]].concat();
    let output = run_within(PATIENCE, echoloop(&all), b"");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |name: &str| {
        let rows = json["patterns"].as_array().unwrap();
        rows.iter().find(|row| row["pattern"] == name).unwrap()
    };
    let pool = row("pool");
    assert_eq!(pool["failure"]["kind"], "no_reply", "{json:#}");
    assert_eq!(pool["idle"]["accepted"], 70, "{json:#}");
    assert_eq!(pool["echoes_per_second"], 0.0, "{json:#}");
    assert_eq!(pool["threads"], 65, "{json:#}");
    let thread = row("thread");
    assert_eq!(thread["failure"], Value::Null, "{json:#}");
    assert_eq!(thread["threads"], 70 + 4 + 1, "{json:#}");
    assert_eq!(thread["processes"], 1, "{json:#}");
    let echoloop = row("echoloop");
    assert_eq!(echoloop["failure"], Value::Null, "{json:#}");
    for figure in [
        "cpu_us_per_echo",
        "pss_bytes",
        "switches_per_echo",
        "p99_us",
    ] {
        assert!(
            echoloop[figure].as_f64().unwrap() > 0.0,
            "{figure}: {json:#}"
        );
    }
    // The pool has 64 places: it fails among 70 only, and 4 active clients.
    let series = json["series"].as_array().unwrap();
    let of_pool = series.iter().filter(|row| row["pattern"] == "pool");
    let served: Vec<bool> = of_pool.map(|row| row["failure"].is_null()).collect();
    assert_eq!(served, [true, true, false], "{json:#}");
    assert!(
        log.contains("2 of 3  thread          70 idle clients\n"),
        "{log}"
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("pool: no reply at 70"), "{page}");
}

#[test]
fn each_round_measures_every_pattern_once() {
    let arguments = ["lab", "patterns", "serial", "echoloop"];
    let flags = ["--idle", "1", "-c", "1", "--quick", "--rounds", "2"];
    let all = [&arguments[..], &flags[..], &["-o", "json"]].concat();
    let output = run_within(PATIENCE, echoloop(&all), b"");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let order: Vec<&str> = log.lines().map(|line| line.split_at(14).0).collect();
    let round = |number| vec![number; 3];
    let expected = [round("round 1 of 2  "), round("round 2 of 2  ")].concat();
    assert_eq!(order, expected, "{log}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["rounds"], 2);
    let rows = json["patterns"].as_array().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["pattern"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["serial", "echoloop"], "{json:#}");
    assert_eq!(rows[0]["failure"]["kind"], "no_reply", "{json:#}");
}

#[test]
fn wrong_name_and_too_many_idle_clients_are_named() {
    let output = run(echoloop(&["lab", "patterns", "polll"]), b"");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("no such pattern: choose from serial, prefork"),
        "{text}"
    );
    let output = run(echoloop(&["lab", "patterns", "--idle", "1g"]), b"");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot connect 1,000,000,000 idle clients"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The processes whose environment has this variable with this value.
fn marked(mark: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_mark = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    pids.filter(has_mark).collect()
}

#[test]
fn nothing_remains_after_an_interrupt() {
    let id = std::process::id();
    let mark = format!("ECHOLOOP_TEST_MARK={id}");
    let mut command = echoloop(&["-q", "lab", "patterns", "prefork", "--idle", "3"]);
    let mut lab = command
        .env("ECHOLOOP_TEST_MARK", id.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The comparison, its server with 64 children, and its load.
    wait_until("server and load run", || marked(&mark).len() >= 67);
    kill(
        Pid::from_raw(i32::try_from(lab.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    assert!(!lab.wait().unwrap().success());
    wait_until("all have ended", || marked(&mark).is_empty());
}
