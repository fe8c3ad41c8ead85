//! The command line: errors are one line and an exit code, flags have their effect.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually};
use crate::machine::TcpTable;
use crate::ports::unused_port;
use crate::tools::{run, skip};

fn serve(arguments: &[&str]) -> Output {
    let mut command = echoloop();
    command.arg("serve").args(arguments);
    run(command, b"")
}

/// Returns the error line; the exit code must be `code`, with one line on stderr and nothing on stdout.
#[track_caller]
fn one_line(failed: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(
        failed.status.code(),
        Some(code),
        "exit code; stderr: {stderr}"
    );
    assert!(
        failed.stdout.is_empty(),
        "on stdout: `{}`",
        failed.stdout.escape_ascii()
    );
    assert_eq!(
        stderr.lines().count(),
        1,
        "an error prints one line, not: {stderr}"
    );
    stderr
}

#[track_caller]
fn assert_names_one_of(line: &str, remedies: &[&str]) {
    let is_named = remedies.iter().any(|remedy| line.contains(remedy));
    assert!(is_named, "the remedy names none of {remedies:?}: {line}");
}

#[test]
fn address_in_use_is_reported_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = one_line(&serve(&["--listen", &address]), 1);
    assert!(line.contains(&address), "{address} is missing: {line}");
    assert!(
        line.to_lowercase().contains("in use"),
        "the reason is missing: {line}"
    );
    assert_names_one_of(
        &line,
        &["--listen", "--reuse-port", "stop", "another", "ss -"],
    );
}

#[test]
fn failure_of_one_of_two_listeners_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = serve(&["-q", "--listen", "127.0.0.1:0", "--listen", &address]);
    let line = one_line(&failed, 1);
    assert!(line.contains(&address), "{address} is missing: {line}");
}

#[test]
fn overlapping_listen_addresses_are_reported() {
    let port = unused_port("127.0.0.1");
    let (all, one) = (format!(":{port}"), format!("127.0.0.1:{port}"));
    let line = one_line(&serve(&["-q", "-l", &all, "-l", &one]), 1);
    assert!(line.contains("something listens there already"), "{line}");
}

#[test]
fn link_local_address_without_interface_is_rejected() {
    let line = one_line(&serve(&["--listen", "[fe80::1]:8000"]), 1);
    assert_names_one_of(&line, &["[fe80::1%2]:8000", "-6"]);
}

#[test]
fn unresolvable_name_is_reported_in_one_line() {
    let line = one_line(&serve(&["--listen", "no-such-host.invalid:1"]), 1);
    assert!(
        line.contains("no-such-host.invalid"),
        "the host name is missing: {line}"
    );
}

#[test]
fn privileged_port_without_privilege_has_a_remedy() {
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let first_free: u16 = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    if first_free <= 7 {
        return skip("port 7 needs no privilege here");
    }
    let mut command = echoloop();
    command.args(["serve", "--listen", "127.0.0.1:7"]);
    if geteuid().is_root() {
        // As user nobody, which can start the executable only if its directories are accessible to all users.
        if as_user_nobody(echoloop().arg("--help")).output().is_err() {
            return skip("only root can start the executable in its directory");
        }
        as_user_nobody(&mut command);
    }
    let line = one_line(&run(command, b""), 1);
    assert!(
        line.contains("127.0.0.1:7"),
        "the address is missing: {line}"
    );
    assert!(
        line.to_lowercase().contains("permi"),
        "the reason is missing: {line}"
    );
    assert_names_one_of(
        &line,
        &[
            "1024",
            "CAP_NET_BIND_SERVICE",
            "cap_net_bind_service",
            "root",
        ],
    );
}

#[test]
fn invalid_value_or_flag_is_named_with_exit_code_2() {
    let wrong = [
        (&["--listen", "nonsense"][..], "nonsense"),
        (&["--listen", "127.0.0.1:99999"], "99999"),
        (&["--listen", "127.0.0.1:+80"], "+80"),
        (&["--max-pending", "abc"], "abc"),
        (&["--max-buffered", "12parsecs"], "12parsecs"),
        (&["--socket-buffer", "-1"], "-1"),
        (&["--max-connections", "many"], "many"),
        (&["--backlog", "long"], "long"),
        (&["--drain-timeout", "5parsecs"], "5parsecs"),
        (&["--keepalive", "soon"], "soon"),
        (&["--spin", "fast"], "fast"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["surplus"], "surplus"),
    ];
    for (arguments, named) in wrong {
        let failed = serve(arguments);
        let stderr = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(
            failed.status.code(),
            Some(2),
            "exit code of {arguments:?}; stderr: {stderr}"
        );
        assert!(
            stderr.contains(named),
            "{arguments:?}: {named} is missing: {stderr}"
        );
        assert!(failed.stdout.is_empty(), "{arguments:?}: output on stdout");
    }
}

