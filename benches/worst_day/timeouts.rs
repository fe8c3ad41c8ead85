//! Timeouts: many idle connections time out together. None may be closed early or late, and regular clients are served
//! meanwhile.

use crate::client_loop::{Client, ClientLoop, Step, step};
use crate::daemon::Daemon;
use crate::echo::{Echo, End, Ends, Input};
use crate::pingers::{self, Pingers};
use crate::report::{Distribution, Report, ms};
use mio::net::TcpStream;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much later than its timeout and a tick the last connection may be closed: closing many takes time.
const SLACK: Duration = Duration::from_millis(250);

/// The interval of the regular clients.
const INTERVAL: Duration = Duration::from_millis(5);

/// The interval of messages that keep idle clients connected until all are.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(300);

/// When all idle clients send their last message; `None` until all are connected.
type LastMessage = Rc<Cell<Option<Instant>>>;

pub(crate) fn run(report: &mut Report) {
    let timeout = Duration::from_secs(3);
    let count = if report.quick { 1000 } else { 15_000 };
    let what = format!(
        "{count} connections time out together, --idle-timeout {timeout:?}, {} regular clients",
        pingers::COUNT
    );
    report.part("timeouts", &what);
    let flag = format!("{}ms", timeout.as_millis());
    let mut daemon = Daemon::start(&["--idle-timeout", &flag], None);
    let fds_at_start = daemon.open_fds();
    let pingers = Pingers::start(daemon.address, INTERVAL);
    let mut clients = ClientLoop::<IdleClient>::new(daemon.address, 4);
    let last_message_at = connect_all(&mut clients, count, report);
    let begin = Instant::now();
    clients.run_until(3 * timeout + Duration::from_secs(5), |clients| {
        clients.is_empty()
    });
    let closed = clients.take_closed();
    let open: Vec<_> = clients.iter().map(|_| End::TimedOut).collect();
    drop(clients);
    let pinged = pingers.stop();

    let mut ends = Ends::default();
    let all = closed.iter().map(|(_, end)| *end).chain(open);
    all.for_each(|end| ends.count(end));
    report.bar(
        "ends of idle connections",
        ends.summary(),
        "as expected",
        ends.errors() == 0,
    );
    let idle: Vec<IdleClient> = closed.into_iter().map(|(client, _)| client).collect();
    let closing = report_lateness(&idle, timeout, report);
    let before = last_message_at..closing.start.max(begin);
    for (name, span) in [("before", &before), ("during", &closing)] {
        let times = pinged.response_times_in(span);
        report.figure(&format!("regular clients: p50 {name}"), ms(times.p50()));
        report.figure(&format!("regular clients: p99 {name}"), ms(times.p99()));
        report.figure(&format!("regular clients: worst {name}"), ms(times.most()));
        let served = pinged.service_times_in(span);
        report.figure(
            &format!("regular clients: p99 service time {name}"),
            ms(served.p99()),
        );
    }
    let errors = format!("{} of {}", pinged.errors(), pinged.response_times().len());
    report.bar(
        "regular clients: errors",
        errors,
        "none",
        pinged.errors() == 0,
    );
    let left = daemon.wait_for_open_fds(fds_at_start);
    let left = left.saturating_sub(fds_at_start);
    report.bar("file descriptors left open", left, "none", left == 0);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
}

/// Connects all clients and makes them send their last message together; returns when that is done.
fn connect_all(clients: &mut ClientLoop<IdleClient>, count: usize, report: &mut Report) -> Instant {
    let last_message_at: LastMessage = Rc::default();
    let mut connected = 0;
    let begin = Instant::now();
    clients.run_until(Duration::from_secs(60), |clients| {
        while connected < count && clients.may_connect() {
            clients.connect(IdleClient::new(connected as u64, &last_message_at));
            connected += 1;
        }
        clients.served() == count
    });
    report.figure("all connected after", ms(begin.elapsed()));
    last_message_at.set(Some(Instant::now() + 2 * MESSAGE_INTERVAL));
    clients.run_until(Duration::from_secs(10), |clients| {
        clients.iter().all(IdleClient::is_done)
    });
    Instant::now()
}

