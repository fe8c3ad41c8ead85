//! Churn: as many connections as there are descriptors, of which a third reset in the middle of an echo, a third
//! half-close, and a third stall until they are reset. When they have gone, nothing of them may be left.

use crate::clients::{Hog, Leave, Talker};
use crate::crowd::{Buffers, Client, Crowd, Step};
use crate::daemon::{Daemon, Memory};
use crate::echo::{End, Ends};
use crate::pingers::{self, Outcome, Pingers};
use crate::report::{Distribution, Report, mib, ms};
use mio::net::TcpStream;
use std::time::{Duration, Instant};

/// By how much the daemon's memory may grow from the end of one cycle to the end of the next, in bytes.
const MOST_GROWTH: i64 = 1024 * 1024;

/// Descriptors that are left to everything else, in the daemon and here.
const RESERVE: usize = 900;

/// How much later than its stall timeout and a tick the last of the stalled may see its reset.
const SLACK: Duration = Duration::from_secs(1);

/// How the part is run.
struct Plan {
    clients: usize,
    seconds: u64,
    stall_timeout: Duration,
    /// For how long a talker thinks at least before it says something.
    pace: Duration,
}

/// Whoever takes part. The three kinds are equally many at any time.
enum Guest {
    Talker(usize, Talker),
    Hog(Hog),
}

const KINDS: [&str; 3] = ["those who reset", "those who half-close", "those who stall"];

/// What a cycle came to.
#[derive(Default)]
struct Cycle {
    begun: u64,
    /// How many were connected and served at once, at most.
    most: usize,
    ends: [Ends; 3],
    /// From when something was last taken from one who stalls to its reset.
    stalled: Vec<Duration>,
    /// Bytes that came back in order to those who half-close.
    verified: u64,
}

