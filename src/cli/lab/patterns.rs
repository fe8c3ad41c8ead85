//! `echoloop lab patterns`, and `echoloop lab pattern NAME`, the process that it starts for each of them.

use crate::cli::output::{Format, pretty_json, to_file, to_stdout, try_file};
use crate::cli::value::by;
use crate::cli::{Failure, end_with_parent, raise_fd_limit, units};
use crate::lab::experiment::{self, Plan, needed_fds};
use crate::lab::patterns::{ALL, Pattern};
use crate::logging;
use crate::numbers::grouped;
use clap::Args;
use log::LevelFilter;
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop lab patterns                      all, among 1,000 idle clients
  echoloop lab patterns --quick              the same in about a minute
  echoloop lab patterns --report page.html   with charts from 1 to 10,000 idle
  echoloop lab patterns --rounds 5           medians, where a machine is noisy
  echoloop lab patterns -o json              for scripts: the keys are stable
  echoloop lab patterns serial               one client at a time
  echoloop lab patterns prefork              processes, started in advance
  echoloop lab patterns pool --idle 63       threads behind a queue: 64 places
  echoloop lab patterns acceptors --idle 64  threads on one accept queue
  echoloop lab patterns reuse_port --idle 1  threads with a queue each
  echoloop lab patterns process --idle 100   a program per client, as inetd
  echoloop lab patterns fork --idle 100      a process per client
  echoloop lab patterns thread               a thread per client
  echoloop lab patterns select --idle 900    one thread, up to fd 1,023
  echoloop lab patterns poll --idle 5k       one thread, a list of all clients
  echoloop lab patterns epoll_level --idle 5k
                                             one thread, a list in the kernel
  echoloop lab patterns epoll_edge           the same, each change once
  echoloop lab patterns uring                one thread, completions (io_uring)
  echoloop lab patterns echoloop             the server of this project

Each pattern is one file of at most 80 lines in src/lab/patterns/, which begins
with what it is good for and where it fails. Idle clients connect first: behind
as many of them as a pool has places, it replies to none.";

/// Compare server architectures under one load
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Measure these patterns only
    #[arg(value_name = "NAME", value_parser = by(pattern))]
    names: Vec<&'static Pattern>,

    /// Connect N idle clients first
    #[arg(long, value_name = "N", default_value = "1000", value_parser = by(units::count))]
    idle: usize,

    /// Then echo on N active clients
    #[arg(short = 'c', long, value_name = "N", default_value = "50", value_parser = by(units::positive_count))]
    active: usize,

    /// Measure each pattern for 1 s instead of 3 s, and with fewer points in the charts
    #[arg(long)]
    quick: bool,

    /// Measure all patterns N times in turn, and show of each the run with the median CPU time
    #[arg(long, value_name = "N", default_value = "1", value_parser = by(units::positive_count))]
    rounds: usize,

    /// Print the comparison in this format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,

    /// Write one self-contained HTML page with charts, for which more numbers of idle clients are measured
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

fn pattern(name: &str) -> Result<&'static Pattern, String> {
    Pattern::find(name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|pattern| pattern.name).collect();
        format!("no such pattern: choose from {}", names.join(", "))
    })
}

impl Flags {
    /// Measures the patterns and prints the comparison.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(path) = &self.report {
            try_file(path)?;
        }
        let limit = raise_fd_limit();
        if needed_fds(self.idle) > limit {
            return Err(too_many(self.idle, limit));
        }
        let plan = self.plan(limit);
        let chosen: Vec<&Pattern> = match self.names.as_slice() {
            [] => ALL.iter().collect(),
            names => names.to_vec(),
        };
        let mut progress = |line: &str| {
            if log::max_level() > LevelFilter::Error {
                logging::print_line(line);
            }
        };
        let comparison = experiment::compare(&chosen, &plan, &mut progress).map_err(|error| {
            let remedy = "try fewer --idle clients; `echoloop doctor --role both` shows the limits";
            Failure::new("cannot compare the patterns", error, remedy)
        })?;
        match self.output {
            Format::Text => to_stdout(experiment::text(&comparison))?,
            Format::Json => to_stdout(pretty_json(&comparison)?)?,
        }
        if let Some(path) = &self.report {
            to_file(path, &experiment::page(&comparison))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn plan(&self, limit: u64) -> Plan {
        let sizes: &[usize] = match (&self.report, self.quick) {
            (None, _) => &[],
            (Some(_), true) => &[1, 10],
            (Some(_), false) => &[1, 10, 100, 1000, 10_000],
        };
        let (sizes, beyond): (Vec<usize>, Vec<usize>) =
            sizes.iter().partition(|size| needed_fds(**size) <= limit);
        for size in beyond {
            log::warn!("{}; the charts end below", too_many(size, limit));
        }
        Plan {
            idle: self.idle,
            active: self.active,
            rate: 5000,
            seconds: if self.quick { 1 } else { 3 },
            rounds: self.rounds,
            workers: WORKERS,
            sizes,
        }
    }
}

/// Threads or processes of a pool.
const WORKERS: usize = 64;

fn too_many(idle: usize, limit: u64) -> Failure {
    let what = format!("cannot connect {} idle clients", grouped(idle as u64));
    let reason = format!("this process may open {} files", grouped(limit));
    Failure::new(
        what,
        reason,
        "`echoloop doctor --role load` shows how to raise the limit",
    )
}

/// Serve with one pattern on a free port, which is printed
#[derive(Debug, Args)]
pub(super) struct ServeFlags {
    #[arg(value_name = "NAME", value_parser = by(pattern))]
    name: &'static Pattern,

    /// Serve N clients at a time, if the pattern has a fixed number of threads or processes
    #[arg(long, value_name = "N", default_value = "64", value_parser = by(units::positive_count))]
    workers: usize,
}

impl ServeFlags {
    /// Serves until it is killed, or its parent ends.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        end_with_parent(Signal::SIGKILL)?;
        raise_fd_limit();
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = self.name.bind(free_port);
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            Failure::new(
                "cannot listen on 127.0.0.1",
                error,
                "check the network of this host",
            )
        })?;
        to_stdout(format!("{address}\n"))?;
        match self.name.serve(listener, self.workers) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // The reason alone: it is shown in a column.
            Err(error) => Err(Failure(error.to_string())),
        }
    }
}
