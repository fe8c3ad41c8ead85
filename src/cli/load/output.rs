//! The result on stdout, and in a file.

use crate::cli::Failure;
use crate::cli::output::{as_json, text, to_file, to_stdout};
use crate::load::{Config, Interval, LoadResult, SCHEMA, Saved, WallTime, host_name};
use clap::ValueEnum;
use serde::Serialize;
use std::path::Path;

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
    Jsonl,
}

/// One line of `-o jsonl`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record<'a> {
    Start {
        schema: u32,
        target: String,
        begun: String,
        configuration: crate::load::Configuration,
    },
    Interval(&'a Interval),
    End(&'a LoadResult),
}

/// The line of `-o jsonl` that says that it begins.
pub(super) fn start_line(config: &Config, begun: WallTime) -> Result<String, Failure> {
    line(&Record::Start {
        schema: SCHEMA,
        target: config.target.to_string(),
        begun: begun.to_string(),
        configuration: config.to_saved(),
    })
}

/// The line of `-o jsonl` that says what a second has brought.
pub(super) fn interval_line(interval: &Interval) -> Result<String, Failure> {
    line(&Record::Interval(interval))
}

/// Says what was found.
pub(super) fn end(output: Output, saved: &Saved) -> Result<(), Failure> {
    let result = &saved.result;
    match output {
        Output::Text => to_stdout(text(saved)),
        Output::Json => to_stdout(as_json(serde_json::to_string_pretty(result))? + "\n"),
        Output::Jsonl => to_stdout(line(&Record::End(result))?),
    }
}

/// Adds the host and the command line.
pub(super) fn add_origin(saved: &mut Saved) {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    saved.host = host_name();
    saved.command = command.collect();
}

/// Saves all of it.
pub(super) fn save(path: &Path, saved: &Saved) -> Result<(), Failure> {
    to_file(path, &(as_json(serde_json::to_string(saved))? + "\n"))
}

fn line(record: &Record<'_>) -> Result<String, Failure> {
    Ok(as_json(serde_json::to_string(record))? + "\n")
}
