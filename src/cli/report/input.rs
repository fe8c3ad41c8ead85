//! The files of `echoloop report`, and whether they hold all parts of a load.

use super::Flags;
use crate::cli::Failure;
use crate::cli::output::is_stdout as is_stdin;
use crate::load::Warning;
use crate::report::{self, Input};
use clap::Args;
use std::io;
use std::path::Path;

/// The flag of the parts of a load.
#[derive(Debug, Args)]
pub(super) struct PartsFlags {
    /// Require parts 1/N to N/N of a load (`load --part`); exit with 1 if one is missing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    parts: Option<u32>,
}

impl PartsFlags {
    pub(super) fn is_given(&self) -> bool {
        self.parts.is_some()
    }
}

/// The results of all files.
pub(super) struct Inputs {
    pub(super) all: Vec<Input>,
    /// The name of the first file without any result, which a load that was killed leaves.
    empty: Option<String>,
}

impl Inputs {
    /// Fails if a file has no result.
    pub(super) fn require_all(self) -> Result<Vec<Input>, Failure> {
        self.empty.map_or(Ok(self.all), |name| Err(is_empty(&name)))
    }

    /// Checks the parts of a load: a warning about those that are missing. A file may be empty if it explains that.
    pub(super) fn check_parts(&self, flags: &PartsFlags) -> Result<Option<Warning>, Failure> {
        let cannot = |why: String| Failure(report::printable(&why));
        let missing = report::check_parts(&self.all, flags.parts).map_err(cannot)?;
        match (&missing, &self.empty) {
            (None, Some(name)) => Err(is_empty(name)),
            (Some(missing), _) if self.all.is_empty() => Err(self.incomplete(missing)),
            _ => Ok(missing),
        }
    }

    /// The failure of a report without all parts.
    pub(super) fn incomplete(&self, missing: &Warning) -> Failure {
        let empty = self.empty.as_ref();
        let empty = empty.map_or(String::new(), |name| format!("; {name} is empty"));
        Failure(report::printable(&format!("{missing}{empty}")))
    }
}

fn is_empty(name: &str) -> Failure {
    let what = report::printable(&format!("cannot use {name}"));
    let remedy = "run the load again";
    Failure::new(what, "it is empty, the load has saved no result", remedy)
}

impl Flags {
    /// Reads all files.
    pub(super) fn read(&self) -> Result<Inputs, Failure> {
        let mut inputs = Inputs {
            all: Vec::new(),
            empty: None,
        };
        for path in &self.files {
            let (name, found) = read(path)?;
            if found.is_empty() {
                inputs.empty.get_or_insert(name);
            }
            inputs.all.extend(found);
        }
        Ok(inputs)
    }

    /// Checks that stdin is read once only.
    pub(super) fn check_stdin(&self) -> Result<(), String> {
        if self.files.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err("stdin can be read once only: give - once, and files beside it".to_owned());
        }
        Ok(())
    }
}

/// The name of a file, and its results.
fn read(path: &Path) -> Result<(String, Vec<Input>), Failure> {
    let (name, result) = if is_stdin(path) {
        let text = io::read_to_string(io::stdin());
        ("stdin".to_owned(), text.map(String::into_bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    let bytes = result.map_err(|error| {
        let remedy = "give a file written by `echoloop load --save`";
        Failure::new(format!("cannot read {name}"), error, remedy)
    })?;
    let inputs = report::read_all(&name, &bytes)
        .map_err(|why| Failure(report::printable(&format!("cannot use {why}"))))?;
    Ok((name, inputs))
}
