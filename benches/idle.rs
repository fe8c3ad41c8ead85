//! What an idle connection costs the daemon: user memory as a slope between two counts, and system calls (none).
//!
//! `cargo bench --bench idle` opens 15,000 connections that have echoed once, to a release build of `echoloop serve`
//! with its defaults; `-- --quick` opens 3,000, to see that the bench works. Exits with 1 when a bar is missed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// The most bytes of user memory that an idle connection may cost.
const MOST_BYTES: f64 = 64.0;

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (few, many) = if quick {
        (1_000, 3_000)
    } else {
        (5_000, 15_000)
    };
    let daemon = Daemon::start();
    let mut connections = Vec::new();
    let start = daemon.user_memory();
    open_until(few, daemon.address, &mut connections);
    let at_few = daemon.user_memory();
    open_until(many, daemon.address, &mut connections);
    let at_many = daemon.user_memory();
    let switches = daemon.context_switches_at_rest();
    // What is observed is that time passes and nothing happens.
    std::thread::sleep(Duration::from_secs(if quick { 1 } else { 5 }));
    let woken = daemon.context_switches() - switches;

    let slope = as_f64(at_many.saturating_sub(at_few)) / as_f64(many - few);
    println!("user memory (Pss) of the daemon, {few} to {many} connections that have echoed once");
    println!("  at the start          {:>9} KiB", start / 1024);
    println!("  {few:>6} connections    {:>9} KiB", at_few / 1024);
    println!("  {many:>6} connections    {:>9} KiB", at_many / 1024);
    println!("  per idle connection   {slope:>9.1} B     (at most {MOST_BYTES})");
    println!("  wake-ups while idle   {woken:>9}       (none)");
    // A page is 4 KiB: between few connections, that alone is several bytes each.
    let met = woken == 0 && (quick || slope <= MOST_BYTES);
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Connects from several loopback addresses, and has one message echoed on each connection.
fn open_until(count: usize, daemon: SocketAddr, connections: &mut Vec<TcpStream>) {
    while connections.len() < count {
        let host = u8::try_from(1 + connections.len() / 10_000).unwrap();
        let mut stream = connect_from(Ipv4Addr::new(127, 0, 0, host), daemon);
        stream.write_all(b"ping").unwrap();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"ping");
        connections.push(stream);
    }
}

fn connect_from(source: Ipv4Addr, daemon: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&daemon.into()).unwrap();
    socket.into()
}

/// A daemon of this build, on a port of its own.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start() -> Daemon {
        echoloop::net::raise_descriptor_limit().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_echoloop"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address = rest.split(' ').next().unwrap().parse().unwrap();
        child.stderr = Some(log.into_inner());
        Daemon { child, address }
    }

    /// The proportional set size in bytes (`proc_pid_smaps(5)`).
    fn user_memory(&self) -> usize {
        1024 * self.number("smaps_rollup", "Pss:")
    }

    fn context_switches(&self) -> usize {
        self.number("status", "voluntary_ctxt_switches:")
    }

    /// The count once it no longer changes: the daemon goes to sleep a little after the last reply is read.
    fn context_switches_at_rest(&self) -> usize {
        let mut before = self.context_switches();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.context_switches();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    fn number(&self, file: &str, name: &str) -> usize {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
