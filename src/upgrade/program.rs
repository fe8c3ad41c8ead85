//! How the new program is started.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// In the environment of a new process: it takes over the connections of its parent.
pub(super) const TAKE_OVER: &str = "ECHOLOOP_TAKE_OVER";

/// The program and its arguments, as this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of this process. To be called at the start: later the path of the running file ends in "(deleted)".
    ///
    /// # Errors
    /// The path of the running file is unknown.
    pub fn running() -> io::Result<Program> {
        let mut arguments = env::args_os();
        let running = env::current_exe()?;
        let name = arguments.next().unwrap_or_else(|| running.clone().into());
        Ok(Program {
            path: path_as_started(Path::new(&name), running),
            name,
            arguments: arguments.collect(),
        })
    }

    /// The path of the program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the program with one end of a channel as its standard input. Returns the other end.
    pub(super) fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.path)
            .arg0(&self.name)
            .args(&self.arguments)
            .env(TAKE_OVER, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        // The command, which had the other end of the channel, is dropped: if the child ends, so does the channel.
        Ok((child, ours))
    }
}

/// The path under which the running file was started, which may be a symbolic link that points to a new version later;
/// if the name has no path, that of the running file.
fn path_as_started(name: &Path, running: PathBuf) -> PathBuf {
    let has_path = name.components().count() > 1;
    let absolute = env::current_dir().map(|here| here.join(name));
    match absolute {
        Ok(path) if has_path && path.canonicalize().is_ok_and(|file| file == running) => path,
        _ => running,
    }
}
