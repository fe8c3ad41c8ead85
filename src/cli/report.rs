//! `echoloop report`: saved results merged into one report, or two of them compared.

mod compare;
mod input;

use super::output::{is_stdout, pretty_json, save_files, text, to_file, to_stdout, to_stream};
use super::{Failure, exit_code};
use crate::load::Saved;
use crate::report::{self, Expected, Targets};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
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
  echoloop report --compare old.json new.json --expect 'p99<+10%'
                                          what differs, and what is noise
  echoloop report part-*.json --parts 4   four parts of one load, or exit 1
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
    /// Read files written by `echoloop load --save`, with one result or one per line; - is stdin
    #[arg(value_name = "FILE.json", required = true)]
    files: Vec<PathBuf>,

    /// Print the result in this format; csv: a line per second
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Also write one self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Save the merged result, histograms included, for another `echoloop report`; -: as one line on stdout, text then
    /// goes to stderr
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,

    /// Exit with 3 unless EXPR holds for the merged result: p99<5ms, rate>100k, lost=0 (repeatable)
    #[arg(long, value_name = "EXPR")]
    expect: Vec<Expected>,

    /// Add up results of different targets: several servers, or one with several addresses
    #[arg(long)]
    across_targets: bool,

    /// Also write the response times as a percentile distribution, in milliseconds
    #[arg(long, value_name = "FILE.hgrm")]
    hgrm: Option<PathBuf>,

    #[command(flatten)]
    parts: input::PartsFlags,

    #[command(flatten)]
    comparing: compare::CompareFlags,
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Html,
    Csv,
}

impl Flags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_stdin()?;
        if self.saves_to_stdout() && self.output != Output::Text {
            return Err("--save - and -o both write to stdout: leave one of them out".to_owned());
        }
        compare::check(self)
    }

    /// Merges the files and reports the result.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut inputs = self.read()?;
        if self.comparing.is_wanted() {
            return compare::run(&self, inputs.require_all()?);
        }
        let missing = inputs.check_parts(&self.parts)?;
        let targets = if self.across_targets {
            Targets::Several
        } else {
            Targets::One
        };
        let all = std::mem::take(&mut inputs.all);
        let mut saved = report::merge(all, targets).map_err(Failure)?;
        if let Some(missing) = &missing {
            report::put_first(&mut saved, missing);
        }
        let conditions = self.expect.iter();
        let checked: Vec<_> = conditions
            .map(|condition| condition.check(&saved.result))
            .collect();
        let is_met = checked.iter().all(|expected| expected.met);
        // These conditions are for the merged result, those in the files for one result each.
        if !checked.is_empty() {
            saved.result.expect = checked;
        }
        self.publish(&saved)?;
        match missing {
            Some(missing) => Err(inputs.incomplete(&missing)),
            None => Ok(exit_code(is_met)),
        }
    }

    fn saves_to_stdout(&self) -> bool {
        self.save.as_deref().is_some_and(is_stdout)
    }

    /// Writes the result to stdout and to all files.
    fn publish(&self, saved: &Saved) -> Result<(), Failure> {
        match self.output {
            Output::Text => to_stream(&text(saved), self.saves_to_stdout())?,
            Output::Json => to_stdout(pretty_json(&saved.result)?)?,
            Output::Html => to_stdout(report::html(saved))?,
            Output::Csv => to_stdout(report::csv(saved))?,
        }
        save_files(self.save.as_ref(), self.report.as_ref(), saved)?;
        let hgrm = self.hgrm.as_ref();
        hgrm.map_or(Ok(()), |path| to_file(path, &report::hgrm(saved)))
    }
}
