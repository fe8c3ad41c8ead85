//! Hot upgrades of `serve`: its flags, and the loop that performs them.

use super::admin::AdminListener;
use super::reporting::{Reports, log_counters};
use super::tls::Hooks;
use super::trace::Trace;
use crate::cli::value::by;
use crate::cli::{Failure, units};
use crate::net::{MioNet, Traced};
use crate::protocol::Protocol;
use crate::server::{Exit, Request, Server};
use crate::time::in_units;
use crate::upgrade::{Handover, PidFile, Program, Progress};
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct UpgradeFlags {
    /// Write the process ID to F, for echoloop upgrade; the reason of a failed upgrade goes to F.upgrade
    #[arg(long, value_name = "F")]
    pid_file: Option<PathBuf>,

    /// Let each step of an upgrade take at most D before this process continues
    #[arg(long, value_name = "D", default_value = "5s", value_parser = by(units::positive_duration))]
    upgrade_timeout: Duration,

    /// After an upgrade, serve the TLS connections, which cannot be passed on, for up to D; then drain
    #[arg(long, value_name = "D", default_value = "1h", value_parser = units::duration)]
    upgrade_linger: Duration,
}

impl UpgradeFlags {
    /// Performs upgrades to the program as it was started. `refusal` is why this process cannot be upgraded, if so.
    pub(super) fn handover(&self, refusal: Option<String>) -> Handover {
        let refusal = refusal.or_else(|| refusal_by_parent().map(str::to_owned));
        let program = match refusal {
            Some(refusal) => Err(refusal),
            None => Program::running()
                .map_err(|error| format!("the path of this program is unknown: {error}")),
        };
        Handover::new(program, self.upgrade_timeout, self.file())
    }

    /// For how long connections are served that a new process cannot take over.
    pub(super) fn linger(&self) -> Duration {
        self.upgrade_linger
    }

    fn file(&self) -> Option<PidFile> {
        self.pid_file.as_deref().map(PidFile::at)
    }

    /// Writes the process ID. With `has_taken_over`, the server has the connections of another process.
    pub(super) fn write_pid(&self, has_taken_over: bool) -> Result<(), Failure> {
        match self.file().map_or(Ok(()), |file| self.write(&file)) {
            // The connections are worth more than the file.
            Err(failure) if has_taken_over => log::warn!("{failure}"),
            written => written?,
        }
        Ok(())
    }

    /// Removes the file with the process ID, and turns the end of [`run`] into that of the program.
    pub(super) fn end(
        &self,
        exit: io::Result<Exit>,
        handover: &Handover,
    ) -> Result<ExitCode, Failure> {
        // After an upgrade, the file belongs to the new process, which may be replacing it at this moment.
        if let Some(file) = self.file()
            && !handover.is_done()
        {
            file.remove_own();
        }
        match exit {
            Ok(Exit::Interrupted) => Ok(ExitCode::FAILURE),
            Ok(_) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(Failure(format!("the event loop failed: {error}"))),
        }
    }

    fn write(&self, file: &PidFile) -> Result<(), Failure> {
        file.write().map_err(|error| {
            let path = self.pid_file.as_deref().unwrap_or("".as_ref()).display();
            let remedy = "give --pid-file a path in a directory that this user may write";
            Failure::new(
                format!("cannot write the process ID to {path}"),
                error,
                remedy,
            )
        })
    }
}

/// Serves until the server stops, or until a new process serves. Connections that cannot be passed to a new process are
/// served for up to `linger`; the trace ends before that.
#[expect(clippy::inline_always, reason = "on the path of every byte")]
#[inline(always)]
pub(super) fn run<P: Protocol>(
    server: &mut Server<Traced<MioNet>, P>,
    handover: &mut Handover,
    (admin, reports): (&mut AdminListener, &mut Reports),
    linger: Duration,
    hooks: &impl Hooks<P>,
    trace: &Trace,
) -> io::Result<Exit> {
    loop {
        match server.run()? {
            Exit::Requested => {}
            exit => return Ok(exit),
        }
        for request in server.take_requests() {
            match request {
                Request::Reload => {
                    hooks.reload(server.protocol());
                    continue;
                }
                Request::Report => {
                    log_counters(server);
                    trace.on_signal();
                    continue;
                }
                Request::Admin => {
                    let handshakes = hooks.handshakes(server.protocol());
                    admin.run(server, handover.counts(), handshakes.as_ref());
                    continue;
                }
                Request::Source => reports.on_timer(server),
                _ => {}
            }
            match handover.handle(server, admin, request) {
                Progress::Serves => {}
                Progress::HandedOver if server.protocol().is_transferable() => {
                    return Ok(Exit::Drained);
                }
                Progress::HandedOver => {
                    trace.end();
                    log_retired(server.live(), linger);
                    server.retire(linger);
                }
                Progress::Lost => {
                    server.reset_all();
                    return Ok(Exit::Interrupted);
                }
            }
        }
    }
}

#[cold]
fn log_retired(connections: usize, linger: Duration) {
    let linger = in_units(linger);
    match connections {
        0 => {}
        1 => log::info!(
            "upgrade: this process serves 1 TLS connection until it ends, for at most {linger}"
        ),
        _ => log::info!(
            "upgrade: this process serves {connections} TLS connections until they end, for at most {linger}"
        ),
    }
}

/// Why the parent of this process would not accept that another process replaces it.
fn refusal_by_parent() -> Option<&'static str> {
    let pid = std::process::id();
    if pid == 1 {
        return Some(
            "this process is PID 1, and its container or machine ends with it: start a new container instead",
        );
    }
    // systemd.exec(5): the main process of a unit. Once it exits, systemd ends the unit.
    let main = std::env::var("SYSTEMD_EXEC_PID").ok();
    if main.is_some_and(|main| main.parse() == Ok(pid)) {
        return Some(
            "systemd ends this unit when its main process exits: restart the unit instead, or use Type=forking with \
             PIDFile= and --pid-file",
        );
    }
    None
}
