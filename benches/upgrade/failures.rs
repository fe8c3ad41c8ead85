//! Upgrades that fail: how soon the old process echoes again, and how reliably nothing changes for its clients.

use crate::held::Load;
use crate::load::report_verified;
use crate::pinger::Pinger;
use crate::report::{Distribution, Report, ms};
use crate::server::{Server, program};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// The time for each step of an upgrade.
const TIMEOUT: Duration = Duration::from_millis(700);

/// A failure of a new process must be noticed within this time, and a hang that long after the timeout.
const SOON: Duration = Duration::from_secs(1);
const AFTER_TIMEOUT: Duration = Duration::from_millis(100);

/// Other connections of the daemon.
const IDLE: u64 = 1000;

/// How a new process fails, as the script of the tests names it, and whether it hangs while the old one does not serve.
const MODES: [(&str, bool); 9] = [
    ("garbage", false),
    ("hang", false),
    ("rehearsal", false),
    ("killed", false),
    ("register", false),
    ("flip", false),
    ("unread", true),
    ("freeze", true),
    ("taken", true),
];

pub(crate) fn run(report: &mut Report) {
    echo_again(report);
    run_tests(report);
}

/// The longest round trip of a client during upgrades that fail.
fn echo_again(report: &mut Report) {
    let rounds = if report.quick { 1 } else { 10 };
    let what = format!("{rounds} failed upgrades of each kind: the longest round trip of a client");
    report.part("failures", &what);
    let timeout = format!("{}ms", TIMEOUT.as_millis());
    // Without a prefix, a line is echoed unchanged.
    let flags = ["-p", "line", "--prefix", "", "--upgrade-timeout", &timeout];
    let mut server = Server::start(&flags);
    fs::copy(program(), server.path("real")).unwrap();
    server.install(include_bytes!("../../tests/serve/scripts/new_process.py"));
    let pinger = Pinger::start(server.address);
    let load = Load::start(
        server.address,
        IDLE,
        0,
        &["--message", "line\\n", "--reply-line"],
    );
    for (mode, hangs) in MODES {
        fs::write(server.path("mode"), mode).unwrap();
        let mut pauses = Vec::new();
        for _ in 0..rounds {
            let (outcome, pause) = pinger.longest_during(|| server.upgrade());
            assert!(outcome.is_err(), "an upgrade to {mode:?} must fail");
            pauses.push(pause);
        }
        let longest = Distribution::new(pauses).most();
        let most = if hangs { TIMEOUT + AFTER_TIMEOUT } else { SOON };
        let bar = format!("at most {}", ms(most));
        report.time_bar(mode, ms(longest), &bar, longest <= most);
    }
    report_verified("echoes", pinger.stop(), report);
    load.finish("load", report);
}

/// Runs the tests of failures.
fn run_tests(report: &mut Report) {
    let rounds = if report.quick { "1" } else { "50" };
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["test", "--locked", "--test", "serve", "upgrade::failures"])
        .env("ECHOLOOP_UPGRADE_ROUNDS", rounds)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let results = text
        .lines()
        .find_map(|line| line.strip_prefix("test result: "));
    let counts = results.and_then(|results| results.split(';').next());
    let passed = output.status.success();
    let name = format!("tests, {rounds} rounds each");
    report.bar(&name, counts.unwrap_or("not run"), "all pass", passed);
    if !passed {
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}
