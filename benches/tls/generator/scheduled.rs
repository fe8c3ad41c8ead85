//! Echoes and handshakes on schedule: each begins at its time, whether earlier ones are done or not, as far as there are
//! threads. A latency begins at the scheduled time.

use super::client::Client;
use super::connection::Connection;
use super::{MESSAGE, Options};
use crate::cpu;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Threads for handshakes: many more than are in progress at a time.
const HANDSHAKES: u32 = 100;

/// How long steps that are late may begin after the end.
const GRACE: Duration = Duration::from_millis(500);

/// The times of one thread.
#[derive(Clone, Copy)]
struct Schedule {
    first: Instant,
    period: Duration,
    end: Instant,
}

impl Schedule {
    /// The schedules of threads that share a rate evenly.
    fn of_threads(start: Instant, end: Instant, rate: f64, threads: u32) -> Vec<Schedule> {
        let period = Duration::from_secs_f64(f64::from(threads) / rate);
        let schedule = |number| Schedule {
            first: start + period * number / threads,
            period,
            end,
        };
        (0..threads).map(schedule).collect()
    }

    /// Runs a step at each time. If the server does not keep up, the steps that are left after [`GRACE`] are not run;
    /// each of them has the delay that it has reached by then.
    fn run(self, mut step: impl FnMut()) -> Delays {
        let mut delays = Delays::default();
        let mut due = self.first;
        while due < self.end {
            if Instant::now() < self.end + GRACE {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                step();
                delays.done += 1;
            }
            delays.sorted.push(due.elapsed());
            due += self.period;
        }
        delays
    }
}

/// The delays from each scheduled time to the end of its step.
#[derive(Default)]
struct Delays {
    /// In ascending order once they are [collected](Delays::of_threads).
    sorted: Vec<Duration>,
    /// Steps that were run.
    done: usize,
}

impl Delays {
    fn of_threads(threads: Vec<JoinHandle<Delays>>) -> Delays {
        let mut all = Delays::default();
        for thread in threads {
            let delays = thread.join().unwrap();
            all.sorted.extend(delays.sorted);
            all.done += delays.done;
        }
        all.sorted.sort_unstable();
        all
    }

    /// The smallest delay that at least `per_mille` of all delays do not exceed, in milliseconds; 0 if there are none.
    fn quantile(&self, per_mille: usize) -> f64 {
        let rank = (self.sorted.len() * per_mille).div_ceil(1000).max(1);
        let delay = self.sorted.get(rank - 1).copied().unwrap_or_default();
        1000.0 * delay.as_secs_f64()
    }
}

/// Echoes at `rate=` on `connections=`, and if `handshakes=` is given, so many full handshakes per second.
pub(super) fn run(client: &Arc<Client>, options: &Options) {
    let pids = options.pids();
    let connections: u32 = options.required("connections");
    let open = |_| Connection::open(client).unwrap();
    let connections: Vec<Connection> = (0..connections).map(open).collect();
    let count = u32::try_from(connections.len()).unwrap();
    let start = Instant::now() + Duration::from_millis(50);
    let end = start + options.time("seconds");
    let rate: f64 = options.required("rate");
    let schedules = Schedule::of_threads(start, end, rate, count);
    let echoes = connections.into_iter().zip(schedules);
    let echoes: Vec<_> = echoes
        .map(|(connection, schedule)| echo(connection, schedule))
        .collect();
    let handshakes = options.get("handshakes").map_or(Vec::new(), |rate| {
        let schedules = Schedule::of_threads(start, end, rate, HANDSHAKES);
        let spawn = |schedule| handshake(client.clone(), schedule);
        schedules.into_iter().map(spawn).collect()
    });
    thread::sleep(start.saturating_duration_since(Instant::now()));
    let cpu_before = cpu::nanoseconds(&pids);
    let echoes = Delays::of_threads(echoes);
    let handshakes = Delays::of_threads(handshakes);
    let cpu = cpu::nanoseconds(&pids) - cpu_before;
    println!(
        "done={} seconds={:.6} server_cpu_ns={cpu} p50_ms={:.3} p99_ms={:.3} max_ms={:.3} handshakes={} \
         handshake_p99_ms={:.3}",
        echoes.done,
        start.elapsed().as_secs_f64(),
        echoes.quantile(500),
        echoes.quantile(990),
        echoes.quantile(1000),
        handshakes.done,
        handshakes.quantile(990),
    );
}

fn echo(mut connection: Connection, schedule: Schedule) -> JoinHandle<Delays> {
    thread::spawn(move || {
        let (message, mut reply) = ([b'e'; MESSAGE], [0; MESSAGE]);
        schedule.run(|| connection.echo(&message, &mut reply).unwrap())
    })
}

fn handshake(client: Arc<Client>, schedule: Schedule) -> JoinHandle<Delays> {
    thread::spawn(move || schedule.run(|| Connection::open(&client).unwrap().close().unwrap()))
}

/// Checks the schedules and the quantiles.
pub(crate) fn self_check() {
    let start = Instant::now();
    let end = start + Duration::from_secs(1);
    let schedules = Schedule::of_threads(start, end, 1000.0, 4);
    assert!(schedules[3].first - start == Duration::from_millis(3));
    assert!(schedules[0].period == Duration::from_millis(4));
    let delays = Delays {
        sorted: (1..=200).map(Duration::from_millis).collect(),
        done: 0,
    };
    assert!((delays.quantile(990) - 198.0).abs() < 1e-9);
    assert!(Delays::default().quantile(990) < 1e-9);
}
