//! `echoloop load`: the load tester.

mod block;
mod clock;
mod conclusion;
mod find;
mod interval_line;
mod jobs;
mod output;
mod part;
mod script;
mod trace;
mod usage;
mod userspace;
mod values;
mod watcher;

use super::addresses::TargetAddress;
use super::connecting::{AddressFlags, cannot_start};
use super::output::{is_stdout, open_stdout, try_file};
use super::tls::LoadTlsArgs;
use super::trace::{TraceFile, Tracer};
use super::units;
use super::userspace::UserspaceFlags;
use super::{Failure, raise_fd_limit, scheduling_net};
use crate::cli::value::by;
use crate::client::find_reachable;
use crate::load::{
    Child, Condition, Config, EchoClient, Load, Machine, Observer, Script, Sources, WallTime,
    ephemeral_ports,
};
use crate::net::{Ending, MioNet, Traced};
use crate::stdio::StandardStream;
use crate::tls::MaybeTls;
use clap::Args;
use clock::{Clock, ClockFlags};
use jobs::JobArgs;
use output::Output;
use script::ScriptFlags;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use trace::TraceFlags;
use userspace::Userspace;
use values::{ChurnArg, RateArg, SourcesArg, default_spin, probe, sources, to_u32};
use watcher::Watcher;

const EXAMPLES: &str = "\
Examples:
  echoloop load                                 50 connections, own server
  echoloop load 10.0.0.1:7 --rate 20k --expect 'p99<5ms'
                                                20,000/s on schedule, or exit 3
  echoloop load :8000 --idle 19k --active 50    latency beside 19,000 idle ones
  echoloop load :8000 --idle 10k --ramp 1k --duration 1h --expect alive=100%
                                                hold for an hour, then probe all
  echoloop load :8000 --find rate --while 'p99<5ms'
                                                the most per second below 5 ms
  echoloop load :8000 --find idle               the most idle connections
  echoloop load :8000 --churn reset             reconnect after every echo
  echoloop load :8000 --tls --ca ca.pem --resume --churn fin
                                                TLS handshakes, most resumed
  echoloop load :8000 --idle 40k --jobs 4       four processes, one result
  echoloop load :8000 --idle 40k --part 2/4 --save part-2.json
                                                one of four hosts: part 2 of 4
  echoloop load :8000 -o json --save run.json   for scripts, and to be merged
  echoloop load :8000 --report run.html         one HTML page with charts

Response time runs from when a message was due, service time from when it was
sent. Ctrl-C ends the run early and reports what was measured; a second Ctrl-C
skips the rest.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a connection failed or was lost,
a reply was wrong or missing, an idle connection was dead, or an --expect was
missed. An --expect on one of these figures replaces its default.";