/// Reports how late the connections were closed; returns the period in which they were.
fn report_lateness(idle: &[IdleClient], timeout: Duration, report: &mut Report) -> Range<Instant> {
    // The daemon received the last message between its sending and the end of its echo. A close is early if it is too
    // soon after the sending, and late if it is too long after the echo.
    let sent = idle
        .iter()
        .filter_map(|client| Some(client.closed_at? - client.sent_at?));
    let since_sent = Distribution::new(sent.collect());
    let since_echo = idle
        .iter()
        .filter_map(|client| Some(client.closed_at? - client.echoed_at?));
    let since_echo = Distribution::new(since_echo.collect());
    let sent_times = idle.iter().filter_map(|client| client.sent_at);
    let (first, last) = (sent_times.clone().min(), sent_times.max());
    let spread = last
        .zip(first)
        .map_or(Duration::ZERO, |(last, first)| last - first);
    report.figure("last messages sent within", ms(spread));
    report.bar(
        "earliest close after the last message",
        ms(since_sent.least()),
        &format!("not before {}", ms(timeout)),
        since_sent.least() >= timeout,
    );
    let late = |time: Duration| ms(time.saturating_sub(timeout));
    report.figure("lateness: p50", late(since_echo.p50()));
    report.figure("lateness: p90", late(since_echo.quantile(900)));
    report.figure("lateness: p99", late(since_echo.p99()));
    let most = echoloop::reactor::TICK + SLACK;
    report.time_bar(
        "lateness: worst",
        late(since_echo.most()),
        &format!("at most {}", ms(most)),
        since_echo.most() <= timeout + most,
    );
    let closed = idle.iter().filter_map(|client| client.closed_at);
    let now = Instant::now();
    let (first, last) = (closed.clone().min(), closed.max());
    let closing = first.unwrap_or(now)..last.unwrap_or(now);
    report.figure("all closed within", ms(closing.end - closing.start));
    closing
}

/// A client that sends a message at intervals, until the last message; then it waits for the daemon's FIN.
struct IdleClient {
    echo: Echo,
    goal: u64,
    next_message_at: Instant,
    last_message_at: LastMessage,
    /// Whether it has sent its last message.
    is_last: bool,
    sent_at: Option<Instant>,
    echoed_at: Option<Instant>,
    closed_at: Option<Instant>,
}

impl IdleClient {
    fn new(seed: u64, last_message_at: &LastMessage) -> IdleClient {
        IdleClient {
            echo: Echo::new(seed),
            goal: 8,
            next_message_at: Instant::now() + MESSAGE_INTERVAL,
            last_message_at: Rc::clone(last_message_at),
            is_last: false,
            sent_at: None,
            echoed_at: None,
            closed_at: None,
        }
    }

    /// Whether the last message is echoed.
    fn is_done(&self) -> bool {
        self.echoed_at.is_some()
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        let input = self.echo.receive(stream)?;
        let now = Instant::now();
        if input == Input::Fin {
            self.closed_at = Some(now);
            return if self.is_done() {
                Ok(Step::End(End::Expected))
            } else {
                Err(End::EarlyFin)
            };
        }
        if self.is_last && self.echo.received == self.goal && self.echoed_at.is_none() {
            self.echoed_at = Some(now);
        }
        if now >= self.next_message_at && !self.is_last {
            match self.last_message_at.get() {
                // All clients send at the same time.
                Some(at) if now < at => self.next_message_at = at,
                at => {
                    self.is_last = at.is_some();
                    self.sent_at = Some(now);
                    self.goal += 8;
                    self.next_message_at = now + MESSAGE_INTERVAL;
                }
            }
        }
        self.echo.send_until(stream, self.goal)?;
        Ok(if self.is_last {
            Step::Event
        } else {
            Step::Until(self.next_message_at)
        })
    }
}

impl Client for IdleClient {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received > 0
    }
}
