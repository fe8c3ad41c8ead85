//! Above capacity: the rate reported is that of a closed loop on the same connections, and a stall shows in the tail.

use crate::programs::{Server, load};
use crate::report::{Report, median};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Multiples of the closed loop's rate.
const FACTORS: [f64; 3] = [1.5, 3.0, 10.0];

/// The largest difference from the closed loop.
const MOST_DIFFERENCE: f64 = 0.05;

/// The length of the stall, and the least p99.9 that shows it.
const STALL: Duration = Duration::from_millis(500);
const LEAST_TAIL_US: u64 = 450_000;

/// The rate of a run with these arguments; which end is the limit, for the report.
fn rate(address: SocketAddr, length: &str, arguments: &[&str]) -> (f64, String) {
    let usual = ["--active", "50", "--duration", length];
    let result = load(address, &[&usual, arguments].concat());
    let echo = &result.echo;
    assert_eq!((echo.mismatched, echo.missing), (0, 0), "{result:#?}");
    let limit = if result.generator.saturated {
        "this process"
    } else {
        "the server"
    };
    (echo.per_second, limit.to_owned())
}

/// A schedule above capacity, with and without a warm-up, alternately with the closed loop.
pub(crate) fn above_capacity(report: &mut Report) {
    report.part(
        "overload",
        "50 connections, schedules above capacity, and a server that stalls",
    );
    let server = Server::start();
    let (length, rounds) = if report.quick {
        ("300ms", 1)
    } else {
        // Short rounds, each between two closed loops, since the speed of a machine changes within seconds.
        ("1s", 9)
    };
    let closed = || rate(server.address, length, &["--warmup", "300ms"]).0;
    for factor in FACTORS {
        for warmup in ["0", "1s"] {
            let mut ratios = Vec::new();
            let mut limit = String::new();
            let mut before = closed();
            for _ in 0..rounds {
                let schedule = format!("{:.0}", before * factor);
                let arguments = ["--rate", &schedule, "--warmup", warmup];
                let (reported, by) = rate(server.address, length, &arguments);
                let after = closed();
                ratios.push(reported / f64::midpoint(before, after));
                (before, limit) = (after, by);
            }
            let ratio = median(ratios);
            let name = format!("{factor} times, warm-up {warmup}: rate to closed loop");
            let is_equal = (ratio - 1.0).abs() <= MOST_DIFFERENCE;
            report.time_bar(&name, format!("{ratio:.3}"), "0.95 to 1.05", is_equal);
            report.figure("  the limit is", limit);
        }
    }
    stalls(report);
}

/// A stall of the server shows in p99.9 at every rate.
fn stalls(report: &mut Report) {
    for rate in ["100", "1k", "10k", "100k", "1m"] {
        let address = stalling_server();
        let arguments = ["--active", "50", "--rate", rate, "--duration", "2s"];
        let result = load(address, &[&arguments[..], &["--warmup", "0"]].concat());
        let tail = result.echo.response_time_us.p99_9;
        let (name, value) = (
            format!("stall of 500 ms, {rate}/s: p99.9"),
            format!("{tail} us"),
        );
        report.bar(&name, value, "at least 450 ms", tail >= LEAST_TAIL_US);
    }
}

/// An echo server with a thread per connection, all of which stall once, a second after the first message.
fn stalling_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stall_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stall_at = Arc::clone(&stall_at);
            let stream = stream.unwrap();
            thread::spawn(move || echo(stream, &stall_at));
        }
    });
    address
}

fn echo(mut stream: TcpStream, stall_at: &Mutex<Option<Instant>>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let count = match stream.read(&mut buffer) {
            // The load has closed the connection.
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let mut stall_at = stall_at.lock().unwrap();
        let at = *stall_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(1));
        if at <= Instant::now() {
            // The others wait for the lock meanwhile.
            thread::sleep(STALL);
            *stall_at = Some(at + Duration::from_secs(3600));
        }
        drop(stall_at);
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
