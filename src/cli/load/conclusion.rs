//! The result: printed and saved as soon as it is known, before the connections are closed, since closing a million of
//! them takes minutes.
//!
//! One figure is known only after that: the memory that the server's process keeps without connections. If a process is
//! watched, text gets a last line with it, files are written a second time, and JSON is printed only then.

use super::Flags;
use super::output::{self, Output};
use super::watcher::Watcher;
use crate::cli::output::{save_files, to_stdout};
use crate::cli::{Failure, exit_code};
use crate::load::{Config, Load, WallTime};
use crate::net::MioNet;
use crate::report;
use std::path::PathBuf;
use std::process::ExitCode;

impl Flags {
    /// Reports the result of a finished load, and closes its connections.
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
        let is_final = saved.result.server.is_none();
        if is_final || self.output == Output::Text {
            output::print(self.output, &saved)?;
        }
        // The final version replaces a file; a pipe would get both.
        let is_due = |path: &&PathBuf| is_final || path.is_file();
        let (save, page) = (self.save.as_ref(), self.report.as_ref());
        save_files(save.filter(is_due), page.filter(is_due), &saved)?;
        load.close(&mut saved);
        if !is_final {
            if self.output != Output::Text {
                output::print(self.output, &saved)?;
            } else if let Some(line) = report::after_closing(&saved.result) {
                to_stdout(line)?;
            }
            save_files(save, page, &saved)?;
        }
        let result = &saved.result;
        if result.connections.opened == 0 {
            let target = config.target;
            let first = result.warnings.first();
            let why = first.map_or("the run ended first", String::as_str);
            let failure = format!("cannot open any connection to {target}: {why}");
            return Err(Failure(failure));
        }
        Ok(exit_code(result.expect.iter().all(|expected| expected.met)))
    }
}
