//! `--trace`: records what the event loop does, and writes it as a Chrome trace.

use super::Failure;
use crate::net::{MioNet, Recording, Traced};
use crate::trace::{Timeline, write_chrome_trace};
use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

/// The events that are kept: 1.5 MiB.
const EVENTS: usize = 65_536;

/// The file of a trace, open.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    file: File,
}

impl TraceFile {
    /// Opens the file; with `keeps`, its contents stay until the trace is written.
    pub(super) fn open(path: &Path, keeps: bool) -> Result<TraceFile, Failure> {
        let mut options = File::options();
        let opened = options.write(true).create(true).truncate(!keeps).open(path);
        let file = opened.map_err(|error| {
            let what = format!("cannot write a trace to {}", path.display());
            let remedy = "give --trace a file in a directory that this user may write";
            Failure::new(what, error, remedy)
        })?;
        Ok(TraceFile {
            path: path.to_owned(),
            file,
        })
    }

    /// Starts to record what `net` does. `process` is the name in the trace.
    pub(super) fn start(self, net: &mut Traced<MioNet>, process: &'static str) -> Tracer {
        let clock = net.inner().clock();
        Tracer {
            recording: net.start(EVENTS, clock),
            output: self,
            process,
        }
    }

    /// Replaces the contents.
    fn replace(&self, contents: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        match file.rewind() {
            // A pipe has no position.
            Err(error) if error.kind() == ErrorKind::NotSeekable => {
                return file.write_all(contents);
            }
            rewound => rewound?,
        }
        file.write_all(contents)?;
        if file.metadata()?.is_file() {
            file.set_len(contents.len() as u64)?;
        }
        Ok(())
    }
}

/// A running trace.
pub(super) struct Tracer {
    recording: Recording,
    output: TraceFile,
    process: &'static str,
}

impl Tracer {
    /// Writes the file with all events that are kept; a failure is logged.
    pub(super) fn write(&self) {
        let timeline = Timeline::of(&self.recording.ring());
        let mut json = Vec::new();
        let written = write_chrome_trace(&mut json, self.process, std::process::id(), &timeline)
            .and_then(|()| self.output.replace(&json));
        let path = self.output.path.display();
        match written {
            Ok(()) => log::info!(
                "wrote a trace of {} events to {path}, {} older events dropped",
                timeline.events.len(),
                timeline.dropped
            ),
            Err(error) => log::error!(
                "cannot write the trace to {path}: {error}; check the space and the permissions there"
            ),
        }
    }
}
