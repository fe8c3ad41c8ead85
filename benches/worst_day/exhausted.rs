//! Exhausted: the daemon has no free file descriptor, and more clients connect. Connected clients are served as before,
//! the daemon uses little CPU, and when a client disconnects, a waiting one is accepted soon.

use crate::client_loop::{Client, ClientLoop, Step, reset_on_close, step};
use crate::daemon::Daemon;
use crate::echo::{Echo, End, Ends, Input};
use crate::pingers::{self, Pingers};
use crate::report::{Report, ms};
use mio::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The daemon's limit on file descriptors.
const ALLOWED: u32 = 200;

/// Far above the limit on file descriptors.
const MAX_CONNECTIONS: &str = "10000";

/// Long-lived clients. Together with the regular clients, more than the daemon can accept.
const LONG_LIVED: usize = 210;

/// Clients that disconnect at a time.
const REPLACED: usize = 10;

/// Clients that connect last, after all short-lived ones.
const LATE_CLIENTS: usize = 10;

/// How soon after a client has disconnected a waiting one must be served.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// The most CPU that the daemon may use while clients wait, in per cent.
const MAX_CPU_PERCENT: f64 = 5.0;

/// The largest increase of the regular clients' p99 response time, as a factor.
const MAX_RATIO: f64 = 2.0;

/// The interval of the regular clients: long, so that they cause little of the daemon's CPU usage.
const INTERVAL: Duration = Duration::from_millis(250);

/// The interval of short-lived clients, and how long each waits before it disconnects.
const SHORT_LIVED: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

