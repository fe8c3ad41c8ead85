//! Where results go: stdout, and files.

use super::Failure;
use crate::load::Saved;
use crate::report;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Writes a result to stdout. That nobody reads on is no fault of ours.
pub(super) fn to_stdout(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure(format!(
            "cannot write the result to stdout: {error}"
        ))),
        _ => Ok(()),
    }
}

/// A result as text, with drawings where the terminal shows them.
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

/// Writes a file, which replaces one of that name.
pub(super) fn to_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| cannot_save(path, &error))
}

/// Finds out whether a file can be written before there is anything to write, and leaves what it holds.
pub(super) fn try_file(path: &Path) -> Result<(), Failure> {
    let file = File::options().append(true).create(true).open(path);
    file.map(|_| ()).map_err(|error| cannot_save(path, &error))
}

fn cannot_save(path: &Path, error: &io::Error) -> Failure {
    Failure(format!(
        "cannot save to {}: {error}; check the folder and its permissions",
        path.display()
    ))
}

/// What serde has written, if it could.
pub(super) fn as_json(text: Result<String, serde_json::Error>) -> Result<String, Failure> {
    text.map_err(|error| Failure(format!("cannot write the result as JSON: {error}")))
}

/// Whether stdout is a terminal that shows more than letters.
fn can_draw() -> bool {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // The first of them that is set decides (locale(7)).
    let decisive = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find(|name| is_set(name));
    let locale = decisive.and_then(|name| std::env::var(name).ok());
    let locale = locale.unwrap_or_default().to_lowercase();
    let is_dumb = std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !is_dumb && (locale.contains("utf-8") || locale.contains("utf8"))
}
