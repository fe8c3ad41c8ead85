//! `--trace`: records what the event loop does, and writes it as a Chrome trace.

use super::Failure;
use crate::net::{MioNet, Recording, Traced};
use crate::trace::{Timeline, chrome_trace};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// The events that are kept: 1.5 MiB.
const EVENTS: usize = 65_536;

/// The file of a trace, open.
///
/// It is opened at the start, so that a wrong name is an error then. A trace goes to a new file beside it, which gets its
/// name: a reader has the old trace or the new one. Where that is impossible, the open file is overwritten.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    file: RefCell<File>,
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
            file: RefCell::new(file),
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
        if self.is_regular() && self.replace_by_rename(contents)? {
            return Ok(());
        }
        self.overwrite(contents)
    }

    /// Whether the name is that of a regular file, or of none any more. A rename would replace a FIFO, a device such as
    /// /dev/stdout, or a symbolic link itself.
    fn is_regular(&self) -> bool {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => found.is_file(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Writes a new file with the owner and the permissions of the old one, and renames it. Returns false if this
    /// process may not do that.
    fn replace_by_rename(&self, contents: &[u8]) -> io::Result<bool> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}.tmp", std::process::id()));
        // A process that was killed while it wrote may have had the same PID.
        let _ = fs::remove_file(&beside);
        // `create_new` does not follow a link that another user has put there.
        let Ok(mut file) = File::options().write(true).create_new(true).open(&beside) else {
            return Ok(false);
        };
        let mut written = Ok(());
        if self.pass_permissions(&file).is_ok() {
            written = file.write_all(contents);
            if written.is_ok() && fs::rename(&beside, &self.path).is_ok() {
                self.file.replace(file);
                return Ok(true);
            }
        }
        let _ = fs::remove_file(&beside);
        written.map(|()| false)
    }

    fn pass_permissions(&self, file: &File) -> io::Result<()> {
        let old = self.file.borrow().metadata()?;
        fchown(file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(old.permissions())
    }

    /// Writes to the open file.
    fn overwrite(&self, contents: &[u8]) -> io::Result<()> {
        let mut file = &*self.file.borrow();
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
        let json = chrome_trace(self.process, std::process::id(), &timeline);
        let written = self.output.replace(json.as_bytes());
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