pub(crate) fn run(report: &mut Report) {
    let seconds = if report.quick { (1, 3) } else { (20, 60) };
    let what = format!(
        "{ALLOWED} file descriptors, {} regular clients and more that connect, for {} s",
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

    let mut clients = ClientLoop::<WaitingClient>::new(daemon.address, 3);
    connect_long_lived(&mut clients);
    report.figure("open file descriptors", daemon.open_fds());
    report.figure("accepted, besides regular clients", clients.served());
    let waiting = clients.len() - clients.served();
    let enough = waiting >= 5 * REPLACED;
    report.bar("waiting", waiting, "at least 50", enough);
    let during = hold(
        &mut clients,
        Duration::from_secs(seconds.1),
        &daemon,
        report,
    );
    if enough {
        replace_clients(&mut clients, report);
    }
    let pinged = pingers.stop();

    let (before, during) = (
        pinged.response_times_in(&before),
        pinged.response_times_in(&during),
    );
    report.figure("regular clients: p50 before", ms(before.p50()));
    report.figure("regular clients: p50 during", ms(during.p50()));
    report.figure("regular clients: p99 before", ms(before.p99()));
    let ratio = during.p99().as_secs_f64() / before.p99().as_secs_f64();
    report.time_bar(
        "regular clients: p99 during",
        ms(during.p99()),
        &format!("at most {MAX_RATIO} times the p99 before"),
        ratio <= MAX_RATIO,
    );
    let errors = format!("{} of {}", pinged.errors(), pinged.response_times().len());
    let right = pinged.errors() == 0 && during.len() > 0;
    report.bar("regular clients: errors", errors, "none", right);
    let mut ends = Ends::default();
    for (_, end) in clients.take_closed() {
        ends.count(end);
    }
    report.bar(
        "ends of the other clients",
        ends.summary(),
        "as expected",
        ends.errors() == 0,
    );
    drop(clients);
    let code = daemon.stop().and_then(|status| status.code());
    let shown = code.map_or("none".to_owned(), |code| code.to_string());
    report.bar("exit code on SIGTERM", shown, "0", code == Some(0));
}

/// Connects the long-lived clients, and waits until the daemon accepts no more.
fn connect_long_lived(clients: &mut ClientLoop<WaitingClient>) {
    for number in 0..LONG_LIVED {
        clients.connect(WaitingClient::new(number as u64, None));
    }
    let (mut served, mut since) = (0, Instant::now());
    clients.run_until(Duration::from_secs(10), |clients| {
        if clients.served() != served {
            (served, since) = (clients.served(), Instant::now());
        }
        served > 0 && since.elapsed() > Duration::from_millis(300)
    });
}

/// Keeps all clients connected, while short-lived ones connect and disconnect.
fn hold(
    clients: &mut ClientLoop<WaitingClient>,
    time: Duration,
    daemon: &Daemon,
    report: &mut Report,
) -> Range<Instant> {
    let (begin, cpu_usage) = (Instant::now(), daemon.cpu_usage());
    let mut next_attempt = begin;
    let mut attempts = 0;
    clients.run_until(time, |clients| {
        let now = Instant::now();
        if now >= next_attempt {
            next_attempt += SHORT_LIVED.0;
            attempts += 1;
            clients.connect(WaitingClient::new(attempts, Some(now + SHORT_LIVED.1)));
        }
        false
    });
    let busy = daemon.cpu_usage().ran_since(&cpu_usage);
    report.figure("short-lived clients", attempts);
    let bar = format!("at most {MAX_CPU_PERCENT} %");
    report.time_bar(
        "daemon's CPU",
        format!("{busy:.2} %"),
        &bar,
        busy <= MAX_CPU_PERCENT,
    );
    let lines = daemon.count_log_lines("accepting pauses");
    let most = usize::try_from(time.as_secs() / 5).unwrap() + 2;
    let bar = format!("1 to {most}");
    let is_brief = (1..=most).contains(&lines);
    report.bar("log lines about paused accepting", lines, &bar, is_brief);
    begin..Instant::now()
}

/// Disconnects some clients, so that waiting ones are accepted: those that waited longest, and finally the newest.
fn replace_clients(clients: &mut ClientLoop<WaitingClient>, report: &mut Report) {
    let bar = format!("at most {}", ms(SERVED_WITHIN));
    for (round, how) in ["FIN", "reset", "FIN", "reset"].into_iter().enumerate() {
        let time = replace(clients, REPLACED, round % 2 == 1);
        let name = format!("{REPLACED} close with {how}: as many served after");
        report.time_bar(&name, ms(time), &bar, time <= SERVED_WITHIN);
    }
    // An accepted short-lived client would remain for a while, so all of them must have disconnected.
    let timeout = 2 * SHORT_LIVED.1;
    clients.run_until(timeout, |clients| {
        clients.iter().all(|client| client.disconnect_at.is_none())
    });
    for number in 0..LATE_CLIENTS {
        clients.connect(WaitingClient::new(number as u64, None));
    }
    let waiting = clients.iter().filter(|client| client.is_waiting()).count();
    let time = replace(clients, waiting, false);
    let name = format!("{waiting} close: the last waiting one served after");
    report.time_bar(&name, ms(time), &bar, time <= SERVED_WITHIN);
}

/// Disconnects some served clients; the time until as many waiting ones are served.
fn replace(clients: &mut ClientLoop<WaitingClient>, count: usize, reset: bool) -> Duration {
    let is_long_lived = |client: &WaitingClient| client.disconnect_at.is_none();
    let waiting = |clients: &ClientLoop<WaitingClient>| {
        clients.iter().filter(|client| client.is_waiting()).count()
    };
    let goal = waiting(clients).saturating_sub(count);
    let begin = Instant::now();
    let disconnected = clients.disconnect(count, reset, |client| {
        client.is_served() && is_long_lived(client)
    });
    assert_eq!(disconnected, count, "enough clients are served");
    clients.run_until(10 * SERVED_WITHIN, |clients| waiting(clients) <= goal);
    begin.elapsed()
}

/// A client that sends a message at once, and receives its echo once it is accepted.
struct WaitingClient {
    echo: Echo,
    /// When it disconnects, if it is short-lived.
    disconnect_at: Option<Instant>,
    /// Whether it disconnects with RST.
    resets: bool,
}

/// The size of its message.
const MESSAGE: u64 = 32;

impl WaitingClient {
    fn new(seed: u64, disconnect_at: Option<Instant>) -> WaitingClient {
        WaitingClient {
            echo: Echo::new(seed),
            disconnect_at,
            resets: seed % 2 == 1,
        }
    }

    /// Whether it is long-lived and not served yet.
    fn is_waiting(&self) -> bool {
        self.disconnect_at.is_none() && !self.is_served()
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        self.echo.send_until(stream, MESSAGE)?;
        if self.echo.receive(stream)? == Input::Fin {
            return Err(End::EarlyFin);
        }
        match self.disconnect_at {
            Some(disconnect_at) if Instant::now() >= disconnect_at => {
                if self.resets {
                    reset_on_close(stream);
                }
                Ok(Step::End(End::Expected))
            }
            Some(disconnect_at) => Ok(Step::Until(disconnect_at)),
            None => Ok(Step::Event),
        }
    }
}

impl Client for WaitingClient {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received == MESSAGE
    }
}
