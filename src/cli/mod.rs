//! The command line: arguments in, checked configurations out.
//!
//! One file per subcommand: its flags, its help, and the call that runs it. The work is done by the other modules.

mod connecting;
mod doctor;
mod examples;
mod load;
mod manual;
mod output;
mod ping;
mod protocol;
mod report;
mod send;
mod serve;
mod units;

use crate::net::{self, MioNet};
use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};
use connecting::cannot_start;
use log::LevelFilter;
use std::fmt::{self, Display};
use std::process::ExitCode;

/// The program ran, but a threshold was missed.
const EXIT_MISSED: u8 = 3;

/// A TCP echo daemon, and a load tester for very many idle connections.
#[derive(Debug, Parser)]
#[command(
    name = "echoloop",
    version,
    propagate_version = true,
    max_term_width = 80
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Log more: each connection (-v), and all received data (-vv)
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 900)]
    verbose: u8,

    /// Log errors only
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        display_order = 901
    )]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Flags),
    Send(send::Flags),
    Ping(ping::Flags),
    Doctor(doctor::Flags),
    Load(Box<load::Flags>),
    Report(report::Flags),
    #[command(hide = true)]
    Manual(manual::ManualFlags),
    #[command(hide = true)]
    Completions(manual::CompletionsFlags),
}

/// Why a command failed, in one line: what failed, on what, the reason, and what to do.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    fn new(what: impl Display, reason: impl Display, remedy: impl Display) -> Failure {
        Failure(format!("{what}: {reason}; {remedy}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cli {
    /// Parses the arguments. Wrong usage ends the program with exit code 2 and a message that names it.
    #[must_use]
    pub fn from_arguments() -> Cli {
        let cli = Cli::parse();
        if let Err(wrong) = cli.check() {
            clap::Error::raw(ErrorKind::ArgumentConflict, wrong + "\n").exit();
        }
        cli
    }

    /// Checks flags against each other, which clap has checked one by one. The error names what to change.
    fn check(&self) -> Result<(), String> {
        match &self.command {
            Command::Serve(flags) => flags.check(),
            Command::Send(flags) => flags.check(),
            Command::Ping(flags) => flags.check(),
            Command::Load(flags) => flags.check(),
            Command::Report(flags) => flags.check(),
            Command::Doctor(_) | Command::Manual(_) | Command::Completions(_) => Ok(()),
        }
    }

    /// The log level, by the flags or else by `ECHOLOOP_LOG`.
    ///
    /// # Errors
    /// `ECHOLOOP_LOG` holds no level.
    pub fn log_level(&self) -> Result<LevelFilter, Failure> {
        let level = std::env::var("ECHOLOOP_LOG").unwrap_or_default();
        match (self.quiet, self.verbose) {
            (true, _) => Ok(LevelFilter::Error),
            (false, 1) => Ok(LevelFilter::Debug),
            (false, 2..) => Ok(LevelFilter::Trace),
            (false, 0) if level.is_empty() => Ok(LevelFilter::Info),
            (false, 0) => level.parse().map_err(|_| {
                Failure(format!(
                    "ECHOLOOP_LOG={level:?} is not a level: \
                     set it to off, error, warn, info, debug or trace"
                ))
            }),
        }
    }

    /// Runs the command and returns the exit code.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Serve(flags) => flags.run(),
            Command::Send(flags) => flags.run(),
            Command::Ping(flags) => flags.run(self.quiet),
            Command::Doctor(flags) => flags.run(),
            Command::Load(flags) => flags.run(),
            Command::Report(flags) => flags.run(),
            Command::Manual(flags) => flags.run(),
            Command::Completions(flags) => flags.run(),
        }
    }
}

/// Raises the soft limit of file descriptors to the hard limit and returns it; on failure, its usual value.
fn raise_fd_limit() -> u64 {
    net::raise_fd_limit().unwrap_or_else(|error| {
        log::warn!("cannot raise the limit of open file descriptors: {error}");
        1024
    })
}

/// The network of a client that sends on schedule and ends on a signal.
fn scheduling_net() -> Result<MioNet, Failure> {
    MioNet::with_signals()
        .and_then(|mut net| net.use_precise_timer().map(|()| net))
        .map_err(|error| cannot_start(&error))
}

/// A name without an address; `what` is the command's verb.
fn unresolved(what: &str, name: &str, error: impl Display) -> Failure {
    Failure(format!(
        "cannot {what} {name}: the name does not resolve ({error}); \
         check the spelling, or give an address such as 127.0.0.1:8000"
    ))
}

/// The exit code of a command that ran to its end.
fn exit_code(has_met_thresholds: bool) -> ExitCode {
    ExitCode::from(if has_met_thresholds { 0 } else { EXIT_MISSED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flag_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_subcommand_fits_80_columns() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands_mut() {
            // As written too, since clap wraps a longer line, and with it the columns of an example.
            let written = command.get_after_help().cloned().unwrap_or_default();
            for help in [command.render_help(), command.render_long_help(), written] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
        }
    }
}
