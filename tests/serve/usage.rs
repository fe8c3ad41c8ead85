//! The command line: what is wrong is named in one line and by the exit code, what is asked for happens.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually};
use crate::machine::TcpTable;
use crate::tools::{run, skip};

fn serve(arguments: &[&str]) -> Output {
    let mut command = echoloop();
    command.arg("serve").args(arguments);
    run(command, b"")
}

/// The one line of a failure, which must have this exit code and nothing on stdout.
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
        "a failure prints one line, this one printed: {stderr}"
    );
    stderr
}

#[track_caller]
fn assert_says_one_of(line: &str, remedies: &[&str]) {
    let says = remedies.iter().any(|remedy| line.contains(remedy));
    assert!(says, "none of {remedies:?} in what to do about it: {line}");
}

#[test]
fn an_address_in_use_is_named_in_one_line_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = one_line(&serve(&["--listen", &address]), 1);
    assert!(line.contains(&address), "{address} is not named: {line}");
    assert!(
        line.to_lowercase().contains("in use"),
        "why is not said: {line}"
    );
    assert_says_one_of(
        &line,
        &["--listen", "--reuse-port", "stop", "another", "ss -"],
    );
}

#[test]
fn when_one_of_two_listeners_fails_the_daemon_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = serve(&["-q", "--listen", "127.0.0.1:0", "--listen", &address]);
    let line = one_line(&failed, 1);
    assert!(line.contains(&address), "{address} is not named: {line}");
}

#[test]
fn an_address_that_another_of_ones_own_covers_is_not_blamed_on_another_process() {
    let free = TcpListener::bind("127.0.0.78:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (all, one) = (format!(":{}", address.port()), address.to_string());
    let line = one_line(&serve(&["-q", "-l", &all, "-l", &one]), 1);
    assert!(line.contains("something listens there already"), "{line}");
}

#[test]
fn an_address_of_a_link_without_its_interface_is_told_what_is_missing() {
    let line = one_line(&serve(&["--listen", "[fe80::1]:8000"]), 1);
    assert_says_one_of(&line, &["[fe80::1%2]:8000", "-6"]);
}

#[test]
fn a_name_that_does_not_resolve_is_named_in_one_line() {
    let line = one_line(&serve(&["--listen", "no-such-host.invalid:1"]), 1);
    assert!(
        line.contains("no-such-host.invalid"),
        "the name is not named: {line}"
    );
}

#[test]
fn a_privileged_port_without_the_privilege_is_named_in_one_line_with_what_to_do() {
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
        // As nobody, who may start the executable only if its folders are open to all.
        if as_nobody(echoloop().arg("--help")).output().is_err() {
            return skip("the executable lies where only root may start it");
        }
        as_nobody(&mut command);
    }
    let line = one_line(&run(command, b""), 1);
    assert!(
        line.contains("127.0.0.1:7"),
        "the address is not named: {line}"
    );
    assert!(
        line.to_lowercase().contains("permi"),
        "why is not said: {line}"
    );
    assert_says_one_of(
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
fn wrong_usage_names_the_flag_or_its_value_and_exits_with_2() {
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
            "{arguments:?}: {named} is not named: {stderr}"
        );
        assert!(
            failed.stdout.is_empty(),
            "{arguments:?}: something is on stdout"
        );
    }
}

#[test]
fn flags_that_do_not_go_together_are_exit_code_2_in_one_line() {
    for protocol in ["raw", "frame:2", "discard", "collect"] {
        let line = one_line(&serve(&["-p", protocol, "--prefix", "you said: "]), 2);
        assert_says_one_of(&line, &["--protocol line"]);
        assert!(line.contains("--prefix"), "{line}");
    }
    let line = one_line(&serve(&["--prefix", "you said: "]), 2);
    assert_says_one_of(&line, &["--protocol line"]);
    let twice = ["--listen", "127.0.0.1:8000", "--listen", "127.0.0.1:8000"];
    let line = one_line(&serve(&twice), 2);
    assert_says_one_of(&line, &["leave one of them out"]);
}

#[test]
fn a_limit_of_0_connections_is_exit_code_2_in_one_line() {
    for flag in ["--max-connections", "--max-per-source"] {
        let line = one_line(&serve(&[flag, "0"]), 2);
        assert!(line.contains(&format!("{flag} 0 ")), "{line}");
        assert_says_one_of(&line, &["at least 1"]);
    }
}

#[test]
fn the_help_shows_every_flag_and_examples() {
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

fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(65_534).gid(65_534)
}

fn on_the_same_port(first: &Daemon, extra: &[&str]) -> Command {
    let mut command = echoloop();
    command
        .args(["serve", "-v", "--listen", &first.address().to_string()])
        .args(extra);
    command
}

#[test]
fn with_reuse_port_two_daemons_share_a_port() {
    let first = Daemon::start(&["-v", "--reuse-port"]);
    let second = Daemon::launch(on_the_same_port(&first, &["--reuse-port"]), 1);
    assert_eq!(first.address(), second.address(), "addresses of the two");
    // The kernel draws lots; that one gets all of them has a chance of 2 in 2^64.
    let mut crowd: Vec<TcpStream> = (0..64).map(|_| connect(first.address())).collect();
    for stream in &mut crowd {
        assert_echo(stream, b"whoever you are");
    }
    for daemon in [&first, &second] {
        daemon.wait_for_line("a connection of its own", |line| line.contains("#1 open"));
    }
}

#[test]
fn without_reuse_port_the_second_daemon_on_a_port_fails() {
    let first = Daemon::start(&[]);
    let line = one_line(&run(on_the_same_port(&first, &[]), b""), 1);
    assert!(
        line.contains(&first.address().to_string()),
        "the address is not named: {line}"
    );
}

/// Connections that the daemon closed first stay in `TIME_WAIT` and must not keep it from its port.
#[test]
fn a_daemon_can_start_at_once_where_another_has_just_ended() {
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
    let second = Daemon::launch(on_the_same_port(&first, &[]), 1);
    assert_echo(&mut connect(second.address()), b"the second");
}

#[test]
fn the_backlog_in_force_is_logged() {
    let daemon = Daemon::start(&["--backlog", "64"]);
    let expected = format!("listening on {} (raw, backlog 64)", daemon.address());
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn a_backlog_larger_than_the_kernel_grants_is_logged_as_granted() {
    let granted = crate::machine::somaxconn();
    let daemon = Daemon::start(&["--backlog", &(granted + 1_000).to_string()]);
    let expected = format!("listening on {} (raw, backlog {granted})", daemon.address());
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn with_keepalive_the_kernel_probes_after_so_much_silence() {
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
fn with_spin_it_echoes() {
    let daemon = Daemon::start(&["--spin", "100us"]);
    let mut stream = connect(daemon.address());
    for _ in 0..200 {
        assert_echo(&mut stream, b"at once");
    }
}
