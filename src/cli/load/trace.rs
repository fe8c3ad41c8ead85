//! `load --trace`.

use super::Flags;
use crate::cli::Failure;
use crate::cli::trace::TraceFile;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct TraceFlags {
    /// Record what the load's event loop does, and write it to FILE at the end of the run, for the viewer Perfetto
    #[arg(long, value_name = "FILE", conflicts_with_all = ["find", "sweep"])]
    trace: Option<PathBuf>,
}

impl TraceFlags {
    /// Opens the file.
    pub(super) fn open(&self) -> Result<Option<TraceFile>, Failure> {
        let path = self.trace.as_deref();
        path.map(|path| TraceFile::open(path, false)).transpose()
    }
}

impl Flags {
    /// Checks that one process runs the load, since each has an event loop.
    pub(super) fn check_trace(&self, connections: usize) -> Result<(), String> {
        if self.trace.trace.is_some() && self.jobs.count(connections) > 1 {
            return Err("--trace records one process: leave --jobs out".to_owned());
        }
        Ok(())
    }
}
