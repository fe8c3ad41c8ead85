//! Exhausted: the daemon has no descriptor left, and many want in. Who is in is served as before, it costs next to
//! nothing, and as soon as somebody leaves, somebody who waits is served.

use crate::crowd::{Client, Crowd, Step, reset_on_close, step};
use crate::daemon::Daemon;
use crate::echo::{Echo, End, Ends, Heard};
use crate::pingers::{self, Pingers};
use crate::report::{Report, ms};
use mio::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The descriptors that the daemon may have.
const ALLOWED: u32 = 200;

/// Far more than there are descriptors for.
const MAX_CONNECTIONS: &str = "10000";

/// How many come to stay. With the well-behaved they are more than are let in.
const VISITORS: usize = 210;

/// How many leave at a time.
const LEAVING: usize = 10;

/// How many come last, behind all those who knocked and went away again.
const LATE: usize = 10;

/// How soon after somebody left somebody who waits is to be served.
const SOON: Duration = Duration::from_secs(1);

/// The most of a processor that the daemon may use meanwhile, in per cent.
const MOST_BUSY: f64 = 5.0;

/// By how much the 99th percentile of the response times of those who are in may rise.
const MOST_RATIO: f64 = 2.0;

/// How often each of the well-behaved sends: seldom, so that what the daemon uses is not used for them.
const INTERVAL: Duration = Duration::from_millis(250);

/// How often somebody knocks, and how long they wait before they go away.
const KNOCKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

pub(crate) fn run(report: &mut Report) {
    let seconds = if report.quick { (1, 3) } else { (20, 60) };
    let what = format!(
        "{ALLOWED} descriptors, {} in and more who want in, for {} s",
        pingers::COUNT,
        seconds.1
    );
    report.part("exhausted", &what);
    let mut daemon = Daemon::start(&["--max-connections", MAX_CONNECTIONS], Some(ALLOWED));
    let pingers = Pingers::start(daemon.address, INTERVAL);
    std::thread::sleep(2 * INTERVAL);
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds.0));
    let before = begin..Instant::now();

    let mut crowd = Crowd::<Visitor>::new(daemon.address, 3);
    fill(&mut crowd);
    report.figure("descriptors open", daemon.descriptors());
    report.figure("let in, besides the well-behaved", crowd.served());
    let waiting = crowd.len() - crowd.served();
    let enough = waiting >= 5 * LEAVING;
    report.bar("not let in", waiting, "at least 50", enough);
    let during = endure(&mut crowd, Duration::from_secs(seconds.1), &daemon, report);
    if enough {
        give_way(&mut crowd, report);
    }
    let pinged = pingers.stop();

    let (before, during) = (pinged.due_in(&before), pinged.due_in(&during));
    report.figure("served all along: p50 before", ms(before.p50()));
    report.figure("served all along: p50 during", ms(during.p50()));
    report.figure("served all along: p99 before", ms(before.p99()));
    let ratio = during.p99().as_secs_f64() / before.p99().as_secs_f64();
    report.time_bar(
        "served all along: p99 during",
        ms(during.p99()),
        &format!("at most {MOST_RATIO} times that before"),
        ratio <= MOST_RATIO,
    );
    let errors = format!("{} of {}", pinged.errors(), pinged.all().len());
    let right = pinged.errors() == 0 && during.len() > 0;
    report.bar("served all along: errors", errors, "none", right);
    let mut ends = Ends::default();
    for (_, end) in crowd.take_ended() {
        ends.count(end);
    }
    report.bar(
        "visitors' ends",
        ends.summary(),
        "as meant",
        ends.errors() == 0,
    );
    drop(crowd);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
}

/// Everybody comes who comes to stay; then waits until no more are let in.
fn fill(crowd: &mut Crowd<Visitor>) {
    for number in 0..VISITORS {
        crowd.connect(Visitor::new(number as u64, None));
    }
    let (mut served, mut since) = (0, Instant::now());
    crowd.run_until(Duration::from_secs(10), |crowd| {
        if crowd.served() != served {
            (served, since) = (crowd.served(), Instant::now());
        }
        served > 0 && since.elapsed() > Duration::from_millis(300)
    });
}

