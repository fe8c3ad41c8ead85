//! The flag.

use std::net::TcpListener;

use super::{get, start};
use crate::harness::{Daemon, echoloop};
use crate::tools::run;

/// The error line of a daemon that does not start, and its exit code.
fn error(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = echoloop();
    command.args(["serve", "-l", "127.0.0.1:0"]).args(arguments);
    let output = run(command, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), last)
}

#[test]
fn address_in_use_is_reported_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = error(&["--admin", &address]);
    assert_eq!(code, Some(1));
    let what = format!("cannot serve admin on {address}");
    assert!(
        line.contains(&what) && line.contains("another port with --admin"),
        "{line}"
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["--admin", "127.0.0.1"][..],
        &["--admin", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        &["-l", "127.0.0.3:7", "--admin", "127.0.0.3:7"],
    ] {
        let (code, line) = error(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {line}");
    }
}

#[test]
fn address_beyond_loopback_is_warned_of() {
    let daemon = Daemon::start(&["--admin", "0.0.0.0:0"]);
    let warning = "is not a loopback address: any client that reaches it reads the figures";
    let line = daemon.wait_for_line("a warning", |line| line.contains(warning));
    assert!(line.contains(" WARN "), "{line}");
    let (daemon, admin) = start(&[]);
    assert_eq!(get(admin, "/").status, 200);
    assert!(!daemon.lines().iter().any(|line| line.contains("WARN")));
}

#[test]
fn name_is_resolved_and_all_its_addresses_are_served() {
    let daemon = Daemon::start(&["--admin", "localhost:0"]);
    let address = super::admin_address(&daemon);
    assert!(address.ip().is_loopback());
    assert_eq!(get(address, "/healthz").status, 200);
}
