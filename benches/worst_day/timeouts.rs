//! Timeouts: very many idle connections fall due together. None is closed early, none late, and while they are closed
//! the others are served.

use crate::crowd::{Client, Crowd, Step, step};
use crate::daemon::Daemon;
use crate::echo::{Echo, End, Ends, Heard};
use crate::pingers::{self, Pingers};
use crate::report::{Distribution, Report, ms};
use mio::net::TcpStream;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much later than its timeout and a tick the last may see its FIN: to close very many takes its time.
const SLACK: Duration = Duration::from_millis(250);

/// How often each of the well-behaved sends.
const INTERVAL: Duration = Duration::from_millis(5);

/// How often the idle show that they are there, until all are.
const SIGN_OF_LIFE: Duration = Duration::from_millis(300);

/// When all who idle say their last word; none until all are there.
type LastWord = Rc<Cell<Option<Instant>>>;

pub(crate) fn run(report: &mut Report) {
    let (count, timeout) = if report.quick {
        (1000, Duration::from_secs(1))
    } else {
        (15_000, Duration::from_secs(3))
    };
    let what = format!(
        "{count} connections idle out together, --idle-timeout {timeout:?}, {} others echo",
        pingers::COUNT
    );
    report.part("timeouts", &what);
    let flag = format!("{}ms", timeout.as_millis());
    let mut daemon = Daemon::start(&["--idle-timeout", &flag], None);
    let descriptors = daemon.descriptors();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    let mut crowd = Crowd::<Idler>::new(daemon.address, 4);
    let last_word = gather(&mut crowd, count, report);
    let begin = Instant::now();
    crowd.run_until(3 * timeout + Duration::from_secs(5), |crowd| {
        crowd.is_empty()
    });
    let ended = crowd.take_ended();
    let never: Vec<_> = crowd.clients().map(|_| End::Silent).collect();
    drop(crowd);
    let pinged = pingers.stop();

    let mut ends = Ends::default();
    let all = ended.iter().map(|(_, end)| *end).chain(never);
    all.for_each(|end| ends.count(end));
    report.bar(
        "ends of the idle",
        ends.summary(),
        "as meant",
        ends.errors() == 0,
    );
    let idlers: Vec<Idler> = ended.into_iter().map(|(idler, _)| idler).collect();
    let closing = lateness(&idlers, timeout, report);
    let before = last_word..closing.start.max(begin);
    for (name, span) in [("before", &before), ("during", &closing)] {
        let times = pinged.due_in(span);
        report.figure(&format!("others' p50 {name}"), ms(times.p50()));
        report.figure(&format!("others' p99 {name}"), ms(times.p99()));
        report.figure(&format!("others' worst {name}"), ms(times.most()));
        let served = pinged.served_in(span);
        report.figure(
            &format!("others' p99 {name}, from sending"),
            ms(served.p99()),
        );
    }
    let errors = format!("{} of {}", pinged.errors(), pinged.all().len());
    report.bar("others' errors", errors, "none", pinged.errors() == 0);
    let left = daemon.descriptors_fallen_to(descriptors);
    let left = left.saturating_sub(descriptors);
    report.bar("descriptors left open", left, "none", left == 0);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
}

/// Connects everybody and has them all say their last word together; tells when, for now, nothing else happens.
fn gather(crowd: &mut Crowd<Idler>, count: usize, report: &mut Report) -> Instant {
    let last_word: LastWord = Rc::default();
    let mut connected = 0;
    let begin = Instant::now();
    crowd.run_until(Duration::from_secs(60), |crowd| {
        while connected < count && crowd.may_connect() {
            crowd.connect(Idler::new(connected as u64, &last_word));
            connected += 1;
        }
        crowd.served() == count
    });
    report.figure("all connected after", ms(begin.elapsed()));
    last_word.set(Some(Instant::now() + 2 * SIGN_OF_LIFE));
    crowd.run_until(Duration::from_secs(10), |crowd| {
        crowd.clients().all(Idler::is_done)
    });
    Instant::now()
}

/// How late they were closed; gives back from when to when that went on.
fn lateness(idlers: &[Idler], timeout: Duration, report: &mut Report) -> Range<Instant> {
    // The daemon heard the last word after it was sent and before its echo was back. So its clock started between the
    // two, and each is the right one for one of the questions.
    let sent = idlers
        .iter()
        .filter_map(|idler| Some(idler.closed_at? - idler.sent_at?));
    let since_sent = Distribution::new(sent.collect());
    let back = idlers
        .iter()
        .filter_map(|idler| Some(idler.closed_at? - idler.back_at?));
    let since_back = Distribution::new(back.collect());
    let words = idlers.iter().filter_map(|idler| idler.sent_at);
    let (first, last) = (words.clone().min(), words.max());
    let spread = last
        .zip(first)
        .map_or(Duration::ZERO, |(last, first)| last - first);
    report.figure("last words sent within", ms(spread));
    report.bar(
        "earliest close after the last word was sent",
        ms(since_sent.least()),
        &format!("not before {}", ms(timeout)),
        since_sent.least() >= timeout,
    );
    let late = |time: Duration| ms(time.saturating_sub(timeout));
    report.figure("lateness: p50", late(since_back.p50()));
    report.figure("lateness: p90", late(since_back.quantile(900)));
    report.figure("lateness: p99", late(since_back.p99()));
    let most = echoloop::reactor::TICK + SLACK;
    report.time_bar(
        "lateness: worst",
        late(since_back.most()),
        &format!("at most {}", ms(most)),
        since_back.most() <= timeout + most,
    );
    let closed = idlers.iter().filter_map(|idler| idler.closed_at);
    let now = Instant::now();
    let (first, last) = (closed.clone().min(), closed.max());
    let closing = first.unwrap_or(now)..last.unwrap_or(now);
    report.figure("all closed within", ms(closing.end - closing.start));
    closing
}

/// A client that shows now and then that it is there, until the last word; then it waits for the daemon's FIN.
struct Idler {
    echo: Echo,
    goal: u64,
    next_sign: Instant,
    last_word: LastWord,
    /// Whether what it has said is its last word.
    last: bool,
    sent_at: Option<Instant>,
    back_at: Option<Instant>,
    closed_at: Option<Instant>,
}

impl Idler {
    fn new(seed: u64, last_word: &LastWord) -> Idler {
        Idler {
            echo: Echo::new(seed),
            goal: 8,
            next_sign: Instant::now() + SIGN_OF_LIFE,
            last_word: Rc::clone(last_word),
            last: false,
            sent_at: None,
            back_at: None,
            closed_at: None,
        }
    }

    /// Whether its last word has come back.
    fn is_done(&self) -> bool {
        self.back_at.is_some()
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        let heard = self.echo.receive(stream)?;
        let now = Instant::now();
        if heard == Heard::Fin {
            self.closed_at = Some(now);
            return if self.is_done() {
                Ok(Step::End(End::AsMeant))
            } else {
                Err(End::EarlyFin)
            };
        }
        if self.last && self.echo.received == self.goal && self.back_at.is_none() {
            self.back_at = Some(now);
        }
        if now >= self.next_sign && !self.last {
            match self.last_word.get() {
                // All wait for the same moment.
                Some(at) if now < at => self.next_sign = at,
                at => {
                    self.last = at.is_some();
                    self.sent_at = Some(now);
                    self.goal += 8;
                    self.next_sign = now + SIGN_OF_LIFE;
                }
            }
        }
        self.echo.send_until(stream, self.goal)?;
        Ok(if self.last {
            Step::Event
        } else {
            Step::Until(self.next_sign)
        })
    }
}

impl Client for Idler {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received > 0
    }
}
