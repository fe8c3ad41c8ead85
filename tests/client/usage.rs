//! The command line: usage errors with exit code 2, and help.

use std::process::Stdio;

use crate::clients::assert_contains;
use crate::harness::echoloop;

#[test]
fn usage_error_names_the_value_and_exits_with_2() {
    let long = "x".repeat(256);
    let wrong = [
        (&["send", "nonsense"][..], "nonsense"),
        (&["send", "localhost:0"], "localhost:0"),
        (&["send", "localhost:00"], "localhost:00"),
        (&["send", "localhost:+7"], "localhost:+7"),
        (&["send", "-p", "frame:3"], "frame:3"),
        (&["send", "--bind", "localhost"], "localhost"),
        (&["send", "--timeout", "0"], "0"),
        (&["send", "-4", "-6"], "-6"),
        (&["send", "-p", "frame:1", "-m", &long], "256 bytes"),
        (&["ping", "-c", "0"], "0"),
        (&["ping", "-i", "soon"], "soon"),
        (&["ping", "-s", "0"], "0"),
        (&["ping", "-s", "64GiB"], "at most 64MiB"),
        (&["ping", "-o", "xml"], "xml"),
        (&["ping", "--no-such-flag"], "--no-such-flag"),
    ];
    for (arguments, named) in wrong {
        let failed = echoloop().args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
    }
}

#[test]
fn conflicting_ip_versions_exit_with_2_in_one_line() {
    let wrong = [
        (&["-4", "--bind", "::1"][..], &["-4", "--bind ::1"][..]),
        (&["localhost:1", "-4", "--bind", "::1"], &["--bind ::1"]),
        (
            &["localhost:1", "-6", "--bind", "127.0.0.1"],
            &["--bind 127.0.0.1"],
        ),
        (&["[::1]:1", "-4"], &["[::1]:1", "no address", "-4"]),
        (&["127.0.0.1:1", "-6"], &["127.0.0.1:1", "no address", "-6"]),
        (&["[::1]:1", "--bind", "127.0.0.1"], &["[::1]:1", "--bind"]),
    ];
    for subcommand in ["send", "ping"] {
        for (arguments, words) in wrong {
            let mut command = echoloop();
            command.arg(subcommand).args(arguments).stdin(Stdio::null());
            let failed = command.output().unwrap();
            let stderr = String::from_utf8_lossy(&failed.stderr);
            assert_eq!(failed.status.code(), Some(2), "{arguments:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
            assert_contains(&stderr, words);
            assert_contains(&stderr, &["leave"]);
        }
    }
}

#[test]
fn help_shows_examples_and_exit_codes() {
    for subcommand in ["send", "ping"] {
        let mut command = echoloop();
        command.args([subcommand, "--help"]).stdout(Stdio::piped());
        let help = command.output().unwrap();
        assert_eq!(help.status.code(), Some(0));
        let help = String::from_utf8(help.stdout).unwrap();
        let example = format!("  echoloop {subcommand} ");
        assert_contains(&help, &["Examples:", &example, "Exit codes:"]);
    }
}
