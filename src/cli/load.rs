//! `echoloop load`: the load tester.

mod conclusion;
mod output;
mod usage;
mod watcher;

use super::connecting::{AddressFlags, cannot_start};
use super::output::{open_stdout, try_file};
use super::units::{self, TargetAddress};
use super::{Failure, raise_fd_limit, scheduling_net};
use crate::client::find_reachable;
use crate::load::{
    Child, Condition, Config, DEFAULT_WINDOW, Load, Machine, Sources, WallTime, ephemeral_ports,
};
use crate::net::{Ending, MioNet, time_of_day};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use output::Output;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use watcher::Watcher;

const EXAMPLES: &str = "\
Examples:
  echoloop load                                 50 connections, own server
  echoloop load 10.0.0.1:7 --rate 20k --expect 'p99<5ms'
                                                20,000/s on schedule, or exit 3
  echoloop load :8000 --idle 19k --active 50    latency beside 19,000 idle ones
  echoloop load :8000 --idle 10k --ramp 1k --duration 1h --expect alive=100%
                                                hold for an hour, then probe all
  echoloop load :8000 --churn reset             reconnect after every echo
  echoloop load :8000 -o json --save run.json   for scripts, and to be merged
  echoloop load :8000 --report run.html         one HTML page with charts

Response time runs from when a message was due, service time from when it was
sent. Ctrl-C ends the run early and reports what was measured; a second Ctrl-C
skips the rest.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a threshold was missed.";

/// Hold many idle connections and measure echo latency among them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(value_name = "HOST:PORT", value_parser = TargetAddress::parse,
        help = "Load HOST:PORT, [V6]:PORT, or :PORT of this machine [default: a server started for the run]")]
    target: Option<TargetAddress>,

    /// Hold N idle connections
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::count)]
    idle: usize,

    /// Echo on N active connections [default: 50, or 0 if --idle is given]
    #[arg(long, value_name = "N", value_parser = units::count)]
    active: Option<usize>,

    /// Send R messages per second over all active connections, on schedule; max: each sends when its reply is in
    #[arg(long, value_name = "R", default_value = "max", value_parser = units::rate)]
    rate: RateArg,

    /// Send messages of SIZE bytes
    #[arg(long, value_name = "SIZE", default_value = "128", value_parser = units::message_size)]
    size: usize,

    /// Keep N messages in flight per connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::positive_count)]
    pipeline: usize,

    /// Measure for D
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    duration: Duration,

    /// Run for D before measuring
    #[arg(long, value_name = "D", default_value = "1s", value_parser = units::duration)]
    warmup: Duration,

    /// Open at most R connections per second
    #[arg(long, value_name = "R", default_value = "max", value_parser = units::rate)]
    ramp: RateArg,

    #[command(flatten)]
    addresses: AddressFlags,

    /// Give up a connect after D, and the probes D after the last reply
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    connect_timeout: Duration,

    /// Keep at most N connections that the server has not accepted; stay below its backlog
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WINDOW as usize, value_parser = units::positive_count)]
    window: usize,

    /// Reconnect after every echo, closing with FIN or RST (reset leaves no `TIME_WAIT`)
    #[arg(long, value_name = "HOW")]
    churn: Option<ChurnArg>,

    /// Start measuring at TIME (RFC 3339, or +D from now), so that several hosts start together
    #[arg(long, value_name = "TIME", value_parser = start_time)]
    start_at: Option<WallTime>,

    /// Connect from all addresses of a local network such as 127.0.0.0/8; auto spreads over 127/8 for a loopback target
    #[arg(long, value_name = "CIDR", default_value = "auto", value_parser = sources, conflicts_with = "bind")]
    sources: SourcesArg,

    /// At the end, verify an echo on idle connections: on all, on N, or off
    #[arg(long, value_name = "all|N|off", default_value = "all", value_parser = probe)]
    probe: u32,

    /// Exit with 3 unless EXPR holds: p99<5ms (response time), rate>100k, lost=0, mismatched=0, alive=100% (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Condition>,

    /// Also report memory and CPU time of the server's process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Poll without sleeping for up to D before each sleep: a more punctual schedule, more CPU [default: 100us from 20k
    /// messages a second on, else 0]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    spin: Option<Duration>,

    /// Print the result in this format; jsonl: a line at the start, per second, and at the end
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Output,

    /// Save the result, histograms included, for `echoloop report`
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// Write one self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Per second, or `None` for no limit. An alias, since clap takes a plain `Option` for a flag that may be absent.
type RateArg = std::option::Option<f64>;

/// A network, or `None` for automatic; an alias, see [`RateArg`].
type SourcesArg = std::option::Option<IpNet>;

/// A network such as `127.0.0.0/8`, or one address.
fn sources(text: &str) -> Result<SourcesArg, String> {
    if text == "auto" {
        return Ok(None);
    }
    let network = text.parse::<IpNet>();
    network
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|network| Some(network.trunc()))
        .map_err(|_| "not a network: write 127.0.0.0/8, 10.1.2.3 or auto".to_owned())
}

