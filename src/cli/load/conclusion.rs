//! What was found, told and saved: as soon as it is known, which is before the connections are closed, since that takes
//! minutes where there are a million.
//!
//! One figure is known only then: the memory that a server's process keeps when all connections are gone. Where one is
//! watched, text has that in a last line of its own; a file is written once more; and a program that reads gets its one
//! result then.

use super::output::{self, Output};
use super::watcher::Watcher;
use super::{Flags, MISSED};
use crate::cli::Failure;
use crate::cli::output::{to_file, to_stdout};
use crate::load::{Config, Load, LoadResult, Saved, WallTime};
use crate::net::MioNet;
use crate::report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

impl Flags {
    /// Says what a load has found that has come to its end, and closes its connections.
    pub(super) fn conclude(
        &self,
        mut load: Load<MioNet, Watcher>,
        config: &Config,
        begun: WallTime,
    ) -> Result<ExitCode, Failure> {
        to_stdout(load.take_unwritten())?;
        let mut saved = load.to_saved(begun);
        output::add_origin(&mut saved);
        let expected = self.expect.iter();
        let checked = expected.map(|condition| condition.check(&saved.result));
        saved.result.expect = checked.collect();
        self.tell_at_once(&saved)?;
        load.close(&mut saved);
        if saved.result.server.is_some() {
            self.tell_the_rest(&saved)?;
        }
        verdict(&saved.result, config)
    }

    /// While the connections still stand.
    fn tell_at_once(&self, saved: &Saved) -> Result<(), Failure> {
        let is_all = saved.result.server.is_none();
        if is_all || self.output == Output::Text {
            output::end(self.output, saved)?;
        }
        // A file is replaced by what comes later; a pipe would have both.
        self.keep(saved, |path| is_all || path.is_file())
    }

    /// When the server has lost them all.
    fn tell_the_rest(&self, saved: &Saved) -> Result<(), Failure> {
        if self.output != Output::Text {
            output::end(self.output, saved)?;
        } else if let Some(line) = report::after_closing(&saved.result) {
            to_stdout(line)?;
        }
        self.keep(saved, |_| true)
    }

    /// Writes those files that were asked for and are wanted now.
    fn keep(&self, saved: &Saved, is_wanted: impl Fn(&Path) -> bool) -> Result<(), Failure> {
        let wanted = |path: &&PathBuf| is_wanted(path);
        if let Some(path) = self.save.as_ref().filter(wanted) {
            output::save(path, saved)?;
        }
        if let Some(path) = self.report.as_ref().filter(wanted) {
            to_file(path, &report::html(saved))?;
        }
        Ok(())
    }
}

/// What the exit code says of it.
fn verdict(result: &LoadResult, config: &Config) -> Result<ExitCode, Failure> {
    if result.connections.opened == 0 {
        let why = result.warnings.first();
        return Err(Failure(format!(
            "no connection to {} could be opened: {}",
            config.target,
            why.map_or("it ended before", String::as_str)
        )));
    }
    Ok(if result.expect.iter().all(|expected| expected.met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(MISSED)
    })
}