#[test]
fn conflicting_flags_are_rejected_with_exit_code_2() {
    for protocol in ["raw", "frame:2", "discard", "collect"] {
        let line = one_line(&serve(&["-p", protocol, "--prefix", "reply: "]), 2);
        assert_names_one_of(&line, &["--protocol line"]);
        assert!(line.contains("--prefix"), "{line}");
    }
    let line = one_line(&serve(&["--prefix", "reply: "]), 2);
    assert_names_one_of(&line, &["--protocol line"]);
    let twice = ["--listen", "127.0.0.1:8000", "--listen", "127.0.0.1:8000"];
    let line = one_line(&serve(&twice), 2);
    assert_names_one_of(&line, &["leave one of them out"]);
}

#[test]
fn limit_of_0_connections_is_rejected_with_exit_code_2() {
    for flag in ["--max-connections", "--max-per-source"] {
        let line = one_line(&serve(&[flag, "0"]), 2);
        assert!(line.contains(&format!("{flag} 0 ")), "{line}");
        assert_names_one_of(&line, &["at least 1"]);
    }
}

#[test]
fn help_lists_every_flag_and_examples() {
    let help = serve(&["--help"]);
    assert_eq!(help.status.code(), Some(0), "exit code of --help");
    let text = String::from_utf8(help.stdout).unwrap();
    let flags = [
        "-l, --listen",
        "--max-connections",
        "--backlog",
        "--drain-timeout",
        "--spin",
        "--reuse-port",
        "--max-pending",
        "--max-buffered",
        "--socket-buffer",
        "--keepalive",
        "-v",
        "-q",
    ];
    for flag in flags {
        assert!(text.contains(flag), "{flag} is not in the help: {text}");
    }
    assert!(
        text.to_lowercase().contains("example"),
        "no examples in the help: {text}"
    );
    let example = text.lines().any(|line| line.contains("echoloop serve -"));
    assert!(example, "no line `echoloop serve -..` in the help: {text}");
}

fn as_user_nobody(command: &mut Command) -> &mut Command {
    command.uid(65_534).gid(65_534)
}

fn daemon_on_port_of(first: &Daemon, extra: &[&str]) -> Command {
    let mut command = echoloop();
    command
        .args(["serve", "-v", "--listen", &first.address().to_string()])
        .args(extra);
    command
}

#[test]
fn reuse_port_lets_two_daemons_share_a_port() {
    let first = Daemon::start(&["-v", "--reuse-port"]);
    let second = Daemon::launch(daemon_on_port_of(&first, &["--reuse-port"]), 1);
    assert_eq!(
        first.address(),
        second.address(),
        "addresses of the two daemons"
    );
    // The kernel picks a listener by hash: the probability that one gets all 64 is 2 in 2^64.
    let mut clients: Vec<TcpStream> = (0..64).map(|_| connect(first.address())).collect();
    for stream in &mut clients {
        assert_echo(stream, b"to either daemon");
    }
    for daemon in [&first, &second] {
        daemon.wait_for_line("a first connection", |line| line.contains("#1 open"));
    }
}

#[test]
fn second_daemon_without_reuse_port_fails() {
    let first = Daemon::start(&[]);
    let line = one_line(&run(daemon_on_port_of(&first, &[]), b""), 1);
    assert!(
        line.contains(&first.address().to_string()),
        "the address is missing: {line}"
    );
}

/// Connections that the daemon closed first stay in `TIME_WAIT`, which must not block the port.
#[test]
fn restart_on_the_same_port_succeeds_despite_time_wait() {
    let mut first = Daemon::start(&[]);
    let mut stream = connect(first.address());
    assert_echo(&mut stream, b"the first");
    first.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(
        crate::client::read_to_fin(&mut stream),
        b"",
        "received to the FIN"
    );
    drop(stream);
    assert_eq!(
        first.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    let second = Daemon::launch(daemon_on_port_of(&first, &[]), 1);
    assert_echo(&mut connect(second.address()), b"the second");
}

#[test]
fn effective_backlog_is_logged() {
    let daemon = Daemon::start(&["--backlog", "64"]);
    let expected = format!("listening on {} (raw, backlog 64)", daemon.address());
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn backlog_above_somaxconn_is_logged_as_capped() {
    let granted = crate::machine::somaxconn();
    let daemon = Daemon::start(&["--backlog", &(granted + 1_000).to_string()]);
    let expected = format!("listening on {} (raw, backlog {granted})", daemon.address());
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn keepalive_30s_starts_the_kernel_timer_at_30_s() {
    let daemon = Daemon::start(&["--keepalive", "30s"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"alive");
    let (client, server) = (stream.local_addr().unwrap(), daemon.address());
    eventually(
        PATIENCE,
        "the kernel's keepalive timer runs for up to 30 s",
        || {
            let socket = TcpTable::read().socket(server, client);
            let left = socket.timer_left;
            socket.timer == 2 && left > Duration::from_secs(20) && left <= Duration::from_secs(30)
        },
    );
}

#[test]
fn spin_does_not_stop_echoes() {
    let daemon = Daemon::start(&["--spin", "100us"]);
    let mut stream = connect(daemon.address());
    for _ in 0..200 {
        assert_echo(&mut stream, b"at once");
    }
}
