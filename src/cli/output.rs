//! Where results go: stdout, and files.

use super::Failure;
use crate::load::Saved;
use crate::logging;
use crate::net::MioNet;
use crate::report;
use crate::stdio::StandardStream;
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

/// Whether a file's name stands for stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Writes text to stdout, or to stderr if stdout is for something else.
pub(super) fn to_stream(text: &str, is_stdout_taken: bool) -> Result<(), Failure> {
    if !is_stdout_taken {
        return to_stdout(text);
    }
    // Stdout has the result even if stderr is closed.
    let _ = logging::print_text(text);
    Ok(())
}

/// Writes a saved result to stdout as one line, with one write(2) if the kernel takes it at once: so that lines of
/// several processes do not mix. Nothing else has the result, so a closed pipe is a failure.
fn save_to_stdout(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| {
        let remedy = "check where it is redirected to, or save to a file";
        Failure::new("cannot save the result to stdout", error, remedy)
    })
}

/// A result as text, with sparklines if the terminal shows them.
pub(super) fn text(saved: &Saved) -> String {
    let mut pieces = vec![report::text(&saved.result)];
    if let Some(part) = saved.part {
        pieces.push(format!("{:16}{} of {}\n", "part", part.number, part.of));
    }
    if !saved.parts.is_empty() {
        let (parts, host) = (saved.parts.len(), &saved.host);
        let hosts = report::host_count(&saved.parts);
        let names = host.split(", ").count();
        // Hosts may share a name.
        let count = match hosts {
            _ if hosts == names => String::new(),
            1 => " (1 host)".to_owned(),
            _ => format!(" ({hosts} hosts)"),
        };
        pieces.push(format!("merged          {parts} loads, on {host}{count}\n"));
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
    with_newline(crate::json::pretty(value))
}

pub(super) fn with_newline(json: serde_json::Result<String>) -> Result<String, Failure> {
    json.map(|json| json + "\n")
        .map_err(|error| Failure(format!("cannot write the result as JSON: {error}")))
}

/// Opens stdout for writes that do not block the event loop.
pub(super) fn open_stdout(net: &mut MioNet) -> Result<StandardStream, Failure> {
    StandardStream::stdout(net).map_err(|error| cannot_use("output", &error))
}

/// Standard input or output that the event loop cannot use.
pub(super) fn cannot_use(stream: &str, error: &io::Error) -> Failure {
    let what = format!("cannot use standard {stream}");
    Failure::new(what, error, "use a file, a pipe or a terminal")
}

/// Writes the files of `--save` and `--report`; `-` is stdout.
pub(super) fn save_files(
    save: Option<&PathBuf>,
    report: Option<&PathBuf>,
    saved: &Saved,
) -> Result<(), Failure> {
    match save {
        Some(path) if is_stdout(path) => save_to_stdout(&json_line(saved)?)?,
        Some(path) => to_file(path, &json_line(saved)?)?,
        None => {}
    }
    report.map_or(Ok(()), |path| to_file(path, &report::html(saved)))
}

/// Whether stdout is a terminal that shows Unicode.
fn can_draw() -> bool {
    io::stdout().is_terminal() && !is_dumb_terminal() && shows_unicode()
}

/// Whether terminals do not move their cursor.
pub(super) fn is_dumb_terminal() -> bool {
    std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb")
}

/// Whether terminals show Unicode.
pub(super) fn shows_unicode() -> bool {
    // The first variable that is set decides (locale(7)).
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let locale = locale.unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
