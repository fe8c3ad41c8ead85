//! Flags: short forms, units, and errors that name what to write.

use crate::run::load;
use crate::servers::{Fate, serve};
use echoloop::load::Saved;
use tempfile::TempDir;

/// Runs a load with these flags, and returns its configuration as saved.
#[track_caller]
fn configuration(flags: &[&str]) -> echoloop::load::Configuration {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    let server = serve(|_| Fate::Answered).to_string();
    let fixed = [&*server, "-o", "json", "--save", path.to_str().unwrap()];
    let output = load(&[&fixed, flags].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let saved: Saved = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    saved.configuration
}

#[test]
fn short_flags_are_active_duration_rate_and_size() {
    let saved = configuration(&[
        "-c", "3", "-d", "150ms", "-r", "0.1K", "-s", "128", "--warmup", "0",
    ]);
    assert_eq!((saved.active, saved.size_bytes), (3, 128), "{saved:#?}");
    assert_eq!(saved.rate, Some(100.0));
    assert!((saved.duration_seconds - 0.15).abs() < 1e-9, "{saved:#?}");
}

#[test]
fn durations_take_plain_seconds_and_days() {
    let saved = configuration(&[
        "-c",
        "1",
        "-d",
        "0.1",
        "--warmup",
        "0",
        "--connect-timeout",
        "1d",
    ]);
    assert!((saved.duration_seconds - 0.1).abs() < 1e-9, "{saved:#?}");
    assert!((saved.connect_timeout_seconds - 86_400.0).abs() < 1e-9);
}

#[test]
fn wrong_usage_exits_with_2_and_names_what_to_write() {
    for (arguments, parts) in [
        (
            &["--connections", "100"][..],
            &["--active N", "--idle N"][..],
        ),
        (&["-n", "100"], &["--duration D"]),
        (&["-t", "10"], &["--duration D"]),
        (&["--time", "10"], &["--duration D"]),
        (&["localhost"], &["the port is missing", "localhost:8000"]),
        (&["localhost:"], &["the port is missing"]),
        (&["[::1]"], &["the port is missing", "[::1]:8000"]),
        (&["localhost:65536"], &["port 65536 is over 65535"]),
        (&["localhost:99999"], &["port 99999 is over 65535"]),
        (&["8000"], &[":8000"]),
        (&["-c", "10kk"], &["10kk", "not a count"]),
        (&["-d", "1w"], &["1w", "not a duration"]),
    ] {
        let failed = load(arguments);
        assert_eq!(failed.code, Some(2), "{arguments:?}: {failed:#?}");
        for part in parts {
            assert!(failed.stderr.contains(part), "{arguments:?}: {failed:#?}");
        }
    }
}
