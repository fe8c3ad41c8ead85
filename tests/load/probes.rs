//! The duration of probing if the server hangs, and probes that are answered late.

use crate::network::load_command;
use crate::run::Running;
use crate::servers::{Fate, serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// `echoloop serve`, killed at the end of the test.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_echoloop"));
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address = rest.split_whitespace().next().unwrap().parse().unwrap();
        Server { process, address }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn probes_of_a_hung_server_all_fail_within_a_timeout() {
    let server = Server::start();
    let arguments = ["--idle", "2000", "--connect-timeout", "1s"];
    let arguments = [&arguments[..], &["--duration", "2s"]].concat();
    let mut load = Running::start(load_command(server.address, &arguments));
    load.wait_for_the_first_second();
    server.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let output = load.finish();
    let took = stopped.elapsed();
    let result = output.result();
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.dead), (2_000, 2_000), "{result:#?}");
    assert_eq!(result.connections.lost, 0);
    // The rest of the measured part, one timeout, and the delay of a busy machine.
    let most = Duration::from_secs(1) + 3 * Duration::from_secs(1);
    assert!(took < most, "{took:?}: {output:#?}");
    assert!(
        output.stderr.contains("probing: no reply for"),
        "{output:#?}"
    );
}

#[test]
fn probes_of_a_slow_server_all_succeed_beyond_a_timeout() {
    // One reply per four milliseconds: two timeouts for all.
    let gate = Mutex::new(());
    let server = serve(move |_| {
        let _guard = gate.lock().unwrap();
        thread::sleep(Duration::from_millis(4));
        Fate::Answered
    });
    let arguments = ["--idle", "500", "--connect-timeout", "1s"];
    let arguments = [&arguments[..], &["--duration", "100ms"]].concat();
    let start = Instant::now();
    let load = Running::start(load_command(server, &arguments));
    let result = load.finish().result();
    assert!(start.elapsed() > Duration::from_secs(2), "it was slow");
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (500, 500), "{result:#?}");
}

#[test]
fn unanswered_probes_do_not_delay_those_of_others() {
    // The first 1,000 do not answer, which is more than the initial window.
    let server = serve(|message| {
        if message.connection < 1_000 {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let arguments = ["--idle", "1200", "--connect-timeout", "2s"];
    let arguments = [&arguments[..], &["--duration", "100ms"]].concat();
    let start = Instant::now();
    let load = Running::start(load_command(server, &arguments));
    let result = load.finish().result();
    let took = start.elapsed();
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (1_200, 200), "{result:#?}");
    assert!(took < 3 * Duration::from_secs(2), "{took:?}");
}

#[test]
fn probes_answered_while_the_load_is_stopped_succeed() {
    let (probed, first_probe) = mpsc::channel();
    let server = serve(move |_| {
        // The load is stopped before this ends.
        probed.send(()).unwrap();
        thread::sleep(Duration::from_millis(300));
        Fate::Answered
    });
    let arguments = ["--idle", "100", "--connect-timeout", "1s"];
    let arguments = [&arguments[..], &["--duration", "100ms"]].concat();
    let load = Running::start(load_command(server, &arguments));
    let pid = Pid::from_raw(load.process.id().try_into().unwrap());
    first_probe.recv().unwrap();
    kill(pid, Signal::SIGSTOP).unwrap();
    // Not a wait for a condition: it stops the program under test for this long.
    thread::sleep(Duration::from_secs(2));
    kill(pid, Signal::SIGCONT).unwrap();
    let result = load.finish().result();
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (100, 100), "{result:#?}");
}
