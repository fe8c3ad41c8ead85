//! Churn: as many connections as file descriptors allow, of which a third reset in the middle of an echo, a third
//! half-close, and a third stall until the daemon resets them. After the last has closed, nothing may remain.

use crate::client_loop::{Buffers, Client, ClientLoop, Step};
use crate::clients::{CloseBy, EchoClient, NonReader};
use crate::daemon::{Daemon, Memory};
use crate::echo::{End, Ends};
use crate::pingers::{self, Outcome, Pingers};
use crate::report::{Distribution, Report, mib, ms};
use mio::net::TcpStream;
use std::time::{Duration, Instant};

/// The largest growth of the daemon's memory from the end of one cycle to the end of the next, in bytes.
const MAX_GROWTH: i64 = 1024 * 1024;

/// File descriptors reserved for other uses, in the daemon and in this process.
const RESERVE: usize = 900;

/// How much later than the stall timeout and a tick a stalled client may receive its reset.
const SLACK: Duration = Duration::from_secs(1);

/// The size of the load.
struct Plan {
    clients: usize,
    seconds: u64,
    stall_timeout: Duration,
    /// The shortest pause between the messages of an echo client.
    min_pause: Duration,
}

/// A client of one of three kinds, which are equally many at any time.
enum ChurnClient {
    EchoClient(usize, EchoClient),
    NonReader(NonReader),
}

const KINDS: [&str; 3] = ["resetting", "half-closing", "stalled"];

/// The results of a cycle.
#[derive(Default)]
struct Cycle {
    opened: u64,
    /// The most clients connected and served at the same time.
    most: usize,
    ends: [Ends; 3],
    /// The times from the last progress of a stalled client to its reset.
    stalled: Vec<Duration>,
    /// Bytes echoed in order to half-closing clients.
    verified: u64,
}

pub(crate) fn run(report: &mut Report) {
    let plan = if report.quick {
        Plan {
            clients: 600,
            seconds: 1,
            stall_timeout: Duration::from_secs(1),
            min_pause: Duration::from_millis(20),
        }
    } else {
        let allowed = usize::try_from(echoloop::doctor::raise_fd_limit().unwrap());
        Plan {
            clients: (allowed.unwrap().saturating_sub(RESERVE)).min(19_000),
            seconds: 60,
            stall_timeout: Duration::from_secs(5),
            min_pause: Duration::from_millis(200),
        }
    };
    let what = format!(
        "{} connections that are opened and closed for {} s, twice, and {} regular clients",
        plan.clients,
        plan.seconds,
        pingers::COUNT
    );
    report.part("churn", &what);
    let stall = format!("{}ms", plan.stall_timeout.as_millis());
    let mut daemon = Daemon::start(
        &["--stall-timeout", &stall, "--socket-buffer", "4KiB"],
        None,
    );
    let fds_at_start = daemon.open_fds();
    let start = daemon.memory();
    report.figure("memory at the start: RSS", mib(start.rss));
    report.figure("memory at the start: PSS", mib(start.pss));
    let first = cycle(&plan, &daemon, fds_at_start, 1, report);
    let second = cycle(&plan, &daemon, fds_at_start, 2, report);
    growth(report, first, second);
    end(&mut daemon, report);
}

/// Runs one cycle; the daemon's memory after all clients have closed.
fn cycle(
    plan: &Plan,
    daemon: &Daemon,
    fds_at_start: usize,
    number: u64,
    report: &mut Report,
) -> Memory {
    let pingers = Pingers::start(daemon.address, Duration::from_millis(20));
    let before = daemon.cpu_usage();
    let cycle = churn(plan, daemon, number);
    let cpu_usage = daemon.cpu_usage();
    let pinged = pingers.stop();
    let left = daemon.wait_for_open_fds(fds_at_start);
    let memory = daemon.memory();

    let name = |what: &str| format!("cycle {number}: {what}");
    report.figure(&name("connections opened"), cycle.opened);
    report.figure(&name("most served at once"), cycle.most);
    report.figure(
        &name("daemon's CPU"),
        format!("{:.0} %", cpu_usage.ran_since(&before)),
    );
    report.figure(
        &name("daemon waited for a CPU"),
        format!("{:.0} %", cpu_usage.waited_since(&before)),
    );
    for (kind, ends) in KINDS.iter().zip(&cycle.ends) {
        let counted = ends.of(End::Expected) > 0 && ends.errors() == 0;
        report.bar(&name(kind), ends.summary(), "all as expected", counted);
    }
    report.figure(
        &name("verified for half-closing clients"),
        mib(bytes(cycle.verified)),
    );
    let stalled = Distribution::new(cycle.stalled);
    let latest = plan.stall_timeout + echoloop::reactor::TICK + SLACK;
    report.time_bar(
        &name("latest reset of a stalled client"),
        ms(stalled.most()),
        &format!("at most {}", ms(latest)),
        stalled.most() <= latest,
    );
    report_regular_clients(&name("regular clients"), &pinged, report);
    report.bar(
        &name("file descriptors left open"),
        left.saturating_sub(fds_at_start),
        "none",
        left <= fds_at_start,
    );
    report.figure(&name("memory after it: RSS"), mib(memory.rss));
    report.figure(&name("memory after it: PSS"), mib(memory.pss));
    memory
}

