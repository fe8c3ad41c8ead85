//! Loads on several hosts: network namespaces, each with a host name of its own.

use crate::network::in_own_network;
use crate::parts::{WHOLE, assert_whole, report, saved_line, start};
use crate::run::{Running, echoloop};
use crate::tools::{PATIENCE, lacking};
use echoloop::load::{LoadResult, Saved};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until the network of this host is connected, then runs the script and the program.
const HOST: &str = r#"
hostname "$0" && ip link set lo up && echo ready && read -r number || exit 1
if [ "$number" != 0 ]; then
  ip address add "10.77.$number.2/24" dev eth0 && ip link set eth0 up &&
    ip route add 10.77.0.0/24 via "10.77.$number.1" || exit 1
fi
exec "$@"
"#;

/// A host with its own name, network and, if so flagged, process ids.
struct Host {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Host {
    /// Starts a host; the program runs once its network is connected.
    fn start(name: &str, flags: &[&str], program: &Command) -> Option<Host> {
        let mut command = Command::new("unshare");
        command.args(["-n", "-u"]).args(flags);
        command.args(["sh", "-c", HOST, name]);
        command
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().ok()?;
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let host = Host { process, stdout };
        (line == "ready\n").then_some(host)
    }

    /// Connects it with this namespace as 10.77.NUMBER.2, or leaves it alone if 0.
    fn connect(&mut self, number: usize) {
        if number > 0 {
            let link = format!("host{number}");
            let pid = self.process.id().to_string();
            ip(&format!(
                "link add {link} type veth peer name eth0 netns {pid}"
            ));
            ip(&format!("address add 10.77.{number}.1/24 dev {link}"));
            ip(&format!("link set {link} up"));
        }
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{number}").unwrap();
    }

    /// The line of `--save -`.
    #[track_caller]
    fn finish(mut self) -> String {
        let mut line = String::new();
        self.stdout.read_to_string(&mut line).unwrap();
        let mut text = String::new();
        let mut stderr = self.process.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {line}{text}");
        line
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail if the process has been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// Whether hosts can be made with these flags.
fn can_have_hosts(flags: &[&str]) -> bool {
    let host = Host::start("probe", flags, &Command::new("true"));
    let has_worked = host.is_some_and(|mut host| {
        host.connect(0);
        host.process.wait().unwrap().success()
    });
    has_worked
        || lacking(&format!(
            "a host (unshare -n -u {flags:?}) is not permitted"
        ))
}

fn can_have_links() -> bool {
    let added = Command::new("ip")
        .args("link add probe type veth peer name peer".split(' '))
        .output();
    added.is_ok_and(|output| output.status.success()) || lacking("the kernel has no veth links")
}

fn wait_until_it_listens(server: &str) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(server).is_err() {
        assert!(Instant::now() < deadline, "{server} does not listen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn parts_of_hosts_with_their_own_names_sum_exactly() {
    in_own_network(
        "hosts::parts_of_hosts_with_their_own_names_sum_exactly",
        || {
            if !can_have_hosts(&[]) || !can_have_links() {
                return;
            }
            ip("address add 10.77.0.1/24 dev lo");
            let target = "10.77.0.1:7000";
            let _server = Running::start(echoloop(&["serve", "-q", "-l", target]));
            wait_until_it_listens(target);
            let start = start();
            let host = |number: usize| {
                let (name, part) = (format!("load-{number}"), format!("{number}/3"));
                let fixed = ["load", target, "--part", &part, "--save", "-"];
                let start = ["--start-at", &start, "--ramp", "1000"];
                let load = echoloop(&[&fixed[..], &start, &WHOLE].concat());
                let mut host = Host::start(&name, &[], &load).unwrap();
                host.connect(number);
                host
            };
            let hosts = [1, 2, 3].map(host);
            let lines = hosts.map(Host::finish);
            let parts: Vec<Saved> = lines.iter().map(|line| saved_line(line)).collect();
            let (code, json, stderr) = report(&lines.concat(), &["--parts", "3", "-o", "json"]);
            assert_eq!(code, Some(0), "{stderr}");
            let merged: LoadResult = serde_json::from_str(&json).unwrap();
            assert_whole(&parts, &merged);
            let (_, text, _) = report(&lines.concat(), &[]);
            let hosts = "3 loads, on load-1, load-2, load-3\n";
            assert!(text.contains(hosts), "{text}");
        },
    );
}

/// A load that retransmits SYNs beside the program's: nothing answers at this address.
const WITH_RETRANSMITS: &str = r#"
ip link add here type veth peer name there && ip address add 10.78.0.1/24 dev here &&
  ip link set here up && ip link set there up &&
  ip neighbour add 10.78.0.2 lladdr 02:00:00:00:00:01 dev here || exit 1
"$0" send 10.78.0.2:7 --message x --connect-timeout 60s >/dev/null 2>&1 &
"$0" "$@"
"#;

#[test]
fn two_hosts_of_one_name_are_two() {
    in_own_network("hosts::two_hosts_of_one_name_are_two", || {
        // Process ids are those of a machine of its own: the servers of both hosts have the same.
        let flags = ["-p", "-f", "--mount-proc", "--kill-child"];
        if !can_have_hosts(&flags) || !can_have_links() {
            return;
        }
        let start = start();
        let host = |number: usize| {
            let part = format!("{number}/2");
            let fixed = ["load", "--part", &part, "--save", "-"];
            let start = ["--start-at", &start];
            let load = echoloop(&[&fixed[..], &start, &WHOLE].concat());
            let mut script = Command::new("sh");
            script.args(["-c", WITH_RETRANSMITS]);
            script.arg(load.get_program()).args(load.get_args());
            let mut host = Host::start("vm", &flags, &script).unwrap();
            host.connect(0);
            host
        };
        let hosts = [1, 2].map(host);
        let lines = hosts.map(Host::finish);
        let parts: Vec<Saved> = lines.iter().map(|line| saved_line(line)).collect();
        assert!(parts.iter().all(|part| part.host == "vm"), "{parts:#?}");
        let [one, other] = [&parts[0], &parts[1]];
        let pid = |part: &Saved| part.result.server.as_ref().unwrap().pid;
        assert_eq!(pid(one), pid(other), "the test needs the same process ids");

        let flags = ["--parts", "2", "--across-targets", "-o", "json"];
        let (code, json, stderr) = report(&lines.concat(), &flags);
        assert_eq!(code, Some(0), "{stderr}");
        let merged: LoadResult = serde_json::from_str(&json).unwrap();
        assert_whole(&parts, &merged);
        let server = merged.server.unwrap();
        let memory = |part: &Saved| part.result.server.as_ref().unwrap().rss_bytes;
        assert_eq!(server.processes, 2);
        assert_eq!(server.rss_bytes, memory(one) + memory(other));
        let machine = |part: &Saved| part.result.connect.machine_retransmitted.unwrap();
        assert!(machine(one) > 0 && machine(other) > 0, "{parts:#?}");
        assert_eq!(
            merged.connect.machine_retransmitted,
            Some(machine(one) + machine(other))
        );
        let (_, text, _) = report(&lines.concat(), &["--across-targets"]);
        assert!(text.contains("2 loads, on vm (2 hosts)"), "{text}");
    });
}
