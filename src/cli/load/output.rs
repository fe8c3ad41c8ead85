//! The result on stdout.

use crate::cli::Failure;
use crate::cli::output::{json_line, pretty_json, text, to_stdout};
use crate::load::{
    Config, Configuration, Interval, LoadResult, SCHEMA, Saved, WallTime, host_name,
};
use clap::ValueEnum;
use serde::Serialize;

/// The format of the result.
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
        configuration: Configuration,
    },
    Interval(&'a Interval),
    End(&'a LoadResult),
}

/// The first line of `-o jsonl`.
pub(super) fn start_line(config: &Config, begun: WallTime) -> Result<String, Failure> {
    json_line(&Record::Start {
        schema: SCHEMA,
        target: config.target.to_string(),
        begun: begun.to_string(),
        configuration: config.to_saved(),
    })
}

/// The line of `-o jsonl` for one second.
pub(super) fn interval_line(interval: &Interval) -> Result<String, Failure> {
    json_line(&Record::Interval(interval))
}

/// Prints the result.
pub(super) fn print(output: Output, saved: &Saved) -> Result<(), Failure> {
    to_stdout(match output {
        Output::Text => text(saved),
        Output::Json => pretty_json(&saved.result)?,
        Output::Jsonl => json_line(&Record::End(&saved.result))?,
    })
}

/// Adds the host and the command line.
pub(super) fn add_origin(saved: &mut Saved) {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    saved.host = host_name();
    saved.command = command.collect();
}
