//! Above capacity: the rate reported is that of a closed loop on the same connections, and a stall shows in the tail.

use crate::fixed::{Above, Fixed};
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

const CLOSED: [&str; 2] = ["--warmup", "100ms"];

/// Schedules above capacity, with and without a warm-up, in turn with the closed loop.
pub(crate) fn above_capacity(report: &mut Report) {
    report.part(
        "overload",
        "50 connections, schedules above capacity, and a server that stalls",
    );
    let fixed = Fixed {
        service: Duration::from_micros(50),
        limit: usize::MAX,
        above: Above::Reset,
    };
    let rounds = if report.quick { 1 } else { 5 };
    report.figure("a server that takes 50 us per message", "");
    Rounds::new(fixed.start()).run(rounds, report);
    let server = Server::start();
    // The speed of a machine changes within seconds: many rounds make up for that, and the control row shows what is left.
    let rounds = if report.quick { 1 } else { 80 };
    report.figure("serve", "");
    Rounds::new(server.address).run(rounds, report);
    stalls(report);
}

/// Loads on one server, each in each round.
struct Rounds {
    address: SocketAddr,
    /// The rate of a closed loop; multiples of it are the schedules.
    capacity: f64,
}

impl Rounds {
    fn new(address: SocketAddr) -> Rounds {
        let mut rounds = Rounds {
            address,
            capacity: 0.0,
        };
        let rates = (0..5).map(|_| rounds.rate(&CLOSED).0).collect();
        rounds.capacity = median(rates);
        rounds
    }

    /// The rate of a run with these arguments; which end is the limit, for the report.
    fn rate(&self, arguments: &[&str]) -> (f64, &'static str) {
        let usual = ["--active", "50", "--duration", "300ms"];
        let result = load(self.address, &[&usual, arguments].concat());
        let echo = &result.echo;
        assert_eq!((echo.mismatched, echo.missing), (0, 0), "{result:#?}");
        let limit = if result.generator.saturated {
            "this process"
        } else {
            "the server"
        };
        (echo.per_second, limit)
    }

    /// Reports the mean rate of each schedule to that of the closed loop.
    fn run(&self, rounds: usize, report: &mut Report) {
        let control = (
            "closed loop again".to_owned(),
            CLOSED.map(str::to_owned).to_vec(),
        );
        let schedules = FACTORS.iter().flat_map(|factor| {
            ["0", "1s"].map(|warmup| {
                let schedule = format!("{:.0}", self.capacity * factor);
                let arguments = ["--rate", &schedule, "--warmup", warmup].map(str::to_owned);
                (
                    format!("{factor} times, warm-up {warmup}"),
                    arguments.to_vec(),
                )
            })
        });
        let loads: Vec<_> = std::iter::once(control).chain(schedules).collect();
        let mut closed = 0.0;
        let mut totals = vec![(0.0, ""); loads.len()];
        for round in 0..rounds {
            closed += self.rate(&CLOSED).0;
            for at in 0..loads.len() {
                // The closed loop does not always precede the same load.
                let at = (at + round) % loads.len();
                let arguments: Vec<&str> = loads[at].1.iter().map(String::as_str).collect();
                let (rate, limit) = self.rate(&arguments);
                totals[at] = (totals[at].0 + rate, limit);
            }
        }
        for ((name, _), (total, limit)) in loads.iter().zip(totals) {
            let ratio = total / closed;
            let name = format!("{name}: rate to closed loop");
            let is_equal = (ratio - 1.0).abs() <= MOST_DIFFERENCE;
            report.time_bar(&name, format!("{ratio:.3}"), "0.95 to 1.05", is_equal);
            report.figure("  the limit is", limit);
        }
    }
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
