//! The result on stdout, and in a file.

use crate::cli::Failure;
use crate::load::{Config, Finding, Interval, LoadResult, SCHEMA, WallTime, host_name};
use crate::report;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};
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

/// Says that it begins, in the form that has a line for that.
pub(super) fn start(output: Output, config: &Config, begun: WallTime) {
    if output == Output::Jsonl {
        let record = Record::Start {
            schema: SCHEMA,
            target: config.target.to_string(),
            begun: begun.to_string(),
            configuration: config.to_saved(),
        };
        let _ = write_line(&record);
    }
}

/// Says what a second has brought, in the form that has a line for that.
pub(super) fn interval(interval: &Interval) {
    let _ = write_line(&Record::Interval(interval));
}

/// Says what was found.
pub(super) fn end(output: Output, result: &LoadResult) -> Result<(), Failure> {
    let written = match output {
        Output::Text => write(report::text(result).as_bytes()),
        Output::Json => serde_json::to_string_pretty(result)
            .map_err(io::Error::from)
            .and_then(|text| write(format!("{text}\n").as_bytes())),
        Output::Jsonl => write_line(&Record::End(result)),
    };
    match written {
        // Nobody reads on; that is no fault of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure(format!(
            "cannot write the result to stdout: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

/// Saves all of it.
pub(super) fn save(path: &Path, finding: &Finding, config: &Config) -> Result<(), Failure> {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let saved = finding.to_saved(config, host_name(), command.collect());
    let text = serde_json::to_string(&saved).map_err(io::Error::from);
    text.and_then(|text| std::fs::write(path, format!("{text}\n")))
        .map_err(|error| {
            Failure(format!(
                "cannot save to {}: {error}; check the folder and its permissions",
                path.display()
            ))
        })
}

fn write_line(record: &Record<'_>) -> io::Result<()> {
    let text = serde_json::to_string(record)?;
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
