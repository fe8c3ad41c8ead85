//! The well-behaved: clients on a thread of their own that send 128 bytes on schedule and want them back, whatever
//! else happens.

use crate::crowd::{Client, Crowd, Step, step};
use crate::echo::{Echo, End, Ends, Heard};
use crate::report::Distribution;
use mio::net::TcpStream;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many there are.
pub(crate) const COUNT: u32 = 50;

/// The size of a message.
const SIZE: u64 = 128;

/// Their crowd's number, which no other crowd has.
const CROWD: u8 = 9;

/// The handle on the running clients.
pub(crate) struct Pingers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

/// What they saw.
pub(crate) struct Outcome {
    echoes: Vec<Echoed>,
    /// How their connections ended.
    pub(crate) ends: Ends,
    /// Messages sent and not answered, even after everybody had gone.
    pub(crate) unanswered: usize,
}

/// One message and its echo.
#[derive(Clone, Copy)]
struct Echoed {
    /// When the message was due; or when it was sent, if it was only this thread that was late.
    since: Instant,
    /// From then until its echo was back.
    took: Duration,
    /// From when it was sent until its echo was back. Less where its sender still waited for the last echo when it
    /// fell due.
    served_in: Duration,
}

impl Pingers {
    /// Connects them; from now on each sends a message every `interval`, unless it still waits for the last echo.
    pub(crate) fn start(daemon: SocketAddr, interval: Duration) -> Pingers {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || ping(daemon, interval, &stopped));
        Pingers { stop, thread }
    }

    /// Stops them in good order: who waits for an echo waits on, for a while.
    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Outcome {
    /// The response times of all messages.
    pub(crate) fn all(&self) -> Distribution {
        Distribution::new(self.echoes.iter().map(|echo| echo.took).collect())
    }

    /// The service times of all messages.
    pub(crate) fn all_served_in(&self) -> Distribution {
        Distribution::new(self.echoes.iter().map(|echo| echo.served_in).collect())
    }

    /// The response times of the messages that were due in a span of time.
    pub(crate) fn due_in(&self, span: &Range<Instant>) -> Distribution {
        let due = self.echoes.iter().filter(|echo| span.contains(&echo.since));
        Distribution::new(due.map(|echo| echo.took).collect())
    }

    /// The service times of the messages that were due in a span of time.
    pub(crate) fn served_in(&self, span: &Range<Instant>) -> Distribution {
        let due = self.echoes.iter().filter(|echo| span.contains(&echo.since));
        Distribution::new(due.map(|echo| echo.served_in).collect())
    }

    /// How many echoes came back in a span of time.
    pub(crate) fn answered_in(&self, span: &Range<Instant>) -> usize {
        let answered = self.echoes.iter().map(|echo| echo.since + echo.took);
        answered.filter(|at| span.contains(at)).count()
    }

    /// For how long not one echo came back, at worst.
    pub(crate) fn longest_silence(&self) -> Duration {
        let answered = self.echoes.iter().map(|echo| echo.since + echo.took);
        let mut answered: Vec<Instant> = answered.collect();
        answered.sort_unstable();
        let gaps = answered.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// Connections that ended badly, and messages without an echo.
    pub(crate) fn errors(&self) -> u64 {
        self.ends.errors() + self.unanswered as u64
    }
}

fn ping(daemon: SocketAddr, interval: Duration, stop: &AtomicBool) -> Outcome {
    let record = Rc::new(RefCell::new(Record::default()));
    let mut crowd = Crowd::new(daemon, CROWD);
    let begin = Instant::now();
    for number in 0..COUNT {
        crowd.connect(Pinger {
            echo: Echo::new(u64::from(number) * 1000),
            interval,
            due: begin + interval * number / COUNT,
            free_since: begin,
            goal: 0,
            waits_since: None,
            record: Rc::clone(&record),
        });
    }
    while !stop.load(Ordering::Relaxed) {
        crowd.turn(Instant::now() + Duration::from_millis(20));
    }
    record.borrow_mut().stopping = true;
    crowd.run_until(Duration::from_secs(10), |crowd| crowd.is_empty());
    let mut ends = Ends::default();
    for (_, end) in crowd.take_ended() {
        ends.count(end);
    }
    let echoes = std::mem::take(&mut record.borrow_mut().echoes);
    Outcome {
        echoes,
        ends,
        unanswered: crowd.len(),
    }
}

/// What all of them write in, and read.
#[derive(Default)]
struct Record {
    echoes: Vec<Echoed>,
    stopping: bool,
}

struct Pinger {
    echo: Echo,
    interval: Duration,
    /// When the next message is due.
    due: Instant,
    /// Since when no echo is waited for.
    free_since: Instant,
    /// How many bytes there are to send and to get back, all messages together.
    goal: u64,
    /// When the message whose echo is waited for was due, and when it was sent.
    waits_since: Option<(Instant, Instant)>,
    record: Rc<RefCell<Record>>,
}

impl Pinger {
    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        loop {
            if let Some((since, sent)) = self.waits_since {
                self.echo.send_until(stream, self.goal)?;
                if self.echo.receive(stream)? == Heard::Fin {
                    return Err(End::EarlyFin);
                }
                if self.echo.received < self.goal {
                    return Ok(Step::Event);
                }
                self.answered(since, sent);
            }
            if self.record.borrow().stopping {
                return Ok(Step::End(End::AsMeant));
            }
            let now = Instant::now();
            if now < self.due {
                return Ok(Step::Until(self.due));
            }
            self.begin(now);
        }
    }

    /// A message is due: its echo is waited for from now on.
    fn begin(&mut self, now: Instant) {
        // Who was free when it fell due was only woken late, and that is not the daemon's doing.
        let since = if self.free_since <= self.due {
            now
        } else {
            self.due
        };
        self.goal += SIZE;
        self.due += self.interval;
        self.waits_since = Some((since, now));
    }

    fn answered(&mut self, since: Instant, sent: Instant) {
        let now = Instant::now();
        self.waits_since = None;
        self.free_since = now;
        self.record.borrow_mut().echoes.push(Echoed {
            since,
            took: now - since,
            served_in: now - sent,
        });
    }
}

impl Client for Pinger {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received > 0
    }
}
