//! Loads over TLS: against the server, and servers in python.

use crate::certificates::{Certificates, PYTHON_TLS, words};
use crate::python::{ASYNCIO, Python};
use crate::run::{Output, Running, echoloop, load};
use crate::schema::assert_valid;
use crate::tools::have_tool;
use echoloop::load::{Distribution, Handshakes, LoadResult, Saved};
use std::fs;
use std::thread;

/// A running `serve` with TLS. Dropping it ends the process.
pub(crate) struct Server {
    _running: Running,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(files: &Certificates, more: &[&str]) -> Server {
        let flags = files.serve(more);
        let mut running = Running::start(echoloop(
            &[&["serve", "-l", "127.0.0.1:0"], &words(&flags)[..]].concat(),
        ));
        let mut lines = running.lines().map(Result::unwrap);
        let address = lines.find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(' ').next()?.to_owned())
        });
        thread::spawn(move || lines.for_each(drop));
        Server {
            _running: running,
            address: address.unwrap(),
        }
    }
}

/// Runs a short load over TLS with JSON.
pub(crate) fn run(address: &str, files: &Certificates, flags: &[&str]) -> Output {
    let ca = files.path("ca.pem");
    let fixed = [address, "--tls", "--ca", &ca, "--warmup", "0", "-o", "json"];
    load(&[&fixed, flags].concat())
}

/// The result of a load that has passed.
#[track_caller]
pub(crate) fn passed(output: &Output) -> LoadResult {
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_valid("result", &output.stdout);
    output.result()
}

#[track_caller]
pub(crate) fn handshakes(result: &LoadResult) -> Handshakes {
    let counts = result.connect.handshakes.unwrap();
    let times = result.connect.handshake_us.as_ref().unwrap();
    assert_eq!(times.count, counts.full + counts.resumed, "{result:#?}");
    counts
}

#[test]
fn echoes_and_probes_run_over_tls() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let flags = ["--idle", "50", "-c", "5", "--rate", "500", "-d", "500ms"];
    let expected = ["--expect", "handshake_p99<60s", "--expect", "failed=0"];
    let result = passed(&run(
        &server.address,
        &files,
        &[&flags[..], &expected].concat(),
    ));
    assert_eq!(result.connections.opened, 55);
    assert_eq!((result.probe.asked, result.probe.alive), (50, 50));
    assert!(result.echo.received > 0 && result.echo.mismatched == 0);
    assert_eq!(result.connect.time_us.count, 55);
    let counts = handshakes(&result);
    assert_eq!((counts.full, counts.resumed), (55, 0));
    assert!(result.expect.iter().all(|expected| expected.met));
}

#[test]
fn large_messages_in_a_pipeline_run_over_tls() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let flags = ["-c", "2", "-s", "100KiB", "--pipeline", "4", "-d", "500ms"];
    let result = passed(&run(&server.address, &files, &flags));
    assert!(result.echo.received > 0, "{result:#?}");
}

#[test]
fn churn_resumes_the_sessions_of_earlier_connections() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    for churn in ["fin", "reset"] {
        let flags = ["-c", "2", "--churn", churn, "-d", "500ms"];
        let result = passed(&run(&server.address, &files, &flags));
        let counts = handshakes(&result);
        assert!(counts.full > 2 && counts.resumed == 0, "{counts:?}");
        let resuming = [&flags[..], &["--resume"]].concat();
        let result = passed(&run(&server.address, &files, &resuming));
        let counts = handshakes(&result);
        assert!(
            counts.full >= 1 && counts.resumed > counts.full,
            "{counts:?}"
        );
        assert_eq!(result.connections.lost, 0);
    }
}

#[test]
fn unverified_server_fails_with_the_reason_and_its_remedy() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let other = files.path("other-ca.pem");
    let failed = load(&[
        &server.address,
        "--tls",
        "--ca",
        &other,
        "-c",
        "5",
        "-d",
        "200ms",
        "-o",
        "json",
    ]);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    let reason = "is signed by no trusted authority";
    assert!(
        failed.stderr.contains(reason) && failed.stderr.contains("--ca F"),
        "{failed:#?}"
    );
    let result = failed.result();
    assert_valid("result", &failed.stdout);
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.failed.tls),
        (0, 5),
        "{result:#?}"
    );
    let insecure = [
        "--tls",
        "--insecure",
        "--warmup",
        "0",
        "-c",
        "5",
        "-d",
        "200ms",
    ];
    let passed = load(&[&[server.address.as_str(), "-o", "json"], &insecure[..]].concat());
    assert_eq!(passed.code, Some(0), "{passed:#?}");
}

#[test]
fn missing_client_certificate_is_a_failure_of_tls() {
    let files = Certificates::new();
    let ca = files.path("ca.pem");
    let server = Server::start(&files, &["--tls-client-ca", &ca]);
    let flags = ["--idle", "3", "-d", "200ms"];
    let failed = run(&server.address, &files, &flags);
    let result = failed.result();
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.failed.tls),
        (0, 3),
        "{result:#?}"
    );
    assert!(failed.stderr.contains("--cert F"), "{failed:#?}");
    let (cert, key) = (files.path("client.pem"), files.path("client.key"));
    let with = [&flags[..], &["--cert", &cert, "--key", &key]].concat();
    assert_eq!(passed(&run(&server.address, &files, &with)).probe.alive, 3);
}

