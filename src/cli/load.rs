//! `echoloop load`: the load tester.

mod conclusion;
mod output;
mod usage;
mod watcher;

use super::output::try_file;
use super::units::{self, ListenAddress};
use super::{Failure, MISSED};
use crate::load::{
    Child, Condition, Config, DEFAULT_WINDOW, Load, Machine, Sources, WallTime, ephemeral_ports,
};
use crate::net::{Ending, MioNet, raise_descriptor_limit, time_of_day};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use output::Output;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use watcher::Watcher;

const EXAMPLES: &str = "\
Examples:
  echoloop load                                             50 connections, as fast as they can, at a server of its own
  echoloop load 10.0.0.1:7 --rate 20k --expect 'p99<5ms'    20,000 echoes a second on schedule; exit code 3 if too slow
  echoloop load :8000 --idle 19k --active 50                what an echo costs among 19,000 idle connections
  echoloop load :8000 --idle 10k --ramp 1k --duration 1h --expect lost=0 --expect alive=100%
                                                            hold 10,000 for an hour; all must still answer at the end
  echoloop load :8000 --churn reset --active 8              connect, echo, close, again
  echoloop load :8000 -o json --save run.json               for programs, and for `echoloop report`
  echoloop load :8000 --report run.html                     one page with charts, which needs no network

Response time runs from when a message was due to be sent, service time from when it was sent. Ctrl-C ends it early, and
what was reached is reported; a second one skips the rest. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a threshold was
missed.";

/// Hold very many idle connections, and measure echo among them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(value_name = "HOST:PORT", value_parser = ListenAddress::parse,
        help = "Whom to load: HOST:PORT, [V6]:PORT, or :PORT of this machine [default: a server of its own]")]
    target: Option<ListenAddress>,

    /// Connections that only exist
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::count)]
    idle: usize,

    /// Connections that echo [default: 50, or 0 if --idle is given]
    #[arg(long, value_name = "N", value_parser = units::count)]
    active: Option<usize>,

    /// Echoes per second over all active ones, on schedule; max: each sends when its reply is in
    #[arg(long, value_name = "R", default_value = "max", value_parser = rate)]
    rate: Rate,

    /// Size of a message
    #[arg(long, value_name = "SIZE", default_value = "128", value_parser = units::message_size)]
    size: usize,

    /// Messages in flight per connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::positive_count)]
    pipeline: usize,

    /// Length of the measured part
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    duration: Duration,

    /// Length of what goes before it and is not counted
    #[arg(long, value_name = "D", default_value = "1s", value_parser = units::duration)]
    warmup: Duration,

    /// Connects per second
    #[arg(long, value_name = "R", default_value = "max", value_parser = rate)]
    ramp: Rate,

    /// How long a connection may take to stand, and how long after the last reply probes fail
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    connect_timeout: Duration,

    /// Connections begun that the server has not shown to have accepted; keep it below the server's backlog
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WINDOW as usize, value_parser = units::positive_count)]
    window: usize,

    /// Each active connection: connect, one echo, close so, again (reset leaves no `TIME_WAIT`)
    #[arg(long, value_name = "HOW")]
    churn: Option<Churn>,

    /// When the measured part begins: RFC 3339, or +D from now; so several hosts begin together
    #[arg(long, value_name = "TIME", value_parser = StartAt::parse)]
    start_at: Option<StartAt>,

    /// Local addresses to connect from: a network such as 127.0.0.0/8; auto spreads over 127/8 for a loopback target
    #[arg(long, value_name = "CIDR", default_value = "auto", value_parser = wished_sources)]
    sources: WishedSources,

    /// At the end, a verified echo on the idle ones: all, at most N, or off
    #[arg(long, value_name = "all|N|off", default_value = "all", value_parser = probe)]
    probe: u32,

    /// What must hold, or the exit code is 3: p99<5ms (response time), rate>100k, lost=0, mismatched=0, alive=100% (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Condition>,

    /// Also report this process's memory and processor time
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Poll without sleeping for up to D before each sleep: a more punctual schedule for more CPU [default: 100us from
    /// 20k messages a second on, else 0]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    spin: Option<Duration>,

    /// How the result is written to stdout; jsonl: a line at the start, one for each second, one at the end
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Output,

    /// Save everything, histograms included, for `echoloop report`
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// Write one self-contained page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// A rate, or `None` for as fast as it goes. Named, since clap takes a plain `Option` for a flag that may be missing.
type Rate = std::option::Option<f64>;

/// See [`Rate`].
type WishedSources = std::option::Option<IpNet>;

fn rate(text: &str) -> Result<Rate, String> {
    units::rate(text)
}

fn wished_sources(text: &str) -> Result<WishedSources, String> {
    match text {
        "auto" => Ok(None),
        _ => text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|network| Some(network.trunc()))
            .map_err(|_| "not a network: write 127.0.0.0/8, 10.1.2.3 or auto".to_owned()),
    }
}