fn report_regular_clients(name: &str, pinged: &Outcome, report: &mut Report) {
    let times = pinged.response_times();
    report.figure(&format!("{name}: p50"), ms(times.p50()));
    report.figure(&format!("{name}: p99"), ms(times.p99()));
    report.figure(&format!("{name}: worst"), ms(times.most()));
    let served = ms(pinged.service_times().p99());
    report.figure(&format!("{name}: p99 service time"), served);
    let errors = format!("{} of {}", pinged.errors(), times.len());
    let right = pinged.errors() == 0 && times.len() > 0;
    report.bar(&format!("{name}: errors"), errors, "none", right);
}

/// Keeps the number of clients constant for the planned time, and then waits until all have closed.
fn churn(plan: &Plan, daemon: &Daemon, number: u64) -> Cycle {
    let mut clients = ClientLoop::<ChurnClient>::new(daemon.address, 1);
    let mut cycle = Cycle::default();
    let mut live = [0_usize; 3];
    let last_connect = Instant::now() + Duration::from_secs(plan.seconds);
    let timeout = Duration::from_secs(plan.seconds) + 2 * plan.stall_timeout;
    clients.run_until(timeout + Duration::from_secs(30), |clients| {
        for (client, end) in clients.take_closed() {
            live[client.kind()] -= 1;
            cycle.add(&client, end);
        }
        cycle.most = cycle.most.max(clients.served());
        if Instant::now() >= last_connect {
            return clients.is_empty();
        }
        while clients.len() < plan.clients && clients.may_connect() {
            let fewest = (0..3).min_by_key(|kind| live[*kind]).unwrap();
            live[fewest] += 1;
            cycle.opened += 1;
            clients.connect(ChurnClient::new(fewest, number << 32 | cycle.opened, plan));
        }
        false
    });
    for client in clients.iter() {
        cycle.ends[client.kind()].count(End::TimedOut);
    }
    cycle
}

fn growth(report: &mut Report, first: Memory, second: Memory) {
    for (name, growth) in [
        ("second cycle adds: RSS", second.rss - first.rss),
        ("second cycle adds: PSS", second.pss - first.pss),
    ] {
        let bar = format!("under {}", mib(MAX_GROWTH));
        report.bar(name, mib(growth), &bar, growth < MAX_GROWTH);
    }
}

fn end(daemon: &mut Daemon, report: &mut Report) {
    let alive = daemon.is_alive();
    let peak = daemon.peak_rss();
    report.bar("the daemon is alive", alive, "true", alive);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
    let panics = daemon.count_log_lines("panicked");
    report.bar("panics in the log", panics, "none", panics == 0);
    report.figure("peak memory: RSS", mib(peak));
    println!("  last log line: {}", daemon.last_log_line());
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap()
}

impl Cycle {
    fn add(&mut self, client: &ChurnClient, end: End) {
        self.ends[client.kind()].count(end);
        match client {
            ChurnClient::EchoClient(1, client) => self.verified += client.received(),
            ChurnClient::EchoClient(..) => {}
            ChurnClient::NonReader(client) => {
                let stalled = client
                    .reset_at
                    .map(|reset_at| reset_at - client.last_progress_at);
                self.stalled.extend(stalled);
            }
        }
    }
}

impl ChurnClient {
    fn new(kind: usize, seed: u64, plan: &Plan) -> ChurnClient {
        match kind {
            0 => ChurnClient::EchoClient(0, EchoClient::new(CloseBy::Reset, seed, plan.min_pause)),
            1 => ChurnClient::EchoClient(
                1,
                EchoClient::new(CloseBy::HalfClose, seed, plan.min_pause),
            ),
            _ => ChurnClient::NonReader(NonReader::new(
                seed,
                2 * plan.stall_timeout + Duration::from_secs(10),
            )),
        }
    }

    /// The index of its kind in [`KINDS`].
    fn kind(&self) -> usize {
        match self {
            ChurnClient::EchoClient(kind, _) => *kind,
            ChurnClient::NonReader(_) => 2,
        }
    }
}

impl Client for ChurnClient {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        match self {
            ChurnClient::EchoClient(_, client) => client.drive(stream),
            ChurnClient::NonReader(client) => client.drive(stream),
        }
    }

    fn is_served(&self) -> bool {
        match self {
            ChurnClient::EchoClient(_, client) => client.is_served(),
            ChurnClient::NonReader(client) => client.is_served(),
        }
    }

    fn buffers(&self) -> Option<Buffers> {
        match self {
            ChurnClient::EchoClient(_, client) => client.buffers(),
            ChurnClient::NonReader(client) => client.buffers(),
        }
    }
}