pub(crate) fn run(report: &mut Report) {
    let plan = if report.quick {
        Plan {
            clients: 600,
            seconds: 1,
            stall_timeout: Duration::from_secs(1),
            pace: Duration::from_millis(20),
        }
    } else {
        let allowed = usize::try_from(echoloop::net::raise_descriptor_limit().unwrap());
        Plan {
            clients: (allowed.unwrap().saturating_sub(RESERVE)).min(19_000),
            seconds: 60,
            stall_timeout: Duration::from_secs(5),
            pace: Duration::from_millis(200),
        }
    };
    let what = format!(
        "{} connections that come and go for {} s, twice, and {} that are well-behaved",
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
    let descriptors = daemon.descriptors();
    let start = daemon.memory();
    report.figure("memory at the start: RSS", mib(start.rss));
    report.figure("memory at the start: Pss", mib(start.pss));
    let first = cycle(&plan, &daemon, descriptors, 1, report);
    let second = cycle(&plan, &daemon, descriptors, 2, report);
    growth(report, first, second);
    end(&mut daemon, report);
}

/// One cycle, and the daemon's memory when everybody has gone.
fn cycle(
    plan: &Plan,
    daemon: &Daemon,
    descriptors: usize,
    number: u64,
    report: &mut Report,
) -> Memory {
    let pingers = Pingers::start(daemon.address, Duration::from_millis(20));
    let effort = daemon.effort();
    let cycle = churn(plan, daemon, number);
    let (before, effort) = (effort, daemon.effort());
    let pinged = pingers.stop();
    let left = daemon.descriptors_fallen_to(descriptors);
    let memory = daemon.memory();

    let name = |what: &str| format!("cycle {number}: {what}");
    report.figure(&name("connections begun"), cycle.begun);
    report.figure(&name("most connected and served at once"), cycle.most);
    report.figure(
        &name("daemon's CPU"),
        format!("{:.0} %", effort.ran_since(&before)),
    );
    report.figure(
        &name("daemon waited for a processor"),
        format!("{:.0} %", effort.waited_since(&before)),
    );
    for (kind, ends) in KINDS.iter().zip(&cycle.ends) {
        let counted = ends.of(End::AsMeant) > 0 && ends.errors() == 0;
        report.bar(&name(kind), ends.summary(), "all as meant", counted);
    }
    report.figure(
        &name("verified for those who half-close"),
        mib(bytes(cycle.verified)),
    );
    let stalled = Distribution::new(cycle.stalled);
    let latest = plan.stall_timeout + echoloop::reactor::TICK + SLACK;
    report.time_bar(
        &name("latest reset of one who stalls"),
        ms(stalled.most()),
        &format!("at most {}", ms(latest)),
        stalled.most() <= latest,
    );
    well_behaved(&name("well-behaved"), &pinged, report);
    report.bar(
        &name("descriptors left open"),
        left.saturating_sub(descriptors),
        "none",
        left <= descriptors,
    );
    report.figure(&name("memory after it: RSS"), mib(memory.rss));
    report.figure(&name("memory after it: Pss"), mib(memory.pss));
    memory
}

fn well_behaved(name: &str, pinged: &Outcome, report: &mut Report) {
    let times = pinged.all();
    report.figure(&format!("{name}: p50"), ms(times.p50()));
    report.figure(&format!("{name}: p99"), ms(times.p99()));
    report.figure(&format!("{name}: worst"), ms(times.most()));
    let served = ms(pinged.all_served_in().p99());
    report.figure(&format!("{name}: p99 from sending"), served);
    let errors = format!("{} of {}", pinged.errors(), times.len());
    let right = pinged.errors() == 0 && times.len() > 0;
    report.bar(&format!("{name}: errors"), errors, "none", right);
}

/// Keeps the crowd full for as long as planned, and then lets everybody come to their end.
fn churn(plan: &Plan, daemon: &Daemon, number: u64) -> Cycle {
    let mut crowd = Crowd::<Guest>::new(daemon.address, 1);
    let mut cycle = Cycle::default();
    let mut living = [0_usize; 3];
    let last_birth = Instant::now() + Duration::from_secs(plan.seconds);
    let patience = Duration::from_secs(plan.seconds) + 2 * plan.stall_timeout;
    crowd.run_until(patience + Duration::from_secs(30), |crowd| {
        for (guest, end) in crowd.take_ended() {
            living[guest.kind()] -= 1;
            cycle.note(&guest, end);
        }
        cycle.most = cycle.most.max(crowd.served());
        if Instant::now() >= last_birth {
            return crowd.is_empty();
        }
        while crowd.len() < plan.clients && crowd.may_connect() {
            let fewest = (0..3).min_by_key(|kind| living[*kind]).unwrap();
            living[fewest] += 1;
            cycle.begun += 1;
            crowd.connect(Guest::new(fewest, number << 32 | cycle.begun, plan));
        }
        false
    });
    for guest in crowd.clients() {
        cycle.ends[guest.kind()].count(End::Silent);
    }
    cycle
}

fn growth(report: &mut Report, first: Memory, second: Memory) {
    for (name, growth) in [
        ("second cycle adds: RSS", second.rss - first.rss),
        ("second cycle adds: Pss", second.pss - first.pss),
    ] {
        let bar = format!("under {}", mib(MOST_GROWTH));
        report.bar(name, mib(growth), &bar, growth < MOST_GROWTH);
    }
}

fn end(daemon: &mut Daemon, report: &mut Report) {
    let alive = daemon.is_alive();
    let peak = daemon.peak_rss();
    report.bar("the daemon is alive", alive, "true", alive);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
    let panics = daemon.says("panicked");
    report.bar("panics in its log", panics, "none", panics == 0);
    report.figure("most memory ever: RSS", mib(peak));
    println!("  its last words: {}", daemon.last_words());
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap()
}

impl Cycle {
    fn note(&mut self, guest: &Guest, end: End) {
        self.ends[guest.kind()].count(end);
        match guest {
            Guest::Talker(1, talker) => self.verified += talker.received(),
            Guest::Talker(..) => {}
            Guest::Hog(hog) => {
                let waited = hog.reset_at.map(|reset_at| reset_at - hog.moved_at);
                self.stalled.extend(waited);
            }
        }
    }
}

impl Guest {
    fn new(kind: usize, seed: u64, plan: &Plan) -> Guest {
        match kind {
            0 => Guest::Talker(0, Talker::new(Leave::Reset, seed, plan.pace)),
            1 => Guest::Talker(1, Talker::new(Leave::HalfClose, seed, plan.pace)),
            _ => Guest::Hog(Hog::new(
                seed,
                2 * plan.stall_timeout + Duration::from_secs(10),
            )),
        }
    }

    /// The index of its kind in [`KINDS`].
    fn kind(&self) -> usize {
        match self {
            Guest::Talker(kind, _) => *kind,
            Guest::Hog(_) => 2,
        }
    }
}

impl Client for Guest {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        match self {
            Guest::Talker(_, talker) => talker.drive(stream),
            Guest::Hog(hog) => hog.drive(stream),
        }
    }

    fn is_served(&self) -> bool {
        match self {
            Guest::Talker(_, talker) => talker.is_served(),
            Guest::Hog(hog) => hog.is_served(),
        }
    }

    fn buffers(&self) -> Option<Buffers> {
        match self {
            Guest::Talker(_, talker) => talker.buffers(),
            Guest::Hog(hog) => hog.buffers(),
        }
    }
}
