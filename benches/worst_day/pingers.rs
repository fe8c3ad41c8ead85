//! Regular clients, on a thread of their own: they send 128 bytes on schedule and verify the echo, while other clients
//! misbehave.

use crate::client_loop::{Client, ClientLoop, Step, step};
use crate::echo::{Echo, End, Ends, Input};
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

/// The number of regular clients.
pub(crate) const COUNT: u32 = 50;

/// The size of a message.
const SIZE: u64 = 128;

/// The number of their loop, which determines the source addresses.
const LOOP_NUMBER: u8 = 9;

/// The running clients.
pub(crate) struct Pingers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

/// The results of all clients.
pub(crate) struct Outcome {
    echoes: Vec<EchoTimes>,
    /// How the connections ended.
    pub(crate) ends: Ends,
    /// Messages without an echo at the end.
    pub(crate) unanswered: usize,
}

/// The times of one message and its echo.
#[derive(Clone, Copy)]
struct EchoTimes {
    /// When the message was due; when it was sent, if only this thread caused the delay.
    due_at: Instant,
    /// From then until the echo was complete: the response time.
    response_time: Duration,
    /// From sending until the echo was complete: the service time. Shorter than the response time if the previous echo
    /// was still incomplete when the message fell due.
    service_time: Duration,
}

impl Pingers {
    /// Connects the clients; each sends a message every `interval`, but not before the previous echo is complete.
    pub(crate) fn start(daemon: SocketAddr, interval: Duration) -> Pingers {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || ping(daemon, interval, &stopped));
        Pingers { stop, thread }
    }

    /// Stops the clients after the echoes of their in-flight messages.
    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Outcome {
    /// The response times of all messages.
    pub(crate) fn response_times(&self) -> Distribution {
        Distribution::new(self.echoes.iter().map(|echo| echo.response_time).collect())
    }

    /// The service times of all messages.
    pub(crate) fn service_times(&self) -> Distribution {
        Distribution::new(self.echoes.iter().map(|echo| echo.service_time).collect())
    }

    /// The response times of the messages that fell due in a period.
    pub(crate) fn response_times_in(&self, span: &Range<Instant>) -> Distribution {
        let due = self
            .echoes
            .iter()
            .filter(|echo| span.contains(&echo.due_at));
        Distribution::new(due.map(|echo| echo.response_time).collect())
    }

    /// The service times of the messages that fell due in a period.
    pub(crate) fn service_times_in(&self, span: &Range<Instant>) -> Distribution {
        let due = self
            .echoes
            .iter()
            .filter(|echo| span.contains(&echo.due_at));
        Distribution::new(due.map(|echo| echo.service_time).collect())
    }

    /// The number of echoes completed in a period.
    pub(crate) fn echoes_in(&self, span: &Range<Instant>) -> usize {
        let completed = self
            .echoes
            .iter()
            .map(|echo| echo.due_at + echo.response_time);
        completed.filter(|at| span.contains(at)).count()
    }

    /// The longest time without any echo.
    pub(crate) fn longest_gap(&self) -> Duration {
        let completed = self
            .echoes
            .iter()
            .map(|echo| echo.due_at + echo.response_time);
        let mut completed: Vec<Instant> = completed.collect();
        completed.sort_unstable();
        let gaps = completed.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// Connections that failed, and messages without an echo.
    pub(crate) fn errors(&self) -> u64 {
        self.ends.errors() + self.unanswered as u64
    }
}

fn ping(daemon: SocketAddr, interval: Duration, stop: &AtomicBool) -> Outcome {
    let record = Rc::new(RefCell::new(Record::default()));
    let mut clients = ClientLoop::new(daemon, LOOP_NUMBER);
    let begin = Instant::now();
    for number in 0..COUNT {
        clients.connect(Pinger {
            echo: Echo::new(u64::from(number) * 1000),
            interval,
            due: begin + interval * number / COUNT,
            idle_since: begin,
            goal: 0,
            in_flight: None,
            record: Rc::clone(&record),
        });
    }
    while !stop.load(Ordering::Relaxed) {
        clients.run_iteration(Instant::now() + Duration::from_millis(20));
    }
    record.borrow_mut().stopping = true;
    clients.run_until(Duration::from_secs(10), |clients| clients.is_empty());
    let mut ends = Ends::default();
    for (_, end) in clients.take_closed() {
        ends.count(end);
    }
    let echoes = std::mem::take(&mut record.borrow_mut().echoes);
    Outcome {
        echoes,
        ends,
        unanswered: clients.len(),
    }
}

/// What the clients of one loop share.
#[derive(Default)]
struct Record {
    echoes: Vec<EchoTimes>,
    stopping: bool,
}

struct Pinger {
    echo: Echo,
    interval: Duration,
    /// When the next message is due.
    due: Instant,
    /// Since when no message is in flight.
    idle_since: Instant,
    /// The end of the last message, in bytes from the start of the stream.
    goal: u64,
    /// When the in-flight message was due, and when it was sent.
    in_flight: Option<(Instant, Instant)>,
    record: Rc<RefCell<Record>>,
}

impl Pinger {
    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        loop {
            if let Some((due_at, sent)) = self.in_flight {
                self.echo.send_until(stream, self.goal)?;
                if self.echo.receive(stream)? == Input::Fin {
                    return Err(End::EarlyFin);
                }
                if self.echo.received < self.goal {
                    return Ok(Step::Event);
                }
                self.complete(due_at, sent);
            }
            if self.record.borrow().stopping {
                return Ok(Step::End(End::Expected));
            }
            let now = Instant::now();
            if now < self.due {
                return Ok(Step::Until(self.due));
            }
            self.send_message(now);
        }
    }

    /// Sends the message that is due.
    fn send_message(&mut self, now: Instant) {
        // An idle client that sends late was only woken late by this thread, which is no delay of the daemon.
        let due_at = if self.idle_since <= self.due {
            now
        } else {
            self.due
        };
        self.goal += SIZE;
        self.due += self.interval;
        self.in_flight = Some((due_at, now));
    }

    fn complete(&mut self, due_at: Instant, sent: Instant) {
        let now = Instant::now();
        self.in_flight = None;
        self.idle_since = now;
        self.record.borrow_mut().echoes.push(EchoTimes {
            due_at,
            response_time: now - due_at,
            service_time: now - sent,
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
