//! `echoloop lab trap`.

use crate::cli::output::to_stdout;
use crate::cli::{Failure, exit_code};
use crate::lab::traps::{self, TRAPS, Trap, Version};
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use std::ffi::OsStr;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop lab trap                    the traps, one per line
  echoloop lab trap edge               both versions, and why they differ
  echoloop lab trap edge --wrong       the version with the mistake only, and
                                       no reason: find it

Each takes at most 5 s, on loopback, and needs no privileges.

Exit codes: 0 the result is as predicted; 1 the experiment could not be run;
2 wrong usage; 3 the result differs from the prediction.";

/// Run a mistake and its remedy, and show both results
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// The trap to run; without a name, list all
    #[arg(value_name = "NAME", value_parser = TrapName, hide_possible_values = true)]
    name: Option<&'static Trap>,

    /// Run the wrong version only
    #[arg(long, requires = "name", conflicts_with = "right")]
    wrong: bool,

    /// Run the right version only
    #[arg(long, requires = "name")]
    right: bool,

    /// Print the outcome as one line for the parent process
    #[arg(long, requires = "name", hide = true)]
    in_child: bool,
}

impl Flags {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let versions: &[Version] = match (self.wrong, self.right) {
            (true, _) => &[Version::Wrong],
            (_, true) => &[Version::Right],
            _ => &[Version::Wrong, Version::Right],
        };
        match self.name {
            None => to_stdout(traps::list()).map(|()| ExitCode::SUCCESS),
            Some(trap) if self.in_child => run_in_child(trap, versions),
            Some(trap) => run(trap, versions),
        }
    }
}

/// Prints the prediction before the experiment, and the results as they come.
fn run(trap: &Trap, versions: &[Version]) -> Result<ExitCode, Failure> {
    to_stdout(traps::prediction(trap, versions))?;
    let mut is_as_predicted = true;
    for version in versions {
        let outcome = trap
            .run(*version)
            .map_err(|error| cannot_run(trap, error))?;
        is_as_predicted &= outcome.is_as_predicted(*version);
        to_stdout(traps::result(*version, versions, &outcome))?;
    }
    to_stdout(traps::explanation(trap, versions))?;
    Ok(exit_code(is_as_predicted))
}

fn run_in_child(trap: &Trap, versions: &[Version]) -> Result<ExitCode, Failure> {
    for version in versions {
        let outcome = trap.run_here(*version);
        to_stdout(outcome.map_err(|error| cannot_run(trap, error))?.line())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cannot_run(trap: &Trap, error: impl std::fmt::Display) -> Failure {
    let what = format!("cannot run the trap {}", trap.name);
    Failure::new(what, error, "run it again, or another one")
}

/// Parses the name of a trap. An unknown one is an error with the most similar name.
#[derive(Clone)]
struct TrapName;

impl TypedValueParser for TrapName {
    type Value = &'static Trap;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<&'static Trap, clap::Error> {
        let name = value.to_string_lossy();
        Trap::find(&name).ok_or_else(|| {
            let similar = traps::similar(&name);
            let tip = similar.map(|name| format!("; did you mean {name}?"));
            let tip = tip.unwrap_or_default();
            let shown: String = name.escape_debug().take(20).collect();
            let wrong =
                format!("there is no trap '{shown}'{tip}\n\n'echoloop lab trap' lists all traps\n");
            clap::Error::raw(ErrorKind::InvalidValue, wrong).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = TRAPS.map(|trap| PossibleValue::new(trap.name).help(trap.sentence));
        Some(Box::new(values.into_iter()))
    }
}
