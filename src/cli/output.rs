//! Where results go: stdout, and files.

use super::Failure;
use crate::load::Saved;
use crate::net::MioNet;
use crate::report;
use clap::ValueEnum;
use serde::Serialize;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The format of a short result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Writes a result to stdout. A reader that has closed the pipe is no failure.
pub(super) fn to_stdout(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            "cannot write the result to stdout",
            error,
            "check where it is redirected to",
        )),
        _ => Ok(()),
    }
}

/// A result as text, with sparklines if the terminal shows them.
pub(super) fn text(saved: &Saved) -> String {
    let mut pieces = vec![report::text(&saved.result)];
    if !saved.parts.is_empty() {
        let (parts, host) = (saved.parts.len(), &saved.host);
        pieces.push(format!("merged          {parts} loads, on {host}\n"));
    }
    if can_draw() {
        pieces.push(report::sparklines(saved));
    }
    report::printable(&pieces.concat())
}

/// Writes a file, replacing an existing one.
pub(super) fn to_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| cannot_save(path, &error))
}

/// Checks before a long run that a file can be written, and leaves its content alone.
pub(super) fn try_file(path: &Path) -> Result<(), Failure> {
    let file = File::options().append(true).create(true).open(path);
    file.map(drop).map_err(|error| cannot_save(path, &error))
}

fn cannot_save(path: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot save to {}", path.display());
    Failure::new(what, error, "check the directory and its permissions")
}

/// A value as one line of JSON, with its newline.
pub(super) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    with_newline(serde_json::to_string(value))
}

/// A value as indented JSON, with a newline at the end.
pub(super) fn pretty_json(value: &impl Serialize) -> Result<String, Failure> {
    with_newline(serde_json::to_string_pretty(value))
}

pub(super) fn with_newline(json: serde_json::Result<String>) -> Result<String, Failure> {
    json.map(|json| json + "\n")
        .map_err(|error| Failure(format!("cannot write the result as JSON: {error}")))
}

/// Lets the event loop write to stdout.
pub(super) fn open_stdout(net: &mut MioNet) -> Result<(), Failure> {
    let taken = net.open_stdout();
    taken.map_err(|error| cannot_use("output", &error))
}

/// Standard input or output that the event loop cannot use.
pub(super) fn cannot_use(stream: &str, error: &io::Error) -> Failure {
    let what = format!("cannot use standard {stream}");
    Failure::new(what, error, "use a file, a pipe or a terminal")
}

/// Writes the files of `--save` and `--report`.
pub(super) fn save_files(
    save: Option<&PathBuf>,
    report: Option<&PathBuf>,
    saved: &Saved,
) -> Result<(), Failure> {
    if let Some(path) = save {
        to_file(path, &json_line(saved)?)?;
    }
    report.map_or(Ok(()), |path| to_file(path, &report::html(saved)))
}

/// Whether stdout is a terminal that shows Unicode.
fn can_draw() -> bool {
    // The first variable that is set decides (locale(7)).
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let locale = locale.unwrap_or_default().to_lowercase();
    let is_dumb = std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !is_dumb && (locale.contains("utf-8") || locale.contains("utf8"))
}
