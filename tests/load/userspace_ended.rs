//! Servers that end connections in user space, refuse them, or do not answer: each is counted with its cause, and the
//! load ends.

use crate::run::{Output, Running, echoloop, script_file};
use crate::tools::have_tool;
use crate::two_hosts::THERE;
use crate::userspace_hosts::{
    HERE, PREFIX, Serve, arguments, assert_all_alive, in_tun_network, ip, load_over_tun,
    with_routed_host,
};
use echoloop::load::LoadResult;
use nix::sys::signal::Signal;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};

const IDLE: u64 = 1000;

/// A load of [`IDLE`] connections in its second second, when `event` happens.
#[track_caller]
fn with_event(target: &str, more: &[&str], event: impl FnOnce()) -> Output {
    let idle = IDLE.to_string();
    let load = arguments(target, &[&["--idle", &idle], more].concat());
    let mut load = Running::start(echoloop(&[&["load"], &load[..]].concat()));
    load.wait_for_the_first_second();
    event();
    load.finish()
}

/// Checks that all connections were established, and lost for the cause that `count` picks.
#[track_caller]
fn assert_lost(output: &Output, count: fn(&LoadResult) -> u64) {
    let result = output.result();
    assert_eq!(output.code, Some(3), "{output:#?}");
    let connections = &result.connections;
    let counts = (connections.opened, connections.failed.total());
    assert_eq!(counts, (IDLE, 0), "{result:#?}");
    assert_eq!(
        (connections.lost, count(&result)),
        (IDLE, IDLE),
        "{result:#?}"
    );
    let probe = &result.probe;
    let counts = (probe.asked, probe.alive, probe.lost);
    assert_eq!(counts, (IDLE, 0, IDLE), "{result:#?}");
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("1,000 connections lost"), "{output:#?}");
}

/// Checks that no connection was established, for the reason that `count` picks.
#[track_caller]
fn assert_failed(output: &Output, count: fn(&LoadResult) -> u64) {
    let result = output.result();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(
        (result.connections.opened, count(&result)),
        (0, IDLE),
        "{result:#?}"
    );
    assert_eq!(result.connections.lost, 0, "{result:#?}");
}

#[test]
fn connections_of_a_killed_server_are_lost_by_fin() {
    let name = "userspace_ended::connections_of_a_killed_server_are_lost_by_fin";
    in_tun_network(name, || {
        let mut server = Serve::start(&[]);
        let target = server.address.clone();
        let output = with_event(&target, &["-d", "2s"], || server.end_by(Signal::SIGKILL));
        assert_lost(&output, |result| result.connections.lost_by.fin);
    });
}

#[test]
fn connections_of_a_draining_server_are_lost_by_fin() {
    let name = "userspace_ended::connections_of_a_draining_server_are_lost_by_fin";
    in_tun_network(name, || {
        let mut server = Serve::start(&[]);
        let target = server.address.clone();
        // The server waits until each client has answered its FIN with a FIN.
        let output = with_event(&target, &["-d", "2s"], || server.end_by(Signal::SIGTERM));
        assert_lost(&output, |result| result.connections.lost_by.fin);
    });
}

/// A server in python3 that echoes. A line of input ends all connections: `reset` by RST; `vanish` as if the machine had
/// restarted, with no packet (`TCP_REPAIR`). They send keepalive probes after each second of silence.
const PYTHON: &str = "
import resource, selectors, socket, struct, sys
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
TCP_REPAIR = 19
def end(stream, how):
    if how == 'reset':
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    if how == 'vanish':
        stream.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    stream.close()
listener = socket.create_server((sys.argv[1], 0), backlog=128)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option, value in (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3):
    listener.setsockopt(socket.IPPROTO_TCP, option, value)
selector = selectors.DefaultSelector()
streams = set()
for source in listener, sys.stdin:
    selector.register(source, selectors.EVENT_READ)