#[test]
fn other_application_protocol_is_a_failure_of_tls() {
    let files = Certificates::new();
    let server = Server::start(&files, &["--tls-alpn", "echo/1"]);
    let flags = |name| ["-c", "2", "-d", "200ms", "--alpn", name];
    let failed = run(&server.address, &files, &flags("other"));
    assert_eq!(failed.result().connections.failed.tls, 2, "{failed:#?}");
    assert!(failed.stderr.contains("ALPN"), "{failed:#?}");
    passed(&run(&server.address, &files, &flags("echo/1")));
}

#[test]
fn two_thousand_idle_connections_answer_their_probe() {
    let files = Certificates::new();
    let server = Server::start(&files, &["--tls-handshake-timeout", "60s"]);
    let flags = ["--idle", "2000", "-d", "200ms", "--connect-timeout", "60s"];
    let result = passed(&run(&server.address, &files, &flags));
    assert_eq!(
        (result.probe.alive, result.connections.failed.total()),
        (2000, 0)
    );
    assert_eq!(handshakes(&result).full, 2000);
}

#[test]
fn jobs_add_up_their_handshakes_and_save_them() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let save = ["--save", path.to_str().unwrap()];
    let flags = ["--idle", "20", "-c", "4", "--jobs", "2", "-d", "500ms"];
    let result = passed(&run(&server.address, &files, &[&flags[..], &save].concat()));
    assert_eq!(handshakes(&result).full, 24);
    let text = fs::read_to_string(&path).unwrap();
    assert_valid("saved", &text);
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let times = Distribution::of_counts(&saved.histograms.handshake_us);
    assert_eq!((times.count(), saved.configuration.tls), (24, true));
    let shown = Running::start(echoloop(&["report", save[1]])).finish();
    assert!(
        shown.stdout.contains("TLS handshakes  24 full, 0 resumed"),
        "{shown:#?}"
    );
    assert!(shown.stdout.contains("\nTLS handshake "), "{shown:#?}");
}

#[test]
fn sweep_runs_over_tls() {
    let files = Certificates::new();
    let server = Server::start(&files, &[]);
    let flags = ["--sweep", "active=1..2:2", "--step", "200ms"];
    let result = passed(&run(&server.address, &files, &flags));
    assert_eq!(result.find.unwrap().steps.len(), 2);
}

#[test]
fn http_script_runs_over_tls() {
    if !have_tool("python3") {
        return;
    }
    let files = Certificates::new();
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let server = Python::start(PYTHON_TLS, &[&certificate, &key, "http"]);
    let flags = ["--script", "http", "-c", "3", "-d", "500ms"];
    let result = passed(&run(&server.address.to_string(), &files, &flags));
    assert!(
        result.echo.received > 0 && result.echo.mismatched == 0,
        "{result:#?}"
    );
    assert_eq!(handshakes(&result).full, 3);
}

#[test]
fn fin_without_close_notify_is_a_lost_connection() {
    if !have_tool("python3") {
        return;
    }
    let files = Certificates::new();
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let server = Python::start(PYTHON_TLS, &[&certificate, &key, "cut"]);
    let output = run(
        &server.address.to_string(),
        &files,
        &["-c", "2", "-d", "500ms"],
    );
    let result = output.result();
    assert_eq!(output.code, Some(3), "{output:#?}");
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.lost),
        (2, 2),
        "{result:#?}"
    );
}

#[test]
fn server_without_tls_fails_each_handshake() {
    if !have_tool("python3") {
        return;
    }
    let files = Certificates::new();
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let deaf = Python::start(PYTHON_TLS, &[&certificate, &key, "deaf"]);
    let flags = ["-c", "3", "-d", "200ms", "--connect-timeout", "300ms"];
    let failed = run(&deaf.address.to_string(), &files, &flags);
    assert_eq!(failed.result().connections.failed.tls, 3, "{failed:#?}");
    assert!(failed.stderr.contains("--connect-timeout"), "{failed:#?}");
    assert_eq!(failed.result().connect.retransmitted, 0, "{failed:#?}");
    let plain = Python::start(ASYNCIO, &[]);
    let failed = run(&plain.address.to_string(), &files, &flags[..4]);
    assert_eq!(failed.result().connections.failed.tls, 3, "{failed:#?}");
    assert!(failed.stderr.contains("leave --tls out"), "{failed:#?}");
}

#[test]
fn flags_of_tls_are_checked() {
    for (flags, reason) in [
        (&["--tls"][..], "HOST:PORT"),
        (&[":1", "--resume"], "add --tls"),
        (&[":1", "--expect", "handshake_p99<1s"], "add --tls"),
        (
            &[":1", "--tls", "--insecure", "--ca", "f"],
            "leave --ca out",
        ),
    ] {
        let output = load(flags);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(reason), "{output:#?}");
    }
}
