//! The result: printed and saved as soon as it is known, before the connections are closed, since closing a million of
//! them takes minutes.
//!
//! One figure is known only after that: the memory that the server's process keeps without connections. If a process is
//! watched, text gets a last line with it, files are written a second time, and JSON is printed only then, also that of
//! `--save -`.

use super::Flags;
use super::clock::Clock;
use super::output::{self, Output};
use crate::cli::output::{is_stdout, save_files, to_stdout, to_stream};
use crate::cli::{Failure, exit_code};
use crate::load::{Config, EchoClient, Load, Observer, Saved, WallTime, failures};
use crate::logging;
use crate::net::{MioNet, Traced};
use crate::report;
use crate::tls::MaybeTls;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

impl Flags {
    /// Reports the result of a finished load, and closes its connections.
    pub(super) fn conclude<C: MaybeTls<EchoClient>>(
        &self,
        mut load: Load<Traced<MioNet>, Box<dyn Observer>, C>,
        config: &Config,
        begun: WallTime,
        clock: Clock,
    ) -> Result<ExitCode, Failure> {
        to_stdout(load.take_unwritten())?;
        let mut saved = load.to_saved(begun);
        output::add_origin(&mut saved);
        saved.result.clock = clock.to_result();
        self.publish(&mut saved, config.target, |saved| load.close(saved))
    }

    /// Whether stdout is for the saved result.
    pub(super) fn saves_to_stdout(&self) -> bool {
        self.save.as_deref().is_some_and(is_stdout)
    }

    /// Reports a result. `close` closes the connections, and adds the server's memory after that.
    #[inline(never)]
    pub(super) fn publish(
        &self,
        saved: &mut Saved,
        target: SocketAddr,
        close: impl FnOnce(&mut Saved),
    ) -> Result<ExitCode, Failure> {
        let expected = self.expect.iter();
        let checked = expected.map(|condition| condition.check(&saved.result));
        saved.result.expect = checked.collect();
        saved.part = self.part.number();
        let is_final = saved.result.server.is_none();
        let to_stderr = self.saves_to_stdout();
        if is_final || self.output == Output::Text {
            output::print(self.output, saved, to_stderr)?;
        }
        // The final version replaces a file; a pipe would get both.
        let is_due = |path: &&PathBuf| is_final || (!is_stdout(path) && path.is_file());
        let (save, page) = (self.save.as_ref(), self.report.as_ref());
        save_files(save.filter(is_due), page.filter(is_due), saved)?;
        close(saved);
        if !is_final {
            if self.output != Output::Text {
                output::print(self.output, saved, to_stderr)?;
            } else if let Some(line) = report::after_closing(&saved.result) {
                to_stream(&line, to_stderr)?;
            }
            save_files(save, page, saved)?;
        }
        let result = &saved.result;
        if result.connections.opened == 0 {
            let first = result.warnings.first();
            let why = first.map_or("the run ended first", String::as_str);
            let failure = format!("cannot open any connection to {target}: {why}");
            return Err(Failure(failure));
        }
        let failures = failures(result, &self.expect);
        if !failures.is_empty() {
            let what = failures.join(", ");
            logging::print_line(&format!(
                "echoloop: not passed: {what}; --expect sets other limits"
            ));
        }
        Ok(exit_code(failures.is_empty()))
    }
}