print('listening on %s:%d' % listener.getsockname(), file=sys.stderr, flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            stream, _ = listener.accept()
            streams.add(stream)
            selector.register(stream, selectors.EVENT_READ)
        elif key.fileobj is sys.stdin:
            how = sys.stdin.readline().strip()
            selector.unregister(sys.stdin)
            for stream in streams:
                selector.unregister(stream)
                end(stream, how)
            streams.clear()
        elif key.fileobj in streams:
            try:
                data = key.fileobj.recv(65536)
            except ConnectionResetError:
                data = b''
            if data:
                key.fileobj.send(data)
            else:
                selector.unregister(key.fileobj)
                streams.remove(key.fileobj)
                key.fileobj.close()
";

/// Starts [`PYTHON`], and returns its stdin.
fn python() -> Option<(Serve, ChildStdin)> {
    if !have_tool("python3") {
        return None;
    }
    let mut command = Command::new("python3");
    command
        .args(["-c", PYTHON, HERE])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = Serve::run(command);
    let stdin = server.stdin().unwrap();
    Some((server, stdin))
}

#[test]
fn connections_that_the_server_resets_are_lost_by_reset() {
    let name = "userspace_ended::connections_that_the_server_resets_are_lost_by_reset";
    in_tun_network(name, || {
        let Some((server, mut stdin)) = python() else {
            return;
        };
        let output = with_event(&server.address, &["-d", "3s"], || {
            writeln!(stdin, "reset").unwrap();
        });
        assert_lost(&output, |result| result.connections.lost_by.reset);
    });
}

/// The probe of a connection that the server does not have any more is answered by RST.
#[test]
fn connections_of_a_restarted_host_are_lost_by_reset() {
    let name = "userspace_ended::connections_of_a_restarted_host_are_lost_by_reset";
    in_tun_network(name, || {
        let Some((server, mut stdin)) = python() else {
            return;
        };
        let output = with_event(&server.address, &["-d", "3s"], || {
            writeln!(stdin, "vanish").unwrap();
        });
        let result = output.result();
        assert_eq!(output.code, Some(3), "{output:#?}");
        let connections = &result.connections;
        let counts = (connections.lost, connections.lost_by.reset);
        assert_eq!(counts, (IDLE, IDLE), "{result:#?}");
        assert_eq!(connections.failed.total(), 0, "{result:#?}");
        let probe = &result.probe;
        let counts = (probe.asked, probe.alive, probe.lost);
        assert_eq!(counts, (IDLE, 0, IDLE), "{result:#?}");
    });
}

#[test]
fn keepalive_probes_are_answered_for_the_whole_hold() {
    let name = "userspace_ended::keepalive_probes_are_answered_for_the_whole_hold";
    in_tun_network(name, || {
        // Without replies, the kernel would reset the connections of the first after 3 s, those of the second after 4 s.
        let serve = Serve::start(&["--keepalive", "1s"]);
        let other = python();
        let load = |server: &Serve, prefix: &str| {
            let load = ["--idle", "1000", "--prefix", prefix, "-d", "6s"];
            let load = arguments(&server.address, &load);
            Running::start(echoloop(&[&["load"], &load[..]].concat()))
        };
        let one = load(&serve, "198.18.0.0/16");
        let other = other
            .as_ref()
            .map(|(server, _)| load(server, "198.19.0.0/16"));
        for load in [Some(one), other].into_iter().flatten() {
            let result = assert_all_alive(&load.finish(), IDLE);
            let answered = result.userspace_tcp.unwrap().keepalives_answered;
            assert!(answered >= 3 * IDLE, "{result:#?}");
        }
    });
}

#[test]
fn port_without_a_listener_refuses_all() {
    let name = "userspace_ended::port_without_a_listener_refuses_all";
    with_routed_host(name, |_| {
        ip(&format!("address add {HERE}/32 dev lo"));
        for host in [HERE, THERE] {
            let target = format!("{host}:7000");
            let output = load_over_tun(&target, &["--idle", "1000", "-d", "1s"]);
            assert_failed(&output, |result| result.connections.failed.refused);
        }
    });
}

#[test]
fn silent_network_times_out() {
    let name = "userspace_ended::silent_network_times_out";
    in_tun_network(name, || {
        // The kernel has no way back to the sources: their packets are dropped.
        ip("route add blackhole 198.18.0.0/16 table 7");
        ip("rule add pref 0 from 10.99.9.9 table 7");
        let server = Serve::start(&[]);
        let load = ["--idle", "1000", "-d", "1s", "--connect-timeout", "100ms"];
        let output = load_over_tun(&server.address, &load);
        assert_failed(&output, |result| result.connections.failed.timeout);
    });
}

/// Checks that far more connections than are opened ahead fail together: most of them are not opened at all.
#[track_caller]
fn assert_opening_ends(target: &str, more: &[&str], count: fn(&LoadResult) -> u64) {
    let load = ["--idle", "100k", "-d", "1s", "--connect-timeout", "200ms"];
    let output = load_over_tun(target, &[&load[..], more].concat());
    let result = output.result();
    assert_eq!(output.code, Some(1), "{output:#?}");
    let connections = &result.connections;
    let counts = (connections.opened, connections.failed.total());
    assert_eq!(counts, (0, 100_000), "{result:#?}");
    assert_eq!(count(&result), 100_000, "{result:#?}");
    let packets = result.userspace_tcp.unwrap().packets_sent;
    assert!(packets < 10_000, "{result:#?}");
    let warning = "100000 connections failed (0 established): ";
    let has_warning = |text: &String| text.contains(warning);
    assert!(result.warnings.iter().any(has_warning), "{result:#?}");
}

#[test]
fn host_that_answers_no_syn_ends_the_opening() {
    let name = "userspace_ended::host_that_answers_no_syn_ends_the_opening";
    with_routed_host(name, |other| {
        let timed_out = |result: &LoadResult| result.connections.failed.timeout;
        assert_opening_ends("10.77.0.77:7000", &[], timed_out);
        let server = Serve::start_on(other, &[]);
        let mut route = other.command("ip");
        route.args(["route", "replace", "blackhole", PREFIX]);
        assert!(route.status().unwrap().success());
        assert_opening_ends(&server.address, &[], timed_out);
        // A visible accept queue.
        ip(&format!("address add {HERE}/32 dev lo"));
        ip("route add blackhole 198.18.0.0/15 table 7");
        ip(&format!("rule add pref 0 from {HERE} table 7"));
        let server = Serve::start(&[]);
        assert_opening_ends(&server.address, &[], timed_out);
    });
}

#[test]
fn server_that_answers_no_hello_ends_the_opening() {
    let name = "userspace_ended::server_that_answers_no_hello_ends_the_opening";
    with_routed_host(name, |other| {
        let line = "send = 'x\\n'\nexpect = { line = true }\n";
        let script = script_file(&format!("[hello]\n{line}[message]\n{line}"));
        let script = ["--script", script.path().to_str().unwrap()];
        let server = Serve::start_on(other, &["-p", "discard"]);
        assert_opening_ends(&server.address, &script, |result| {
            result.connections.failed.hello
        });
    });
}

/// Checks a load of [`IDLE`] connections on a server with room for a third of them.
#[track_caller]
fn assert_refused_above_limit(server: &Serve) {
    let output = load_over_tun(&server.address, &["--idle", "1000", "-d", "500ms"]);
    let result = output.result();
    assert_eq!(output.code, Some(3), "{output:#?}");
    let connections = &result.connections;
    let counts = (connections.opened, connections.failed.reset);
    assert_eq!(counts, (300, 700), "{result:#?}");
    assert_eq!((connections.lost, connections.failed.total()), (0, 700));
    assert_eq!((result.probe.asked, result.probe.alive), (300, 300));
}

#[test]
fn connections_above_the_limit_of_the_server_fail_by_reset() {
    let name = "userspace_ended::connections_above_the_limit_of_the_server_fail_by_reset";
    with_routed_host(name, |other| {
        ip(&format!("address add {HERE}/32 dev lo"));
        let limit = ["--max-connections", "300"];
        assert_refused_above_limit(&Serve::start(&limit));
        assert_refused_above_limit(&Serve::start_on(other, &limit));
    });
}

/// Checks a load of so many connections on a server that does not run, with a backlog of 128. Its messages are so large that
/// no second one is sent while the first is unacknowledged.
#[track_caller]
fn assert_not_accepted(server: &Serve, idle: u64) {
    server.signal(Signal::SIGSTOP);
    let asked = idle.to_string();
    let load = ["--idle", &asked, "--size", "1200", "-d", "500ms"];
    let timeout = ["--connect-timeout", "1s"];
    let output = load_over_tun(&server.address, &[&load[..], &timeout].concat());
    let result = output.result();
    assert_eq!(output.code, Some(3), "{output:#?}");
    let connections = &result.connections;
    let timed_out = connections.failed.timeout;
    assert!(timed_out >= 100, "{result:#?}");
    let counts = (connections.opened, connections.failed.total());
    assert_eq!(counts, (idle - timed_out, timed_out), "{result:#?}");
    assert_eq!(connections.lost, 0, "{result:#?}");
    let probe = &result.probe;
    let counts = (probe.asked, probe.alive, probe.dead);
    assert_eq!(
        counts,
        (idle - timed_out, 0, idle - timed_out),
        "{result:#?}"
    );
    let packets = result.userspace_tcp.as_ref().unwrap().packets_sent;
    assert!(packets < 10_000, "{result:#?}");
    let warnings = &result.warnings;
    let hangs = |warning: &String| warning.contains("accepted no connection within 1 s");
    assert!(warnings.iter().any(hangs), "{result:#?}");
}

#[test]
fn frozen_server_accepts_none_and_the_load_ends() {
    let name = "userspace_ended::frozen_server_accepts_none_and_the_load_ends";
    with_routed_host(name, |other| {
        ip(&format!("address add {HERE}/32 dev lo"));
        let backlog = ["--backlog", "128"];
        for idle in [300, 100_000] {
            assert_not_accepted(&Serve::start(&backlog), idle);
            assert_not_accepted(&Serve::start_on(other, &backlog), idle);
        }
    });
}

#[test]
fn connections_of_a_server_that_freezes_are_dead() {
    let name = "userspace_ended::connections_of_a_server_that_freezes_are_dead";
    in_tun_network(name, || {
        let server = Serve::start(&[]);
        let load = ["-d", "2s", "--connect-timeout", "1s"];
        let output = with_event(&server.address, &load, || server.signal(Signal::SIGSTOP));
        let result = output.result();
        assert_eq!(output.code, Some(3), "{output:#?}");
        assert_eq!(result.connections.lost, 0, "{result:#?}");
        let probe = &result.probe;
        let counts = (probe.asked, probe.alive, probe.dead, probe.lost);
        assert_eq!(counts, (IDLE, 0, IDLE, 0), "{result:#?}");
    });
}
