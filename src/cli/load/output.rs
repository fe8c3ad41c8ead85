//! The result on stdout.

use crate::cli::Failure;
use crate::cli::output::{json_line, pretty_json, text, to_stdout, to_stream};
use crate::load::{
    Config, Configuration, HostId, Interval, LoadResult, SCHEMA, Saved, WallTime, host_name,
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
        configuration: Box<Configuration>,
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
        configuration: Box::new(config.to_saved()),
    })
}

/// The line of `-o jsonl` for one second.
pub(super) fn interval_line(interval: &Interval) -> Result<String, Failure> {
    json_line(&Record::Interval(interval))
}

/// Prints the result; text goes to stderr if stdout is for the saved result.
pub(super) fn print(output: Output, saved: &Saved, is_stdout_taken: bool) -> Result<(), Failure> {
    match output {
        Output::Text => to_stream(&text(saved), is_stdout_taken),
        Output::Json => to_stdout(pretty_json(&saved.result)?),
        Output::Jsonl => to_stdout(json_line(&Record::End(&saved.result))?),
    }
}

/// Adds the host and the command line.
pub(super) fn add_origin(saved: &mut Saved) {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    saved.host = host_name();
    saved.host_id = HostId::of_this_process();
    saved.command = command.collect();
}
