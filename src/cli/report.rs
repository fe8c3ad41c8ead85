//! `echoloop report`: saved results as one report.

use super::output::{as_json, text, to_file, to_stdout};
use super::{Failure, MISSED};
use crate::load::Condition;
use crate::report::{self, Input, Targets};
use clap::{Args, ValueEnum};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop load :8000 --save run.json                        save a run
  echoloop report run.json --report run.html                 read it, here and as a page with charts
  echoloop report a.json b.json --save both.json             add up what two processes or hosts have found
  echoloop report run-*.json --expect 'p99<5ms' --expect lost=0
                                                             exit code 3 if all of them together miss that
  ssh host cat run.json | echoloop report - -o html > page.html
                                                             a run of another host, as a page

Histograms are added, never percentiles averaged; seconds are aligned by the wall clock, so begin the measured parts
together with `load --start-at`. Results that do not fit together are refused with the reason: other message sizes,
pipelines, churn, schedule or none, times that do not overlap, the same run twice. One server process that several loads
on its host have watched counts once.";

/// Merge saved results into one report
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// What `echoloop load --save` has written; `-` is stdin
    #[arg(value_name = "FILE.json", required = true)]
    files: Vec<PathBuf>,

    /// How the result is written to stdout
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Output,

    /// Also write one self-contained page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Save everything, histograms included, to be merged again
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// What must hold for all together, or the exit code is 3: p99<5ms, rate>100k, lost=0 (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Condition>,

    /// Add up results of different targets: several servers, or one under several addresses
    #[arg(long)]
    across_targets: bool,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Html,
}

impl Flags {
    /// What is wrong with the flags together, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        let from_stdin = self.files.iter().filter(|path| is_stdin(path));
        if from_stdin.count() > 1 {
            return Err("stdin can be read once only: give - once, and files beside it".to_owned());
        }
        Ok(())
    }

    /// Merges, and says what came of it.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let inputs: Result<Vec<Input>, Failure> =
            self.files.iter().map(|path| read(path)).collect();
        let targets = if self.across_targets {
            Targets::Several
        } else {
            Targets::One
        };
        let mut saved = report::merge(inputs?, targets).map_err(Failure)?;
        let checked: Vec<_> = self
            .expect
            .iter()
            .map(|condition| condition.check(&saved.result))
            .collect();
        let is_met = checked.iter().all(|expected| expected.met);
        // What is expected here is of all of them, what was expected there of each.
        if !checked.is_empty() {
            saved.result.expect = checked;
        }
        match self.output {
            Output::Text => to_stdout(text(&saved))?,
            Output::Json => {
                let text = as_json(serde_json::to_string_pretty(&saved.result))?;
                to_stdout(text + "\n")?;
            }
            Output::Html => to_stdout(report::html(&saved))?,
        }
        if let Some(path) = &self.report {
            to_file(path, &report::html(&saved))?;
        }
        if let Some(path) = &self.save {
            to_file(path, &(as_json(serde_json::to_string(&saved))? + "\n"))?;
        }
        Ok(if is_met {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(MISSED)
        })
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Input, Failure> {
    let name = if is_stdin(path) {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let bytes = if is_stdin(path) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|error| {
        Failure(format!(
            "cannot read {name}: {error}; give a file that `echoloop load --save` has written"
        ))
    })?;
    Input::read(&name, &bytes)
        .map_err(|why| Failure(report::printable(&format!("cannot use {name}: {why}"))))
}
