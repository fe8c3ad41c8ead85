//! Tests in a network namespace, where they add addresses: a peer that vanishes, a peer with a link-local address.

use std::process::Command;

use nix::unistd::Uid;

use crate::harness::{Daemon, echoloop};
use crate::tools::{have_tool, lacking};

/// A shell in new network and PID namespaces, for a script in which `$0` is the executable. The kernel kills all its
/// processes when it exits.
fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // -r: root in a new user namespace.
    let flags = if Uid::effective().is_root() {
        "-npf"
    } else {
        "-rnpf"
    };
    command
        .args([flags, "--kill-child", "sh", "-ec"])
        .arg(format!("ip link set lo up\n{script}"))
        .arg(echoloop().get_program())
        .env_remove("ECHOLOOP_LOG");
    command
}

fn have_namespaces() -> bool {
    let works = || {
        in_namespace("")
            .status()
            .is_ok_and(|status| status.success())
    };
    have_tool("ip")
        && have_tool("ss")
        && (works() || lacking("a network namespace (unshare -n) is not available"))
}

/// The time of day at the start of a log line, in seconds.
fn seconds_of(line: &str) -> f64 {
    let (_, time) = line.split_once('T').expect("a date and a time");
    let (time, _) = time.split_once('Z').expect("a time in UTC");
    let parts = time.split(':').map(|part| part.parse::<f64>().unwrap());
    parts.fold(0.0, |sum, part| sum * 60.0 + part)
}

/// Script lines that wait until the daemon listens.
const LISTENING: &str = "until ss -Hltn | grep -q :8000; do sleep 0.02; done";

#[test]
fn keepalive_detects_a_vanished_peer_within_twice_its_time() {
    if !have_namespaces() {
        return;
    }
    // Without its address the client can neither send nor receive: it vanishes without FIN or RST.
    let script = format!(
        r#"
        ip address add 10.9.0.1/32 dev lo
        ip address add 10.9.0.2/32 dev lo
        ip route add 10.9.0.0/24 dev lo
        "$0" serve -v --keepalive 4s -l 10.9.0.1:8000 &
        {LISTENING}
        tail -f /dev/null | "$0" send --bind 10.9.0.2 10.9.0.1:8000 2>/dev/null &
        until ss -Htn state established | grep -q 10.9.0.2; do sleep 0.02; done
        ip address del 10.9.0.2/32 dev lo
        wait
        "#
    );
    let daemon = Daemon::launch(in_namespace(&script), 1);
    let opened = daemon.wait_for_line("#1", |line| line.contains("#1 open 10.9.0.2:"));
    let closed = daemon.wait_for_line("#1", |line| line.contains("#1 closed: peer lost"));
    // Midnight may fall between the two lines.
    let took = (seconds_of(&closed) - seconds_of(&opened)).rem_euclid(86_400.0);
    // The kernel's timers are up to an eighth late, and a busy machine delays the daemon.
    assert!((4.0..=10.5).contains(&took), "detected after {took} s");
}

#[test]
fn link_local_client_is_logged_with_its_interface() {
    if !have_namespaces() {
        return;
    }
    let script = format!(
        r#"
        ip -6 address add fe80::7/64 dev lo nodad
        "$0" serve -v --max-per-source 1 -l '[::]:8000' &
        {LISTENING}
        # The kernel adds the route of a new address asynchronously.
        until "$0" send -m hello '[fe80::7%1]:8000' >/dev/null 2>&1; do sleep 0.02; done
        wait
        "#
    );
    let daemon = Daemon::launch(in_namespace(&script), 1);
    let line = daemon.wait_for_line("#1", |line| line.contains("#1 open "));
    assert!(line.contains(" open [fe80::7%1]:"), "{line}");
}
