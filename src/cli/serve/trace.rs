//! `serve --trace`.

use crate::cli::Failure;
use crate::cli::trace::{TraceFile, Tracer};
use crate::net::{MioNet, Traced};
use clap::Args;
use std::cell::Cell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct TraceFlags {
    /// Record what the event loop does, and write it to FILE at the end and at SIGUSR1, for the viewer Perfetto
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl TraceFlags {
    /// Opens the file. If this process `takes_over` from another one, which may write the file as well, its contents
    /// stay.
    pub(super) fn open(&self, takes_over: bool) -> Result<Option<TraceFile>, Failure> {
        let path = self.trace.as_deref();
        path.map(|path| TraceFile::open(path, takes_over))
            .transpose()
    }
}

/// The trace of the server, if there is one.
pub(super) struct Trace {
    tracer: Option<Tracer>,
    /// The file belongs to the new process since an upgrade.
    is_over: Cell<bool>,
}

impl Trace {
    /// Starts to record if there is a file.
    pub(super) fn start(file: Option<TraceFile>, net: &mut Traced<MioNet>) -> Trace {
        Trace {
            tracer: file.map(|file| file.start(net, "echoloop serve")),
            is_over: Cell::new(false),
        }
    }

    /// Writes the file for SIGUSR1, if there is one.
    pub(super) fn on_signal(&self) {
        match &self.tracer {
            Some(tracer) if !self.is_over.get() => tracer.write(),
            Some(_) => {
                log::info!(
                    "SIGUSR1: the trace is not written, since it has ended with the upgrade"
                );
            }
            None => {}
        }
    }

    /// Writes the file at the end, or when a new process has taken over; then it is not written again.
    pub(super) fn end(&self) {
        if let Some(tracer) = &self.tracer
            && !self.is_over.replace(true)
        {
            tracer.write();
        }
    }
}
