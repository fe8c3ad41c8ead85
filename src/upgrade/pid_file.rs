//! The file with the process ID of the server, and beside it the reason of a failed upgrade.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The file with the process ID. It always has the ID of one process: it is replaced by renaming.
#[derive(Clone, Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// The file at this path.
    #[must_use]
    pub fn at(path: &Path) -> PidFile {
        PidFile {
            path: path.to_owned(),
        }
    }

    /// Writes the ID of this process.
    ///
    /// # Errors
    /// See open(2) and rename(2).
    pub fn write(&self) -> io::Result<()> {
        replace(&self.path, &format!("{}\n", process::id()))
    }

    /// Reads the ID of the server.
    ///
    /// # Errors
    /// There is no such file, or it has no process ID.
    pub fn read(&self) -> io::Result<u32> {
        let text = fs::read_to_string(&self.path)?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// Removes the file if it has the ID of this process.
    pub fn remove_own(&self) {
        if self.read().is_ok_and(|pid| pid == process::id()) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Writes why an upgrade has failed.
    pub(super) fn report(&self, attempt: u32, reason: &str) -> io::Result<()> {
        let text = format!("PID {}, attempt {attempt}: {reason}\n", process::id());
        replace(&report_path(&self.path), &text)
    }
}

/// The file with the reason of the last failed upgrade: the path of the process ID with `.upgrade` appended.
#[must_use]
pub fn report_path(pid_file: &Path) -> PathBuf {
    let mut path = pid_file.as_os_str().to_owned();
    path.push(".upgrade");
    path.into()
}

/// Writes a file such that other processes see the old or the new text, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", process::id()));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_another_process_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = PidFile::at(&path);
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        file.write().unwrap();
        assert_eq!(file.read().unwrap(), process::id());
        fs::write(&path, "1\n").unwrap();
        file.remove_own();
        assert_eq!(file.read().unwrap(), 1);
        file.write().unwrap();
        file.remove_own();
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn report_is_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        PidFile::at(&path).report(3, "no reason").unwrap();
        let text = fs::read_to_string(directory.path().join("pid.upgrade")).unwrap();
        assert!(text.ends_with(", attempt 3: no reason\n"), "{text}");
    }
}
