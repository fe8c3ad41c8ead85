//! A network namespace per test, so that only its own programs change the counters of the kernel.

use crate::run::echoloop;
use crate::tools::lacking;
use nix::unistd::Uid;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::SocketAddr;
use std::process::Command;
use std::{env, fs};

/// Set if the test runs in its own network namespace.
const INSIDE: &str = "ECHOLOOP_TEST_IN_OWN_NETWORK";

/// Runs the test of this full name in its own network namespace (`network_namespaces(7)`), by running this binary there for
/// this test alone. Skips it if that is not permitted.
pub(crate) fn in_own_network(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return test();
    }
    if !can_have_own_network() {
        return;
    }
    let mut inside = unshare("ip link set lo up && exec \"$@\"");
    inside.arg(env::current_exe().unwrap());
    inside
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    let output = inside.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no test {name}: {stdout}");
}

fn can_have_own_network() -> bool {
    let output = unshare("ip link set lo up").output();
    output.is_ok_and(|output| output.status.success())
        || lacking("a network namespace (unshare -n, ip link) is not permitted")
}

/// A shell in its own network namespace; its arguments follow.
fn unshare(script: &str) -> Command {
    // Without root, a user namespace maps the user to root.
    let flags = if Uid::effective().is_root() {
        "-n"
    } else {
        "-rn"
    };
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", script, "sh"]);
    command
}

/// A listener whose accept queue holds this many connections and one more; the kernel drops further SYNs (listen(2),
/// tcp(7)).
pub(crate) fn listener_with_backlog(backlog: i32) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&SockAddr::from(any)).unwrap();
    socket.listen(backlog).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Connects this many sockets; the kernel answers only as many as the accept queue holds.
pub(crate) fn connect_in_background(target: SocketAddr, count: usize) -> Vec<Socket> {
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // EINPROGRESS: it returns before the answer.
        let _ = socket.connect(&SockAddr::from(target));
        socket
    };
    (0..count).map(connect).collect()
}

/// The kernel's count of SYN retransmits in this network namespace.
pub(crate) fn syn_retransmits() -> u64 {
    counter("TCPSynRetrans")
}

/// A counter of TCP in this network namespace.
pub(crate) fn counter(wanted: &str) -> u64 {
    let netstat = fs::read_to_string("/proc/self/net/netstat").unwrap();
    counter_in(&netstat, wanted)
}

/// A counter of TCP in this text of `/proc/PID/net/netstat`.
#[track_caller]
pub(crate) fn counter_in(netstat: &str, wanted: &str) -> u64 {
    let mut rows = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let mut columns = names.split(' ').zip(values.split(' '));
    let (_, value) = columns.find(|(name, _)| *name == wanted).unwrap();
    value.parse().unwrap()
}

/// The command of a load with JSON output.
pub(crate) fn load_command(target: SocketAddr, arguments: &[&str]) -> Command {
    let target = target.to_string();
    let fixed = ["load", &target, "-o", "json", "--warmup", "0"];
    echoloop(&[&fixed, arguments].concat())
}
