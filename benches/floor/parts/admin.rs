//! The admin listener: what a scrape every second costs echoes, and how far `wrk` on `/metrics` delays them, compared with
//! the same `wrk` on another process that shares the core.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::machine::on_core;
use crate::rivals::{Rival, Server};
use crate::row::{Row, Unit, format_ratio};
use crate::stats::Interval;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The time between two scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(bench: &mut Bench) {
    scraped(bench);
    if Command::new("wrk").arg("-v").output().is_err() {
        bench.missing_tool("admin: NOT MEASURED with wrk, which is missing (apt-get install wrk)");
        return;
    }
    hammered(bench);
}

/// An address whose port is free.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Starts echoloop with an admin listener on the servers' core.
fn start(bench: &Bench, admin: SocketAddr) -> Server {
    let mut command = bench.command(Rival::Echoloop);
    command.arg("--admin").arg(admin.to_string());
    let server = Server::start(command, bench.machine.server_core());
    // It opens the admin listener right after the other one.
    while TcpStream::connect(admin).is_err() {
        thread::yield_now();
    }
    server
}

/// Requests the metrics every second until it is dropped.
struct Scraper {
    ends: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    fn start(admin: SocketAddr) -> Scraper {
        let (ends, is_over) = mpsc::channel();
        let thread = thread::spawn(move || {
            while is_over.recv_timeout(SCRAPE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                scrape(admin);
            }
        });
        // A round is shorter than the interval, and has one scrape at least.
        scrape(admin);
        Scraper {
            ends: Some(ends),
            thread: Some(thread),
        }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.ends = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn scrape(admin: SocketAddr) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

fn scraped(bench: &mut Bench) {
    let load = Load::ping_pong(50, 128).with("warmup", bench.full_or_quick(0.1, 0.03));
    let load = load.with("seconds", bench.full_or_quick(2.0, 0.1));
    let outcomes: [_; 2] = bench.interleaved(|setting| {
        let admin = free_address();
        if setting == 0 {
            let server = bench.start(Rival::Echoloop);
            return load.run(&bench.machine, &[server]);
        }
        let server = start(bench, admin);
        let _scraper = Scraper::start(admin);
        load.run(&bench.machine, &[server])
    });
    let [without, with] = outcomes.map(|outcomes| figures(&outcomes, Outcome::rate));
    let ratio = Interval::of_ratios(&with, &without);
    let what = "128 B on 50 connections without --admin";
    bench
        .report
        .add(Row::alone("admin", what, Unit::PerSecond, without));
    let what = "the same with --admin, scraped every second";
    let row = Row::alone("admin", what, Unit::PerSecond, with);
    let bar = format!("{} of that: ≥ 0.99", format_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.high >= 0.99, true));
}

fn hammered(bench: &mut Bench) {
    let seconds = bench.full_or_quick(2, 1);
    let p99: [_; 2] = bench.interleaved(|setting| {
        let (own, other) = (free_address(), free_address());
        let server = start(bench, own);
        let _other = start(bench, other);
        let wrk = Wrk::start(bench, [other, own][setting], seconds + 2);
        let p99 = echo_p99(bench, server.address, seconds);
        drop(wrk);
        p99
    });
    let [beside, on_it] = p99;
    let ratio = Interval::of_ratios(&on_it, &beside);
    let what = "p99 of echoes, wrk on /metrics of another process";
    bench
        .report
        .add(Row::alone("admin", what, Unit::Nanoseconds, beside));
    let what = "the same, wrk on /metrics of this server";
    let row = Row::alone("admin", what, Unit::Nanoseconds, on_it);
    let bar = format!("{} of that: ≤ 2.00", format_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.low <= 2.0, true));
}

/// `wrk` on the generator's core.
struct Wrk(Child);

impl Wrk {
    fn start(bench: &Bench, admin: SocketAddr, seconds: u32) -> Wrk {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c4", &format!("-d{seconds}s")]);
        wrk.arg(format!("http://{admin}/metrics"))
            .stdout(Stdio::null());
        Wrk(on_core(bench.machine.generator_core(), || {
            wrk.spawn().unwrap()
        }))
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The p99 of the response time of echoes at a rate far below the capacity, in nanoseconds.
fn echo_p99(bench: &Bench, target: SocketAddr, seconds: u32) -> f64 {
    let mut load = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    load.args(["load", &target.to_string(), "-q", "--active", "10"]);
    load.args(["--rate", "2k", "--warmup", "200ms", "-o", "json"]);
    load.arg("-d").arg(format!("{seconds}s"));
    let output = on_core(bench.machine.generator_core(), || load.output().unwrap());
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let p99 = result.pointer("/echo/response_time_us/p99").unwrap();
    assert_eq!(result.pointer("/echo/mismatched"), Some(&0.into()));
    1000.0 * p99.as_f64().unwrap()
}
