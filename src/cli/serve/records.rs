//! Where `serve -p collect` writes records.

use super::Flags;
use crate::cli::Failure;
use crate::cli::output::open_stdout;
use crate::cli::protocol::ProtocolArg;
use crate::net::MioNet;
use crate::stdio::{StandardStream, stdout_is_null};
use std::io::{self, ErrorKind, Write};

impl Flags {
    /// Where records go, if the protocol has them.
    pub(super) fn records(&self, net: &mut MioNet) -> Result<Option<RecordOutput>, Failure> {
        if self.protocol != ProtocolArg::Collect {
            return Ok(None);
        }
        if stdout_is_null() {
            log::warn!(
                "standard output is /dev/null or closed: records will be lost; redirect it to a file, or to a pipe \
                 with a reader"
            );
        }
        open_stdout(net).map(|stdout| Some(RecordOutput(stdout)))
    }
}

/// Standard output for records: its errors have a remedy.
pub(super) struct RecordOutput(StandardStream);

impl Write for RecordOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return error,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
                ErrorKind::BrokenPipe => "give it a reader that stays, or a file",
                _ => "give it a file, or a pipe with a reader",
            };
            let message = format!("standard output takes no more records: {error}; {remedy}");
            io::Error::new(error.kind(), message)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
