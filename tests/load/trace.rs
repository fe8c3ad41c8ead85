//! `load --trace`.

use crate::run::{load, result};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The arguments of each connection's slice, in the order of their opening.
fn connections(trace: &Value) -> Vec<&Value> {
    let events = trace["traceEvents"].as_array().unwrap().iter();
    let all = events.filter(|event| {
        let name = event["name"].as_str().unwrap();
        event["ph"] == "X" && name.starts_with('#')
    });
    all.map(|event| &event["args"]).collect()
}

#[test]
fn trace_has_every_connection_and_byte_of_a_small_load() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("trace.json");
    let shown = path.to_str().unwrap();
    let flags = [
        "-c", "3", "--idle", "2", "-r", "100", "-d", "200ms", "--warmup", "0", "-s", "100",
    ];
    let result = result(&[&["--trace", shown], &flags[..]].concat());
    let trace = read(&path);
    let connections = connections(&trace);
    assert_eq!(connections.len(), 5);
    let sum = |name: &str| -> u64 {
        let all = connections.iter().map(|args| args[name].as_u64().unwrap());
        all.sum()
    };
    // The probes of the idle connections are messages as well. The last message may be answered after the measured part.
    let messages = result.echo.response_time_us.count + result.probe.alive;
    assert_eq!(result.echo.unanswered, 0);
    assert_eq!(
        (sum("bytes_out"), sum("bytes_in")),
        (100 * messages, 100 * messages)
    );
    for args in connections {
        assert_eq!(args["opened"], "connected by this process");
        assert_eq!(args["closed"], "open at the end of the trace");
    }
    let names = trace["traceEvents"].as_array().unwrap().iter();
    let peers = names.filter(|event| {
        let name = event["args"]["name"].as_str();
        name.is_some_and(|name| name.starts_with('#') && name.contains(" 127.0.0.1:"))
    });
    assert_eq!(peers.count(), 5, "each track has the address of the server");
    assert_eq!(trace["otherData"]["dropped"], 0);
}

#[test]
fn older_events_of_a_long_load_are_dropped_and_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("trace.json");
    let flags = [
        "-c",
        "10",
        "-d",
        "3s",
        "--warmup",
        "0",
        "--trace",
        path.to_str().unwrap(),
    ];
    let output = load(&flags);
    assert_eq!(output.code, Some(0), "{output:?}");
    let trace = read(&path);
    let dropped = trace["otherData"]["dropped"].as_u64().unwrap();
    let line = format!("{dropped} older events dropped");
    assert!(output.stderr.contains(&line), "{line}: {output:?}");
    assert!(dropped > 0, "{output:?}");
}

#[test]
fn trace_of_several_processes_is_wrong_usage() {
    for flags in [
        &["--jobs", "2"][..],
        &["--find", "rate"],
        &["--sweep", "rate=1..2"],
    ] {
        let output = load(&[&["--trace", "/nonexistent/file"], flags].concat());
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("--trace"), "{output:?}");
    }
}

#[test]
fn file_that_cannot_be_created_is_an_error_before_the_load() {
    let output = load(&["--trace", "/nonexistent/file"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let error = "cannot write a trace to /nonexistent/file";
    assert!(output.stderr.contains(error), "{output:?}");
}