fn probe(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(u32::MAX),
        "off" => Ok(0),
        count => units::count(count)
            .ok()
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| "write all, off, or how many".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Churn {
    Fin,
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum StartAt {
    In(Duration),
    At(WallTime),
}

impl StartAt {
    fn parse(text: &str) -> Result<StartAt, String> {
        match text.strip_prefix('+') {
            Some(delay) => units::duration(delay).map(StartAt::In),
            None => text.parse().map(StartAt::At),
        }
    }

    fn from(self, now: WallTime) -> Duration {
        match self {
            StartAt::In(delay) => delay,
            StartAt::At(time) => time.since(now),
        }
    }
}

impl Flags {
    /// Loads, and says what was found.
    pub(super) fn run(self: Box<Self>) -> Result<ExitCode, Failure> {
        if let Err(error) = raise_descriptor_limit() {
            log::warn!("the limit of open descriptors could not be raised: {error}");
        }
        // A long run is not to end with a result that goes nowhere.
        for path in self.save.iter().chain(&self.report) {
            try_file(path)?;
        }
        if let Some(pid) = self.server_pid {
            must_be_there(pid)?;
        }
        if let Some(flag) = self.without_effect() {
            log::warn!(
                "{flag} is about connections that echo, and all are idle: ask for some with --active"
            );
        }
        let child = match self.target {
            Some(_) => None,
            None => Some(start_child()?),
        };
        let target = match (&child, &self.target) {
            (Some(child), _) => child.address(),
            (None, Some(target)) => resolve(target)?,
            (None, None) => return Err(Failure("there is nobody to load".to_owned())),
        };
        let server = self.server_pid.or(child.as_ref().map(Child::pid));
        let begun = WallTime(time_of_day());
        let config = self.config(target, begun);
        let mut net = MioNet::with_signals().map_err(|error| no_loop(&error))?;
        net.keep_time_precisely().map_err(|error| no_loop(&error))?;
        let lines = self.output == Output::Jsonl;
        if lines {
            net.take_stdout()
                .map_err(|error| cannot_take_stdout(&error))?;
        }
        let watcher = Watcher::new(server, self.output, config.active > 0);
        let mut load = Load::new(net, config.clone(), watcher);
        if lines {
            load.write_first(output::start_line(&config, begun)?);
        }
        load.run()
            .map_err(|error| Failure(format!("the event loop cannot go on: {error}")))?;
        let concluded = self.conclude(load, &config, begun);
        drop(child);
        concluded
    }

    /// How many connections are to echo.
    fn active(&self) -> usize {
        let usual = if self.idle > 0 { 0 } else { 50 };
        self.active.unwrap_or(usual)
    }

    fn config(&self, target: SocketAddr, now: WallTime) -> Config {
        let active = self.active();
        let sources = match self.sources {
            Some(network) => Sources::of(network),
            None => Sources::automatic(
                target.ip(),
                narrow(self.idle.saturating_add(active)),
                self.churn.is_some(),
                ephemeral_ports(),
                std::process::id(),
            ),
        };
        Config {
            idle: narrow(self.idle),
            active: narrow(active),
            rate: self.rate,
            size: self.size,
            pipeline: self.pipeline,
            duration: self.duration,
            warmup: self.warmup,
            ramp: self.ramp,
            connect_timeout: self.connect_timeout,
            churn: self.churn.map(|churn| match churn {
                Churn::Fin => Ending::Fin,
                Churn::Reset => Ending::Reset,
            }),
            sources,
            probe: self.probe,
            window: narrow(self.window),
            start_in: self.start_at.map(|start| start.from(now)),
            spin: self.spin.unwrap_or_else(|| usual_spin(self.rate)),
            ..Config::new(target)
        }
    }
}

/// For how long to poll before each sleep where nothing is said: when messages are due so often that a sleep, and the
/// waking from it, would take longer than the time between two of them.
fn usual_spin(rate: Rate) -> Duration {
    const OFTEN_PER_SECOND: f64 = 20_000.0;
    match rate {
        Some(rate) if rate >= OFTEN_PER_SECOND => Duration::from_micros(100),
        _ => Duration::ZERO,
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn start_child() -> Result<Child, Failure> {
    Child::start().map_err(|error| {
        Failure(format!(
            "cannot start a server to load: {error}; give the address of one"
        ))
    })
}

/// The first address of a name; the one that is everybody's is this machine's own.
fn resolve(typed: &ListenAddress) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| {
        Failure(format!(
            "cannot load {}: the name does not resolve ({why}); check the spelling, or give an address such as 127.0.0.1:8000",
            typed.as_str()
        ))
    };
    let addresses = typed
        .resolve()
        .map_err(|error| unknown(error.to_string()))?;
    let first = addresses
        .first()
        .ok_or_else(|| unknown("no address".to_owned()))?;
    Ok(if first.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, first.port()))
    } else {
        *first
    })
}

/// A process that was named and is not there would be left out of the result without a word.
fn must_be_there(server: u32) -> Result<(), Failure> {
    match Machine::new(Some(server)).snapshot().server {
        Some(_) => Ok(()),
        None => Err(Failure(format!(
            "cannot look at --server-pid {server}: no such process is to be seen on this machine; \
             give the id of the server's process, or leave it out if that runs elsewhere"
        ))),
    }
}

fn cannot_take_stdout(error: &std::io::Error) -> Failure {
    Failure(format!(
        "cannot use standard output: {error}; give it a file, a pipe or a terminal"
    ))
}

fn no_loop(error: &std::io::Error) -> Failure {
    Failure(format!(
        "cannot start the event loop: {error}; if no descriptor is left, raise the limit (ulimit -n)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_network_an_address_or_auto() {
        let parsed = |text| {
            wished_sources(text)
                .unwrap()
                .map(|network| network.to_string())
        };
        assert_eq!(parsed("127.1.2.3/8").unwrap(), "127.0.0.0/8");
        assert_eq!(parsed("10.1.2.3").unwrap(), "10.1.2.3/32");
        assert_eq!(parsed("fd00::7/64").unwrap(), "fd00::/64");
        assert_eq!(parsed("auto"), None);
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(wished_sources(wrong).is_err(), "{wrong}");
        }
    }
}
