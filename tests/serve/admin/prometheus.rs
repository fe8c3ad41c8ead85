//! The figures as Prometheus reads them, and the configuration and alert rules for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{get, start};
use crate::client::{assert_echo, connect};
use crate::tools::{have_tool, run};
use echoloop::admin::{Messages, Snapshot, metrics};
use echoloop::server::IterationStats;
use echoloop::tls::HandshakeStats;

/// A snapshot with every kind of figure.
fn complete() -> Snapshot {
    let mut iterations = IterationStats::default();
    iterations.events.record(3);
    iterations.time.record_time(Duration::from_micros(20));
    let mut snapshot = Snapshot {
        protocol: "a \"b\" \\ c\nd".to_owned(),
        messages: Some(Messages::default()),
        handshakes: Some(HandshakeStats::default()),
        ..Snapshot::default()
    };
    snapshot.server.iterations = Some(iterations);
    snapshot.process.open_fds = Some(9);
    snapshot.process.resident_bytes = Some(10_000_000);
    snapshot
}

#[track_caller]
fn assert_clean(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    let output = run(promtool, text.as_bytes());
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(
        output.status.success() && printed.is_empty(),
        "{printed}\n{text}"
    );
}

#[test]
fn promtool_accepts_all_metrics() {
    if !have_tool("promtool") {
        return;
    }
    let (daemon, admin) = start(&[]);
    assert_echo(&mut connect(daemon.address()), b"counted");
    let response = get(admin, "/metrics");
    let kind = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(response.head.contains(kind), "{}", response.head);
    assert_clean(&response.body);
    assert_clean(&metrics(&complete()));
}

#[test]
fn promtool_rejects_what_is_no_metric() {
    if !have_tool("promtool") {
        return;
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    assert!(!run(promtool, b"# TYPE a counter\na{ 1\n").status.success());
}

fn deploy() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus"))
}

/// Runs promtool on a file of `deploy/prometheus`.
#[track_caller]
fn check(arguments: &[&str], file: &str) {
    let mut promtool = Command::new("promtool");
    promtool.current_dir(deploy()).args(arguments).arg(file);
    let output = run(promtool, b"");
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&printed)
    );
}

#[test]
fn configuration_and_alert_rules_are_valid() {
    if !have_tool("promtool") {
        return;
    }
    check(&["check", "config"], "prometheus.yml");
    check(&["check", "rules"], "alerts.yml");
    check(&["test", "rules"], "alerts_test.yml");
}

#[test]
fn rules_use_only_metrics_that_exist() {
    let rules = std::fs::read_to_string(deploy().join("alerts.yml")).unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = rules.split(|c: char| !is_name(c));
    let used = words.filter(|word| word.starts_with("echoloop_") || word.starts_with("process_"));
    let used: BTreeSet<_> = used.collect();
    assert!(used.len() > 5, "{used:?}");
    let text = metrics(&complete());
    for name in used {
        let is_sample = |line: &str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        };
        assert!(text.lines().any(is_sample), "{name}");
    }
}
