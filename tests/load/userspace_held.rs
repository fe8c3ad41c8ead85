//! Thousands of connections in user space: established, held, alive, and reset at the end.

use crate::run::{Output, Running, echoloop, load};
use crate::tools::{have_tool, lacking};
use crate::two_hosts::OtherHost;
use crate::userspace_hosts::{
    Serve, arguments, assert_all_alive, assert_no_overflow, has_tun, in_tun_network, load_over_tun,
    many, tcp_counter, with_routed_host,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Command, Stdio};

/// Whether this machine permits `--userspace-tcp=private`, as it says itself.
fn has_private() -> bool {
    if !has_tun() {
        return false;
    }
    let output = load(&["--userspace-tcp=private", "--idle", "1", "-d", "1ms"]);
    output.code != Some(1)
        || lacking(&format!(
            "a private network is not permitted: {}",
            output.stderr
        ))
}

#[test]
fn private_network_holds_as_many_as_the_server_has_file_descriptors() {
    if !has_private() {
        return;
    }
    let idle = many().to_string();
    let private = ["load", "--userspace-tcp=private", "--idle", &idle];
    let hour = ["--warmup", "0", "-d", "1h"];
    let mut load = Running::start(echoloop(&[&private[..], &hour].concat()));
    load.wait_for_the_first_second();
    let pid = load.process.id();
    let netstat = fs::read_to_string(format!("/proc/{pid}/net/netstat")).unwrap();
    assert_no_overflow(&netstat);
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = load.finish();
    assert_eq!(output.code, Some(0), "{output:#?}");
    let grouped = format!("{},000", many() / 1000);
    for held in [
        format!("{grouped} requested, {grouped} established, 0 failed, 0 lost\n"),
        format!("{grouped} idle probed, {grouped} alive, 0 dead, 0 mismatched\n"),
    ] {
        assert!(output.stdout.contains(&held), "no {held}: {output:#?}");
    }
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        assert!(line.chars().count() <= 80, "longer than 80: {line}");
    }
}

/// Runs the program as an ordinary user, with a device node of this mode (chmod(1)). `None`: that is not permitted.
fn as_ordinary_user(mode: &str, arguments: &[&str]) -> Option<Output> {
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let node = format!("mknod -m {mode} /dev/net/tun c 10 200");
    let script = format!("mount -t tmpfs none /dev/net && {node} && exec {user} \"$@\"");
    let run = |arguments: &[&str]| {
        let program = echoloop(arguments);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &script, "sh"]);
        command.arg(program.get_program()).args(arguments);
        command.env_remove("ECHOLOOP_LOG").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start(command).finish()
    };
    let version = run(&["--version"]);
    let is_permitted = version.code == Some(0)
        || lacking(&format!(
            "the program cannot run as another user: {version:?}"
        ));
    is_permitted.then(|| run(arguments))
}

#[test]
fn ordinary_user_has_a_private_network_or_one_sentence() {
    if !has_tun() || !have_tool("setpriv") {
        return;
    }
    let private = ["load", "--userspace-tcp=private", "--idle", "100"];
    let load = [
        &private[..],
        &["-d", "100ms", "--warmup", "0", "-o", "json"],
    ]
    .concat();
    let Some(output) = as_ordinary_user("0666", &load) else {
        return;
    };
    if output.code == Some(0) {
        assert_all_alive(&output, 100);
    } else {
        // Some distributions permit user namespaces to named programs only.
        assert_one_sentence(&output, "user namespace");
    }
    let output = as_ordinary_user("0600", &load).unwrap();
    assert_one_sentence(&output, "/dev/net/tun");
}

#[track_caller]
fn assert_one_sentence(output: &Output, named: &str) {
    assert_eq!(output.code, Some(1), "{output:#?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    let [line] = lines[..] else {
        panic!("{output:#?}");
    };
    let begin = "echoloop: cannot use --userspace-tcp=private: ";
    assert!(line.starts_with(begin) && line.contains(named), "{line}");
}

#[test]
fn visible_accept_queue_of_128_never_overflows() {
    let name = "userspace_held::visible_accept_queue_of_128_never_overflows";
    in_tun_network(name, || {
        let server = Serve::start(&["--backlog", "128"]);
        let idle = many().to_string();
        let output = load_over_tun(&server.address, &["--idle", &idle, "-d", "100ms"]);
        let result = assert_all_alive(&output, many());
        let netstat = fs::read_to_string("/proc/self/net/netstat").unwrap();
        assert_no_overflow(&netstat);
        assert_eq!(result.connect.retransmitted, 0, "{result:#?}");
        assert_eq!(result.connections.asked, many());
    });
}

#[test]
fn accept_queue_of_another_host_never_overflows() {
    let name = "userspace_held::accept_queue_of_another_host_never_overflows";
    with_routed_host(name, |other| {
        let server = Serve::start_on(other, &["--backlog", "128"]);
        let idle = many().to_string();
        let output = load_over_tun(&server.address, &["--idle", &idle, "-d", "100ms"]);
        assert_all_alive(&output, many());
        assert_no_overflow(&netstat_of(other));
    });
}

fn netstat_of(other: &OtherHost) -> String {
    let mut command = other.command("cat");
    let output = command.arg("/proc/self/net/netstat").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The sockets of TCP in this network namespace that are not closed.
fn sockets() -> u64 {
    let text = fs::read_to_string("/proc/self/net/sockstat").unwrap();
    let tcp = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    tcp.split(' ').nth(2).unwrap().parse().unwrap()
}

/// The connections that are reset at the end of a load which `end` ends, and the result.
#[track_caller]
fn assert_all_reset(duration: &str, end: impl FnOnce(&mut Running)) {
    let server = Serve::start(&[]);
    let idle = many().to_string();
    let listening = sockets();
    let load = ["--idle", &idle, "-d", duration];
    let load = arguments(&server.address, &load);
    let mut load = Running::start(echoloop(&[&["load"], &load[..]].concat()));
    load.wait_for_the_first_second();
    assert_eq!(
        (sockets(), tcp_counter("EstabResets")),
        (listening + many(), 0)
    );
    end(&mut load);
    let output = load.finish();
    // Each RST is processed when it is sent: none is missing when the load has exited.
    assert_eq!(tcp_counter("EstabResets"), many());
    assert_eq!(sockets(), listening);
    assert_all_alive(&output, many());
}

#[test]
fn all_are_reset_at_the_end() {
    in_tun_network("userspace_held::all_are_reset_at_the_end", || {
        assert_all_reset("1s", |_| {});
    });
}

#[track_caller]
fn assert_all_reset_after(signal: Signal) {
    assert_all_reset("1h", |load| {
        let pid = Pid::from_raw(load.process.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    });
}

#[test]
fn all_are_reset_after_sigint() {
    let name = "userspace_held::all_are_reset_after_sigint";
    in_tun_network(name, || assert_all_reset_after(Signal::SIGINT));
}

#[test]
fn all_are_reset_after_sigterm() {
    let name = "userspace_held::all_are_reset_after_sigterm";
    in_tun_network(name, || assert_all_reset_after(Signal::SIGTERM));
}
