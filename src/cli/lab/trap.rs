//! `echoloop lab trap`.

use crate::cli::output::{to_file, to_stdout, try_file};
use crate::cli::{Failure, exit_code};
use crate::lab::traps::{self, TRAPS, TracedRun, Trap, Version};
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop lab trap                    the traps, one per line
  echoloop lab trap edge               both versions, and why they differ
  echoloop lab trap edge --wrong       the version with the mistake only, and
                                       no reason: find it
  echoloop lab trap edge --trace edge.json --html pages
                                       the system calls of both versions, for
                                       https://ui.perfetto.dev and as pages

Each takes at most 5 s, on loopback, and needs no privileges. --trace and --html
run it in strace, which has to be installed and makes it slower. Without --wrong
and --right, FILE has both versions, one below the other (their tracks begin
with wrong: and right:), and DIR has a page for each.

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

    /// Write the timeline of its system calls to FILE, for the viewer Perfetto
    #[arg(long, requires = "name", value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Write a page with its system calls to DIR, as NAME-wrong.html and NAME-right.html
    #[arg(long, requires = "name", value_name = "DIR")]
    html: Option<PathBuf>,

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
            Some(trap) => self.run_trap(trap, versions),
        }
    }

    /// Prints the prediction before the experiment, and the results as they come.
    fn run_trap(&self, trap: &'static Trap, versions: &[Version]) -> Result<ExitCode, Failure> {
        let is_traced = self.trace.is_some() || self.html.is_some();
        self.try_files()?;
        to_stdout(traps::prediction(trap, versions))?;
        let mut is_as_predicted = true;
        let mut runs = Vec::new();
        for version in versions {
            let outcome = if is_traced {
                let run = trap.run_traced(*version);
                let run = run.map_err(|error| cannot_trace(trap, &error))?;
                let outcome = run.outcome.clone();
                runs.push(run);
                outcome
            } else {
                let outcome = trap.run(*version);
                outcome.map_err(|error| cannot_run(trap, error))?
            };
            is_as_predicted &= outcome.is_as_predicted(*version);
            to_stdout(traps::result(*version, versions, &outcome))?;
        }
        to_stdout(traps::explanation(trap, versions))?;
        self.write_files(&runs)?;
        Ok(exit_code(is_as_predicted))
    }

    /// Checks before the experiment that the files can be written.
    fn try_files(&self) -> Result<(), Failure> {
        if let Some(path) = &self.trace {
            try_file(path)?;
        }
        let Some(folder) = &self.html else {
            return Ok(());
        };
        fs::create_dir_all(folder).map_err(|error| {
            let what = format!("cannot create the directory {}", folder.display());
            Failure::new(what, error, "give --html one that this user may write")
        })
    }

    fn write_files(&self, runs: &[TracedRun]) -> Result<(), Failure> {
        if let Some(path) = &self.trace {
            to_file(path, &traps::chrome_trace(runs))?;
            to_stdout(written("trace", path))?;
        }
        let Some(folder) = &self.html else {
            return Ok(());
        };
        for (index, run) in runs.iter().enumerate() {
            let other = runs.get(1 - index).map(TracedRun::file_name);
            let path = folder.join(run.file_name());
            to_file(&path, &traps::page(run, other.as_deref()))?;
            to_stdout(written("page", &path))?;
        }
        Ok(())
    }
}

fn written(label: &str, path: &Path) -> String {
    format!("{label:12}{}\n", path.display())
}

fn cannot_trace(trap: &Trap, error: &std::io::Error) -> Failure {
    let remedy = match error.kind() {
        IoErrorKind::NotFound => "install strace (the package strace)",
        _ => "run it again, or without --trace and --html",
    };
    let what = format!("cannot run the trap {} in strace", trap.name);
    Failure::new(what, error, remedy)
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