/// Hold many idle connections and measure echo latency among them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(value_name = "HOST:PORT", value_parser = by(TargetAddress::parse),
        help = "Load HOST:PORT, [V6]:PORT, or :PORT of this machine [default: a server started for the run]")]
    target: Option<TargetAddress>,

    /// Hold N idle connections
    #[arg(long, value_name = "N", default_value = "0", value_parser = by(units::count))]
    idle: usize,

    #[command(flatten)]
    userspace: UserspaceFlags,

    /// Echo on N active connections [default: 50, or 0 if --idle is given]
    #[arg(short = 'c', long, value_name = "N", value_parser = by(units::count))]
    active: Option<usize>,

    /// Send R messages per second over all active connections, on schedule; max: each sends when its reply is in
    #[arg(short, long, value_name = "R", default_value = "max", value_parser = by(units::rate))]
    rate: RateArg,

    #[command(flatten)]
    script: ScriptFlags,

    /// Send messages of SIZE bytes
    #[arg(short, long, value_name = "SIZE", default_value = "128", value_parser = by(units::message_size))]
    size: usize,

    /// Keep N messages in flight per connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = by(units::positive_count))]
    pipeline: usize,

    /// Measure for D
    #[arg(short, long, value_name = "D", default_value = "10s", value_parser = by(units::positive_duration))]
    duration: Duration,

    /// Run for D before measuring
    #[arg(long, value_name = "D", default_value = "1s", value_parser = by(units::duration))]
    warmup: Duration,

    /// Open at most R connections per second
    #[arg(long, value_name = "R", default_value = "max", value_parser = by(units::rate))]
    ramp: RateArg,

    #[command(flatten)]
    addresses: AddressFlags,

    /// Give up a connect, a TLS handshake, and probes without any reply, after D
    #[arg(long, value_name = "D", default_value = "10s", value_parser = by(units::positive_duration))]
    connect_timeout: Duration,

    /// Let at most N connections wait to be accepted [default: adaptive]
    #[arg(long, value_name = "N", value_parser = by(units::positive_count))]
    window: Option<usize>,

    /// Reconnect after every echo, closing with FIN or RST (reset leaves no `TIME_WAIT`)
    #[arg(long, value_name = "HOW")]
    churn: Option<ChurnArg>,

    #[command(flatten)]
    tls: LoadTlsArgs,

    #[command(flatten)]
    clock: ClockFlags,

    /// Connect from all addresses of a local network such as 127.0.0.0/8; auto spreads over 127/8 for a loopback target
    #[arg(long, value_name = "CIDR", default_value = "auto", value_parser = by(sources), conflicts_with = "bind")]
    sources: SourcesArg,

    /// At the end, verify an echo on idle connections: on all, on N, or off
    #[arg(long, value_name = "all|N|off", default_value = "all", value_parser = by(probe))]
    probe: u32,

    #[command(flatten)]
    find: find::FindFlags,

    /// Exit with 3 unless EXPR holds: p99<5ms (response time), rate>100k, lost=0, mismatched=0, alive=100% (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Condition>,

    /// Also report memory and CPU time of the server's process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Poll without sleeping for up to D before each sleep: a more punctual schedule, more CPU [default: 100us from 20k
    /// messages a second on, else 0]
    #[arg(long, value_name = "D", value_parser = by(units::duration))]
    spin: Option<Duration>,

    #[command(flatten)]
    jobs: JobArgs,

    #[command(flatten)]
    part: part::PartFlags,

    /// Print the result in this format; jsonl: a line at the start, per second, and at the end
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Output,

    /// Save the result, histograms included, for `echoloop report`; -: as one line on stdout, text then goes to stderr
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// Write one self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    #[command(flatten)]
    trace: TraceFlags,
}

impl Flags {
    /// Runs the load and reports the result.
    pub(super) fn run(self: Box<Self>) -> Result<ExitCode, Failure> {
        raise_fd_limit();
        if let Some((share, target)) = self.jobs.own_share() {
            return self.run_share(share, target);
        }
        // Before the run, so that a long one does not end without its result.
        let save = self.save.iter().filter(|path| !is_stdout(path));
        for path in save.chain(&self.report) {
            try_file(path)?;
        }
        let trace = self.trace.open()?;
        if let Some(pid) = self.server_pid {
            require_process(pid)?;
        }
        if let Some(flag) = self.without_effect() {
            log::warn!(
                "{flag} has no effect, since all connections are idle: add some with --active"
            );
        }
        let userspace = self.open_userspace()?;
        let (child, target) = if let Some(target) = &self.target {
            (None, self.find_target(target)?)
        } else {
            let child = self.start_child(userspace.as_ref())?;
            let address = child.address();
            (Some(child), address)
        };
        let server = self.server_pid.or(child.as_ref().map(Child::pid));
        if let Some(plan) = self.find.plan() {
            let found = self.find_limit(&plan, target, server);
            drop(child);
            return found;
        }
        let clock = self.clock.measure(self.connect_timeout)?;
        let config = self.config(target, clock.now(), std::process::id())?;
        let jobs = self.jobs.count(config.connections() as usize);
        let concluded = if jobs > 1 {
            self.run_jobs(jobs, config, server, clock)
        } else {
            self.run_alone(&config, server, clock, trace, userspace)
        };
        drop(child);
        concluded
    }

