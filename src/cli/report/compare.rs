//! `echoloop report --compare`: two saved results side by side.

use super::{Flags, Output};
use crate::cli::output::{pretty_json, to_file, to_stdout};
use crate::cli::{Failure, exit_code};
use crate::report::{self, Input};
use clap::Args;
use std::process::ExitCode;

/// The flag of a comparison.
#[derive(Debug, Args)]
pub(super) struct CompareFlags {
    /// Compare two runs, BASE.json and NEW.json: what differs significantly; --expect may be relative: p99<+10%
    #[arg(long)]
    compare: bool,
}

impl CompareFlags {
    /// Whether the files are to be compared instead of merged.
    pub(super) fn is_wanted(&self) -> bool {
        self.compare
    }
}

/// Checks the flags of a comparison against all others.
pub(super) fn check(flags: &Flags) -> Result<(), String> {
    if !flags.comparing.compare {
        let is_relative = flags.expect.iter().any(report::Expected::is_relative);
        return if is_relative {
            Err("an expectation such as p99<+10% needs --compare BASE.json NEW.json".to_owned())
        } else {
            Ok(())
        };
    }
    let unsuitable = [
        ("--save", flags.save.is_some()),
        ("--hgrm", flags.hgrm.is_some()),
        ("--across-targets", flags.across_targets),
        ("--parts", flags.parts.is_given()),
        ("-o csv", flags.output == Output::Csv),
    ];
    if let Some((flag, _)) = unsuitable.iter().find(|(_, is_given)| *is_given) {
        return Err(format!(
            "--compare and {flag} exclude each other: {flag} is for one result"
        ));
    }
    match flags.files.len() {
        2 => Ok(()),
        count => Err(format!(
            "--compare needs two files, BASE.json and NEW.json, not {count}: merge several runs with --save first"
        )),
    }
}

/// Compares the two inputs and reports the result.
pub(super) fn run(flags: &Flags, inputs: Vec<Input>) -> Result<ExitCode, Failure> {
    let inputs: Result<[Input; 2], _> = inputs.try_into();
    let [base, new] = inputs.map_err(|_| Failure("--compare needs two files".to_owned()))?;
    let mut comparison = report::compare(base, new).map_err(Failure)?;
    let conditions = flags.expect.iter();
    let checked: Vec<_> = conditions
        .map(|condition| condition.check_comparison(&comparison))
        .collect();
    let is_met = checked.iter().all(|expected| expected.met);
    comparison.expect = checked;
    to_stdout(match flags.output {
        Output::Json => pretty_json(&comparison.record())?,
        Output::Html => report::comparison_html(&comparison),
        Output::Text | Output::Csv => report::comparison_text(&comparison),
    })?;
    if let Some(path) = &flags.report {
        to_file(path, &report::comparison_html(&comparison))?;
    }
    Ok(exit_code(is_met))
}
