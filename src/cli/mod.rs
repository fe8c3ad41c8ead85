//! The command line: arguments in, checked configurations out.
//!
//! One file per subcommand: its flags, its help, and the call that runs it. The work is done by the other modules.

mod addresses;
mod connecting;
mod doctor;
mod environment;
mod examples;
mod hints;
#[cfg(feature = "lab")]
mod lab;
mod load;
mod manual;
mod output;
mod ping;
mod protocol;
mod report;
mod send;
mod serve;
mod tls;
mod trace;
mod units;
mod upgrade;
mod userspace;
mod value;

use crate::logging;
use crate::net::{MioNet, Traced};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use connecting::cannot_start;
use log::LevelFilter;
use nix::sys::signal::Signal;
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
    Serve(Box<serve::Flags>),
    Upgrade(upgrade::Flags),
    Send(send::Flags),
    Ping(ping::Flags),
    Doctor(doctor::Flags),
    Load(Box<load::Flags>),
    Report(report::Flags),
    #[cfg(feature = "lab")]
    Lab(lab::Flags),
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
        let arguments: Vec<_> = std::env::args_os().collect();
        let matches = command().try_get_matches_from(&arguments);
        let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        let cli = parsed.unwrap_or_else(|mut error| {
            hints::add_tip(&mut error, &arguments);
            environment::name_source(&mut error, &arguments);
            error.exit()
        });
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
            Command::Upgrade(_)
            | Command::Doctor(_)
            | Command::Manual(_)
            | Command::Completions(_) => Ok(()),
            #[cfg(feature = "lab")]
            Command::Lab(_) => Ok(()),
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

    /// The form of log lines.
    #[must_use]
    pub fn log_format(&self) -> logging::Format {
        match &self.command {
            Command::Serve(flags) => flags.log_format(),
            _ => logging::Format::Text,
        }
    }

    /// Runs the command and returns the exit code.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Serve(flags) => flags.run(),
            Command::Upgrade(flags) => flags.run(),
            Command::Send(flags) => flags.run(),
            Command::Ping(flags) => flags.run(self.quiet),
            Command::Doctor(flags) => flags.run(),
            Command::Load(flags) => flags.run(),
            Command::Report(flags) => flags.run(),
            #[cfg(feature = "lab")]
            Command::Lab(flags) => flags.run(),
            Command::Manual(flags) => flags.run(),
            Command::Completions(flags) => flags.run(),
        }
    }
}

/// The command line, with environment variables for flags.
fn command() -> clap::Command {
    environment::with_variables(Cli::command())
}

/// Raises the soft limit of file descriptors to the hard limit and returns it; on failure, its usual value.
fn raise_fd_limit() -> u64 {
    crate::doctor::raise_fd_limit().unwrap_or_else(|error| {
        log::warn!("cannot raise the limit of open file descriptors: {error}");
        1024
    })
}

/// Has `signal` sent to this process when its parent ends (prctl(2), `PR_SET_PDEATHSIG`).
fn end_with_parent(signal: Signal) -> Result<(), Failure> {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(signal)
        .map_err(|error| Failure(format!("cannot watch the parent process: {error}")))?;
    // The parent may have ended before the call; then this process has another one now.
    if nix::unistd::getppid() == parent {
        Ok(())
    } else {
        Err(Failure("the parent process has ended".to_owned()))
    }
}

/// The network of a client that sends on schedule and ends on a signal.
fn scheduling_net() -> Result<Traced<MioNet>, Failure> {
    MioNet::with_signals()
        .and_then(|mut net| net.use_precise_timer().map(|()| Traced::new(net)))
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

    #[test]
    fn flag_definitions_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_of_every_subcommand_fits_80_columns() {
        let mut cli = command();
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
