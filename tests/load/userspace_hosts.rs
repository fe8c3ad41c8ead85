//! Network namespaces for loads over userspace TCP, and the servers in them.

use crate::network::{counter_in, in_own_network};
use crate::real_servers::Place;
use crate::run::{Output, echoloop, load};
use crate::tools::{have_tool, lacking};
use crate::two_hosts::{OtherHost, THERE, with_other_host};
use echoloop::load::LoadResult;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

/// An address of the namespace of a test that is not a loopback address.
pub(crate) const HERE: &str = "10.99.9.9";

/// The sources of the connections, by default.
pub(crate) const PREFIX: &str = "198.18.0.0/15";

/// Runs the test of this full name in its own network with the address [`HERE`]. Skips it if that is not permitted.
pub(crate) fn in_tun_network(name: &str, test: impl FnOnce()) {
    if has_tun() && have_tool("ip") {
        in_own_network(name, || {
            ip(&format!("address add {HERE}/32 dev lo"));
            test();
        });
    }
}

/// Runs the test of this full name in its own network with another host, which has a route to [`PREFIX`] via this one;
/// both check the sources of packets (RFC 3704). Skips it if that is not permitted.
pub(crate) fn with_routed_host(name: &str, test: impl FnOnce(&OtherHost)) {
    if !has_tun() || !have_tool("ip") {
        return;
    }
    with_other_host(name, |other| {
        for (setting, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "1")] {
            fs::write(format!("/proc/sys/net/ipv4/{setting}"), value).unwrap();
        }
        let here = crate::two_hosts::HERE;
        let script = format!("ip route add {PREFIX} via {here}");
        let output = shell_on(other).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        test(other);
    });
}

/// Where a server on the other host runs and listens.
pub(crate) fn place_on(other: &OtherHost) -> Place<'static> {
    Place {
        ip: THERE,
        shell: shell_on(other),
    }
}

fn shell_on(other: &OtherHost) -> Command {
    other.command("sh")
}

/// Whether a TUN interface can be opened at all.
pub(crate) fn has_tun() -> bool {
    let node = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    node.is_ok() || lacking("/dev/net/tun cannot be opened")
}

#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// As many connections as a server can have, in thousands, up to 19,000.
pub(crate) fn many() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let thousands = most.saturating_sub(500) / 1000;
    1000 * thousands.clamp(1, 19)
}

/// A server that listens, killed at the end of the test.
pub(crate) struct Serve {
    process: Child,
    pub(crate) address: String,
}

impl Serve {
    /// `echoloop serve` on [`HERE`].
    pub(crate) fn start(arguments: &[&str]) -> Serve {
        let listen = format!("{HERE}:0");
        Serve::run(echoloop(&[&["serve", "-l", &listen], arguments].concat()))
    }

    /// `echoloop serve` on the other host.
    pub(crate) fn start_on(other: &OtherHost, arguments: &[&str]) -> Serve {
        Serve::start_at(other, &format!("{THERE}:0"), arguments)
    }

    /// `echoloop serve` on this address of the other host.
    pub(crate) fn start_at(other: &OtherHost, listen: &str, arguments: &[&str]) -> Serve {
        let serve = echoloop(&[&["serve", "-l", listen], arguments].concat());
        let mut command = other.command(env!("CARGO_BIN_EXE_echoloop"));
        command
            .args(serve.get_args())
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        Serve::run(command)
    }

    /// A command whose first line on stderr ends with `listening on ADDRESS`, and more words.
    pub(crate) fn run(mut command: Command) -> Serve {
        let mut process = command.stdout(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("listening on ").expect(&line);
        let address = rest.split_whitespace().next().unwrap().to_owned();
        Serve { process, address }
    }

    /// Its standard input, if that is a pipe.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Ends the process by this signal, and waits for its end.
    pub(crate) fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        self.process.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Both fail if the process has been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The arguments of a load over userspace TCP with JSON output.
pub(crate) fn arguments<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [target, "--userspace-tcp", "--warmup", "0", "-o", "json"];
    [&fixed, more].concat()
}

/// Runs a load over userspace TCP with JSON output.
pub(crate) fn load_over_tun(target: &str, more: &[&str]) -> Output {
    load(&arguments(target, more))
}

/// Checks that all idle connections were established, are alive, and answered without an error.
#[track_caller]
pub(crate) fn assert_all_alive(output: &Output, idle: u64) -> LoadResult {
    assert_eq!(output.code, Some(0), "{output:#?}");
    let result = output.result();
    let connections = &result.connections;
    let counts = (connections.opened, connections.failed.total());
    assert_eq!(counts, (connections.asked, 0), "{result:#?}");
    assert_eq!(
        (connections.lost, connections.lost_by),
        Default::default(),
        "{result:#?}"
    );
    let probe = &result.probe;
    let bad = (probe.dead, probe.mismatched, probe.lost);
    assert_eq!((probe.asked, probe.alive), (idle, idle), "{result:#?}");
    assert_eq!(bad, (0, 0, 0), "{result:#?}");
    assert_eq!(result.echo.mismatched, 0, "{result:#?}");
    assert_eq!(result.connect.time_us.count, connections.asked);
    let figures = result.userspace_tcp.unwrap();
    // SYN, ACK, a message and its acknowledgment, RST; SYN-ACK and a reply.
    assert!(figures.packets_sent >= 3 * idle, "{result:#?}");
    assert!(figures.packets_received >= 2 * idle, "{result:#?}");
    assert_eq!(figures.bad_checksums, 0, "{result:#?}");
    result
}

/// Checks that no accept queue was full: no SYN or ACK of a handshake was dropped, and no SYN cookie was sent.
#[track_caller]
pub(crate) fn assert_no_overflow(netstat: &str) {
    for name in ["ListenOverflows", "ListenDrops", "SyncookiesSent"] {
        assert_eq!(counter_in(netstat, name), 0, "{name}");
    }
}

/// A counter of `/proc/net/snmp` of this network namespace, for TCP.
pub(crate) fn tcp_counter(wanted: &str) -> u64 {
    let snmp = fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut rows = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let mut columns = names.split(' ').zip(values.split(' '));
    let (_, value) = columns.find(|(name, _)| *name == wanted).unwrap();
    value.parse().unwrap()
}