    /// Runs the load in this process.
    fn run_alone(
        &self,
        config: &Config,
        server: Option<u32>,
        clock: Clock,
        trace: Option<TraceFile>,
        userspace: Option<Userspace>,
    ) -> Result<ExitCode, Failure> {
        let mut net = scheduling_net()?;
        let tracer = trace.map(|file| file.start(&mut net, "echoloop load"));
        let prints_lines = self.output == Output::Jsonl;
        let stdout = prints_lines
            .then(|| open_stdout(net.inner_mut()))
            .transpose()?;
        let watcher = Watcher::new(server, config.target, self.output, config.active > 0);
        let watcher: Box<dyn Observer> = Box::new(watcher);
        let whole = config.clone();
        match config.tls.clone() {
            None => {
                let mut load = Load::new(net, whole, watcher);
                if let Some(userspace) = userspace {
                    userspace.attach(&mut load, config)?;
                }
                self.run_load(load, (stdout, tracer), config, clock)
            }
            Some(tls) => {
                let load = Load::over_tls(net, whole, tls, watcher);
                self.run_load(load, (stdout, tracer), config, clock)
            }
        }
    }

    fn run_load<C: MaybeTls<EchoClient>>(
        &self,
        mut load: Load<Traced<MioNet>, Box<dyn Observer>, C>,
        (stdout, tracer): (Option<StandardStream>, Option<Tracer>),
        config: &Config,
        clock: Clock,
    ) -> Result<ExitCode, Failure> {
        let begun = load.align(|| clock.now(), self.clock.start(clock));
        if let Some(stdout) = stdout {
            load.write_lines(stdout, &output::start_line(config, begun)?);
        }
        let ended = load.run();
        // Before the connections are closed: events of closing would displace those of the run.
        if let Some(tracer) = tracer {
            tracer.write();
        }
        ended.map_err(|error| Failure(format!("the event loop failed: {error}")))?;
        self.conclude(load, config, begun, clock)
    }

    /// Starts a server for the run.
    fn start_child(&self, userspace: Option<&Userspace>) -> Result<Child, Failure> {
        let remedy = "give the address of a running server";
        let connections = to_u32(self.idle.saturating_add(self.active()));
        let listening = userspace.map(|userspace| userspace.listening(connections));
        Child::start(listening.unwrap_or_default())
            .map_err(|error| Failure::new("cannot start a server", error, remedy))
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
        Ok(find_reachable(Traced::new(net), target)?)
    }

    /// The number of active connections.
    fn active(&self) -> usize {
        let default = if self.idle > 0 || self.script.is_passive() {
            0
        } else {
            50
        };
        self.active
            .unwrap_or_else(|| self.find.default_active().unwrap_or(default))
    }

    /// The configuration of this part; automatic source addresses are those of this `process`.
    fn config(&self, target: SocketAddr, now: WallTime, process: u32) -> Result<Config, Failure> {
        let whole = Config {
            idle: to_u32(self.idle),
            active: to_u32(self.active()),
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
            probe: self.probe,
            window: self.window.map(to_u32),
            max_message: self.script.max_message,
            script: self.script_for(target, now)?,
            tls: self.tls.settings(self.target.as_ref())?,
            ..Config::new(target)
        };
        let own = self.own_part(&whole).map_err(Failure)?;
        Ok(Config {
            sources: self.local_addresses(target, own.connections(), process),
            spin: self.spin.unwrap_or_else(|| default_spin(own.rate)),
            ..own
        })
    }

    /// The script for the run that begins now; its `{run}` differs from that of any other.
    fn script_for(
        &self,
        target: SocketAddr,
        now: WallTime,
    ) -> Result<Option<Arc<Script>>, Failure> {
        let name = self.target.as_ref().map(TargetAddress::host_and_port);
        let name = name.unwrap_or_else(|| target.to_string());
        let run = script::run_number(now.0);
        self.script.resolve(run, &name).map_err(Failure)
    }
}

impl Flags {
    /// The local addresses for this many connections; different ones for each `process` if they are automatic.
    fn local_addresses(&self, target: SocketAddr, connections: u32, process: u32) -> Sources {
        match (self.addresses.bind, self.sources) {
            (Some(local), _) => Sources::from_address(local),
            (_, Some(network)) => self.part.sources(Sources::of(network)),
            (None, None) => Sources::automatic(
                target.ip(),
                connections,
                self.churn.is_some(),
                ephemeral_ports(),
                process,
            ),
        }
    }
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
