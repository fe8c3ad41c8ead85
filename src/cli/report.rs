//! `echoloop report`: saved results merged into one report.

use super::output::{pretty_json, save_files, text, to_stdout};
use super::{Failure, exit_code};
use crate::load::Condition;
use crate::report::{self, Input, Targets};
use clap::{Args, ValueEnum};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop load :8000 --save run.json     save a run
  echoloop report run.json --report run.html
                                          show it as text and as an HTML page
  echoloop report a.json b.json --save both.json
                                          merge the results of two loads
  echoloop report run-*.json --expect 'p99<5ms' --expect lost=0
                                          exit with 3 unless both hold
  ssh host cat run.json | echoloop report - -o html > page.html
                                          a remote run as an HTML page

Histograms are added; percentiles are never averaged. Seconds are aligned by
the wall clock, so start the measurements together with `load --start-at`.
Incompatible results are rejected with a reason, such as different message
sizes, a schedule and a closed loop, or times that do not overlap. A server
process that several loads on its host watched is counted once.";

/// Merge saved results into one report
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Read files written by `echoloop load --save`; - is stdin
    #[arg(value_name = "FILE.json", required = true)]
    files: Vec<PathBuf>,

    /// Print the result in this format
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Output,

    /// Also write one self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Save the merged result, histograms included, for another `echoloop report`
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// Exit with 3 unless EXPR holds for the merged result: p99<5ms, rate>100k, lost=0 (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Condition>,

    /// Add up results of different targets: several servers, or one with several addresses
    #[arg(long)]
    across_targets: bool,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Html,
}

impl Flags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.files.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err("stdin can be read once only: give - once, and files beside it".to_owned());
        }
        Ok(())
    }

    /// Merges the files and reports the result.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let inputs = self.files.iter().map(|path| read(path));
        let inputs: Vec<Input> = inputs.collect::<Result<_, _>>()?;
        let targets = if self.across_targets {
            Targets::Several
        } else {
            Targets::One
        };
        let mut saved = report::merge(inputs, targets).map_err(Failure)?;
        let conditions = self.expect.iter();
        let checked: Vec<_> = conditions
            .map(|condition| condition.check(&saved.result))
            .collect();
        let is_met = checked.iter().all(|expected| expected.met);
        // These conditions are for the merged result, those in the files for one result each.
        if !checked.is_empty() {
            saved.result.expect = checked;
        }
        to_stdout(match self.output {
            Output::Text => text(&saved),
            Output::Json => pretty_json(&saved.result)?,
            Output::Html => report::html(&saved),
        })?;
        save_files(self.save.as_ref(), self.report.as_ref(), &saved)?;
        Ok(exit_code(is_met))
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Input, Failure> {
    let (name, result) = if is_stdin(path) {
        let text = io::read_to_string(io::stdin());
        ("stdin".to_owned(), text.map(String::into_bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    let bytes = result.map_err(|error| {
        let remedy = "give a file written by `echoloop load --save`";
        Failure::new(format!("cannot read {name}"), error, remedy)
    })?;
    Input::read(&name, &bytes)
        .map_err(|why| Failure(report::printable(&format!("cannot use {name}: {why}"))))
}
