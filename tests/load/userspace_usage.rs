//! What `--userspace-tcp` refuses, and what it needs of the machine: each a line with what to do.

use crate::run::{Running, echoloop, load};
use crate::tools::{have_tool, lacking};
use nix::unistd::Uid;
use std::process::{Command, Stdio};

#[track_caller]
fn assert_usage(arguments: &[&str], named: &[&str]) {
    let output = load(arguments);
    assert_eq!(output.code, Some(2), "{arguments:?}: {output:#?}");
    for named in named {
        assert!(
            output.stderr.contains(named),
            "{arguments:?}, no {named}: {output:#?}"
        );
    }
}

#[test]
fn contradictory_flags_are_wrong_usage() {
    for (arguments, named) in [
        (&["--active", "1"][..], "add --idle N"),
        (&["--idle", "9", "--tls", "10.0.0.1:1"], "excludes --tls"),
        (&["--idle", "9", "--jobs", "2"], "excludes --jobs"),
        (&["--idle", "9", "--jobs", "auto"], "excludes --jobs"),
        (
            &["--idle", "9", "--bind", "10.0.0.1", "10.0.0.2:1"],
            "excludes --bind",
        ),
        (
            &["--idle", "9", "--sources", "10.0.0.0/8", "10.0.0.2:1"],
            "excludes --sources",
        ),
        (&["--find", "idle"], "excludes --find"),
        (&["--idle", "9", "--size", "1201"], "at most 1200 bytes"),
        (
            &["--idle", "65k", "--prefix", "10.0.0.0/30"],
            "64,512 connections",
        ),
        (&["--idle", "9", "--prefix", "10.0.0.0/31"], "at most /30"),
        (&["--idle", "9", "--prefix", "127.0.0.0/8"], "unicast"),
        (&["--idle", "9", "127.0.0.1:1"], "listen on 0.0.0.0"),
        (&["--idle", "9", ":1"], "listen on 0.0.0.0"),
        (&["--idle", "9", "[::1]:1"], "listen on 0.0.0.0"),
        (&["--idle", "9", "[fd00::1]:1"], "same IP version"),
        (
            &["--idle", "9", "198.18.0.2:1"],
            "does not contain the target",
        ),
    ] {
        assert_usage(&[&["--userspace-tcp"], arguments].concat(), &[named]);
    }
    assert_usage(
        &["--idle", "9", "--prefix", "10.0.0.0/8"],
        &["--userspace-tcp"],
    );
}

#[test]
fn private_network_has_a_server_of_its_own() {
    let private = "--userspace-tcp=private";
    assert_usage(
        &[private, "--idle", "9", "10.0.0.1:1"],
        &["10.0.0.1:1", "=private"],
    );
    assert_usage(
        &[private, "--idle", "9", "--clock", "10.0.0.1:1"],
        &["--clock"],
    );
    assert_usage(
        &[private, "--idle", "9", "--server-pid", "1"],
        &["--server-pid"],
    );
}

/// Runs a load in a shell with root's privileges in new namespaces, in which `script` changes something before `"$@"`;
/// its error must contain all of `named`. Skips the test if the machine does not permit namespaces.
#[track_caller]
fn assert_fails_in(flags: &str, script: &str, arguments: &[&str], named: &[&str]) {
    let shell = |script: &str| {
        let user = if Uid::effective().is_root() { "" } else { "r" };
        let mut command = Command::new("unshare");
        let flags = format!("-{user}{flags}");
        command.args([&flags, "sh", "-ec", script, "sh"]);
        command
    };
    let output = shell(&script.replace("exec", ":")).output();
    if !output.as_ref().is_ok_and(|output| output.status.success()) {
        lacking(&format!(
            "namespaces (unshare -{flags}) are not permitted: {output:?}"
        ));
        return;
    }
    let mut command = shell(script);
    let load = echoloop(&[&["load"], arguments].concat());
    command.arg(load.get_program()).args(load.get_args());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = Running::start(command).finish();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    for named in named {
        assert!(output.stderr.contains(named), "no {named}: {output:#?}");
    }
}

const HOST: [&str; 3] = ["--userspace-tcp", "--idle", "9"];
const PRIVATE: [&str; 3] = ["--userspace-tcp=private", "--idle", "9"];

#[test]
fn missing_device_is_named_with_modprobe() {
    let script = "mount -t tmpfs none /dev/net; exec \"$@\"";
    for arguments in [HOST, PRIVATE] {
        let named = ["/dev/net/tun", "No such file", "modprobe tun"];
        assert_fails_in("mn", script, &arguments, &named);
    }
}

/// A user without privileges: all capabilities dropped.
const UNPRIVILEGED: &str = "exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";

#[test]
fn missing_capability_is_named_with_all_ways_out() {
    if !have_tool("setpriv") {
        return;
    }
    let named = [
        "CAP_NET_ADMIN",
        "sudo",
        "setcap cap_net_admin+ep",
        "--userspace-tcp=private",
    ];
    // A device node that any user may open, as most machines have one; where it is not, it is what is missing.
    assert_fails_in("n", UNPRIVILEGED, &HOST, &named);
}

#[test]
fn forbidden_user_namespaces_are_named_with_the_setting() {
    if !have_tool("setpriv") {
        return;
    }
    // In a user namespace of the test, whose limit its root may lower.
    let script = format!("echo 0 >/proc/sys/user/max_user_namespaces; {UNPRIVILEGED}");
    let named = ["user namespace", "sysctl -w user.max_user_namespaces"];
    assert_fails_in("Urn", &script, &PRIVATE, &named);
}

#[test]
fn prefix_of_this_machine_is_refused_with_its_route() {
    let script = "ip link set lo up; ip address add 198.18.7.7/32 dev lo; exec \"$@\"";
    if !have_tool("ip") {
        return;
    }
    let named = [
        "--prefix 198.18.0.0/15",
        "198.18.7.7/32 dev lo",
        "another network",
    ];
    assert_fails_in("n", script, &HOST, &named);
}
