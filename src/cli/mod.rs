//! The command line: what was typed, turned into checked configurations.
//!
//! One file a subcommand. What a subcommand does is done elsewhere; here it is named, explained and started.

mod connecting;
mod doctor;
mod examples;
mod load;
mod manual;
mod output;
mod ping;
mod report;
mod send;
mod serve;
mod units;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand};
use log::LevelFilter;
use std::fmt;
use std::process::ExitCode;

/// The exit code when all ran, and an expectation was missed.
const MISSED: u8 = 3;

/// A TCP echo daemon, and a load tester for very many idle connections.
#[derive(Debug, Parser)]
#[command(name = "echoloop", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
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

#[derive(Debug, Args)]
struct Verbosity {
    /// Log more: each connection (-v), and all that is received (-vv)
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 900)]
    verbose: u8,
    /// Log nothing but what ends the program
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        display_order = 901
    )]
    quiet: bool,
}

/// Why a command failed: what, on what, why, and what to do about it, in one line.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cli {
    /// What was typed. Wrong usage ends the program here, with exit code 2 and what was wrong.
    #[must_use]
    pub fn from_arguments() -> Cli {
        let cli = Cli::parse();
        if let Err(wrong) = cli.check() {
            clap::Error::raw(ErrorKind::ArgumentConflict, wrong + "\n").exit();
        }
        cli
    }

    /// Whether flags, each of which is right by itself, go together. If they do not: what is wrong, and what to do.
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

    /// How much to log, by the flags, or else by `ECHOLOOP_LOG`.
    ///
    /// # Errors
    /// `ECHOLOOP_LOG` holds something that is not a level.
    pub fn log_level(&self) -> Result<LevelFilter, Failure> {
        match (self.verbosity.quiet, self.verbosity.verbose) {
            (true, _) => Ok(LevelFilter::Error),
            (false, 1) => Ok(LevelFilter::Debug),
            (false, 2..) => Ok(LevelFilter::Trace),
            (false, 0) => match std::env::var("ECHOLOOP_LOG") {
                Err(_) => Ok(LevelFilter::Info),
                Ok(level) if level.is_empty() => Ok(LevelFilter::Info),
                Ok(level) => level.parse().map_err(|_| {
                    Failure(format!(
                        "ECHOLOOP_LOG={level:?} is not a level: \
                         set it to off, error, warn, info, debug or trace"
                    ))
                }),
            },
        }
    }

    /// Runs the command; the exit code says how it went.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Serve(flags) => flags.run(),
            Command::Send(flags) => flags.run(),
            Command::Ping(flags) => flags.run(self.verbosity.quiet),
            Command::Doctor(flags) => flags.run(),
            Command::Load(flags) => flags.run(),
            Command::Report(flags) => flags.run(),
            Command::Manual(flags) => flags.run(),
            Command::Completions(flags) => flags.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