/// Nobody leaves, and more knock, and go away again.
fn endure(
    crowd: &mut Crowd<Visitor>,
    time: Duration,
    daemon: &Daemon,
    report: &mut Report,
) -> Range<Instant> {
    let (begin, effort) = (Instant::now(), daemon.effort());
    let mut next_knock = begin;
    let mut knocks = 0;
    crowd.run_until(time, |crowd| {
        let now = Instant::now();
        if now >= next_knock {
            next_knock += KNOCKS.0;
            knocks += 1;
            crowd.connect(Visitor::new(knocks, Some(now + KNOCKS.1)));
        }
        false
    });
    let busy = daemon.effort().ran_since(&effort);
    report.figure("knocked and went away", knocks);
    let bar = format!("at most {MOST_BUSY} %");
    report.time_bar(
        "daemon's CPU",
        format!("{busy:.2} %"),
        &bar,
        busy <= MOST_BUSY,
    );
    let said = daemon.says("accepting pauses");
    let most = usize::try_from(time.as_secs() / 5).unwrap() + 2;
    let bar = format!("1 to {most}");
    let brief = (1..=most).contains(&said);
    report.bar("lines about it in the log", said, &bar, brief);
    begin..Instant::now()
}

/// Some leave, so that those who wait are let in: first those who waited from the beginning, then those who came last.
fn give_way(crowd: &mut Crowd<Visitor>, report: &mut Report) {
    let bar = format!("at most {}", ms(SOON));
    for (round, how) in ["FIN", "reset", "FIN", "reset"].into_iter().enumerate() {
        let took = replace(crowd, LEAVING, round % 2 == 1);
        let name = format!("{LEAVING} leave with {how}: as many served after");
        report.time_bar(&name, ms(took), &bar, took <= SOON);
    }
    // A knocker who is let in would stay for a while, and it is not known how many are.
    let patience = 2 * KNOCKS.1;
    crowd.run_until(patience, |crowd| {
        crowd.clients().all(|it| it.leave_at.is_none())
    });
    for number in 0..LATE {
        crowd.connect(Visitor::new(number as u64, None));
    }
    let in_line = crowd.clients().filter(|visitor| visitor.waits()).count();
    let took = replace(crowd, in_line, false);
    let name = format!("{in_line} leave: the last who wait served after");
    report.time_bar(&name, ms(took), &bar, took <= SOON);
}

/// Some who are served leave; how long it takes until as many of those who waited are served.
fn replace(crowd: &mut Crowd<Visitor>, leaving: usize, reset: bool) -> Duration {
    let staying = |visitor: &Visitor| visitor.leave_at.is_none();
    let waiting = |crowd: &Crowd<Visitor>| crowd.clients().filter(|it| it.waits()).count();
    let goal = waiting(crowd).saturating_sub(leaving);
    let begin = Instant::now();
    let left = crowd.dismiss(leaving, reset, |it| it.is_served() && staying(it));
    assert_eq!(left, leaving, "so many are served");
    crowd.run_until(10 * SOON, |crowd| waiting(crowd) <= goal);
    begin.elapsed()
}

/// A client that says something at once, and has it echoed when it is let in.
struct Visitor {
    echo: Echo,
    /// When it goes away, if it does not come to stay.
    leave_at: Option<Instant>,
    /// Whether it goes away with a reset.
    resets: bool,
}

/// What a visitor says.
const GREETING: u64 = 32;

impl Visitor {
    fn new(seed: u64, leave_at: Option<Instant>) -> Visitor {
        Visitor {
            echo: Echo::new(seed),
            leave_at,
            resets: seed % 2 == 1,
        }
    }

    /// Whether it came to stay and is not served yet.
    fn waits(&self) -> bool {
        self.leave_at.is_none() && !self.is_served()
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        self.echo.send_until(stream, GREETING)?;
        if self.echo.receive(stream)? == Heard::Fin {
            return Err(End::EarlyFin);
        }
        match self.leave_at {
            Some(leave_at) if Instant::now() >= leave_at => {
                if self.resets {
                    reset_on_close(stream);
                }
                Ok(Step::End(End::AsMeant))
            }
            Some(leave_at) => Ok(Step::Until(leave_at)),
            None => Ok(Step::Event),
        }
    }
}

impl Client for Visitor {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received == GREETING
    }
}