fn probe(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(u32::MAX),
        "off" => Ok(0),
        _ => match units::count(text).map(u32::try_from) {
            Ok(Ok(count)) => Ok(count),
            _ => Err("not a number of probes: write all, off or 500".to_owned()),
        },
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChurnArg {
    Fin,
    Reset,
}

/// A time of RFC 3339, or `+D` from now.
fn start_time(text: &str) -> Result<WallTime, String> {
    match text.strip_prefix('+') {
        Some(delay) => Ok(WallTime(time_of_day()) + units::duration(delay)?),
        None => text.parse(),
    }
}

impl Flags {
    /// Runs the load and reports the result.
    pub(super) fn run(self: Box<Self>) -> Result<ExitCode, Failure> {
        raise_fd_limit();
        // Before the run, so that a long one does not end without its result.
        for path in self.save.iter().chain(&self.report) {
            try_file(path)?;
        }
        if let Some(pid) = self.server_pid {
            require_process(pid)?;
        }
        if let Some(flag) = self.without_effect() {
            log::warn!(
                "{flag} has no effect, since all connections are idle: add some with --active"
            );
        }
        let (child, target) = if let Some(target) = &self.target {
            (None, self.find_target(target)?)
        } else {
            let child = start_child()?;
            let address = child.address();
            (Some(child), address)
        };
        let server = self.server_pid.or(child.as_ref().map(Child::pid));
        let begun = WallTime(time_of_day());
        let config = self.config(target, begun);
        let mut net = scheduling_net()?;
        let prints_lines = self.output == Output::Jsonl;
        if prints_lines {
            open_stdout(&mut net)?;
        }
        let watcher = Watcher::new(server, self.output, config.active > 0);
        let mut load = Load::new(net, config.clone(), watcher);
        if prints_lines {
            load.write_first(&output::start_line(&config, begun)?);
        }
        load.run()
            .map_err(|error| Failure(format!("the event loop failed: {error}")))?;
        let concluded = self.conclude(load, &config, begun);
        drop(child);
        concluded
    }

    /// The first address of the target that accepts a connection.
    fn find_target(&self, target: &TargetAddress) -> Result<SocketAddr, Failure> {
        let mut target = self.addresses.resolve(target, self.connect_timeout)?;
        target.addresses = self.reachable(target.addresses).map_err(Failure)?;
        if let Some(local) = &mut target.local {
            // The port would be in TIME_WAIT when the load needs it.
            local.set_port(0);
        }
        let net = MioNet::new().map_err(|error| cannot_start(&error))?;
        Ok(find_reachable(net, target)?)
    }

    /// The number of active connections.
    fn active(&self) -> usize {
        let default = if self.idle > 0 { 0 } else { 50 };
        self.active.unwrap_or(default)
    }

    fn config(&self, target: SocketAddr, now: WallTime) -> Config {
        let (idle, active) = (to_u32(self.idle), to_u32(self.active()));
        let sources = match (self.addresses.bind, self.sources) {
            (Some(local), _) => Sources::from_address(local),
            (_, Some(network)) => Sources::of(network),
            (None, None) => Sources::automatic(
                target.ip(),
                idle.saturating_add(active),
                self.churn.is_some(),
                ephemeral_ports(),
                std::process::id(),
            ),
        };
        Config {
            idle,
            active,
            rate: self.rate,
            size: self.size,
            pipeline: self.pipeline,
            duration: self.duration,
            warmup: self.warmup,
            ramp: self.ramp,
            connect_timeout: self.connect_timeout,
            churn: self.churn.map(|churn| match churn {
                ChurnArg::Fin => Ending::Fin,
                ChurnArg::Reset => Ending::Reset,
            }),
            sources,
            probe: self.probe,
            window: to_u32(self.window),
            start_in: self.start_at.map(|start| start.since(now)),
            spin: self.spin.unwrap_or_else(|| default_spin(self.rate)),
            ..Config::new(target)
        }
    }
}

/// The default of `--spin`: positive when messages are due so often that a sleep with its wake-up takes longer than the
/// time between two of them.
fn default_spin(rate: RateArg) -> Duration {
    let is_often = rate.is_some_and(|per_second| per_second >= 20_000.0);
    Duration::from_micros(if is_often { 100 } else { 0 })
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn start_child() -> Result<Child, Failure> {
    let remedy = "give the address of a running server";
    Child::start().map_err(|error| Failure::new("cannot start a server", error, remedy))
}

/// Fails without this process, whose figures would be missing from the result.
fn require_process(server: u32) -> Result<(), Failure> {
    let missing = || {
        let what = format!("cannot watch --server-pid {server}");
        let remedy = "give the PID of the server, or leave it out if the server runs elsewhere";
        Failure::new(what, "this machine has no such process", remedy)
    };
    let found = Machine::new(Some(server)).snapshot().server;
    found.map(drop).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_network_an_address_or_auto() {
        let parsed = |text| sources(text).unwrap().map(|network| network.to_string());
        assert_eq!(parsed("127.1.2.3/8").unwrap(), "127.0.0.0/8");
        assert_eq!(parsed("10.1.2.3").unwrap(), "10.1.2.3/32");
        assert_eq!(parsed("fd00::7/64").unwrap(), "fd00::/64");
        assert_eq!(parsed("auto"), None);
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(sources(wrong).is_err(), "{wrong}");
        }
    }
}
