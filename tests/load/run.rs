//! Starts the program, and reads what it says.

use echoloop::load::LoadResult;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

/// The program, free of what the environment of the test run would tell it.
pub(crate) fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a load has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// The result, of `-o json`.
    #[track_caller]
    pub(crate) fn result(&self) -> LoadResult {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A load that runs. It is ended with the test.
pub(crate) struct Running {
    pub(crate) process: Child,
    /// Until somebody else reads it.
    stderr: Option<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        Running {
            process,
            stderr: Some(stderr),
            said: String::new(),
        }
    }

    /// Waits for the line about the first second that was measured.
    pub(crate) fn wait_for_the_first_second(&mut self) {
        while !self.said.contains(" held ") {
            let stderr = self.stderr.as_mut().unwrap();
            let length = stderr.read_line(&mut self.said).unwrap();
            assert!(length > 0, "it ended and said: {}", self.said);
        }
    }

    /// The lines that it says on stderr from here on, for a thread to read.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = std::io::Result<String>> + Send + use<> {
        self.stderr.take().unwrap().lines()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Said {
        let mut stdout = self.process.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let stderr = self.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut self.said).unwrap();
        let code = self.process.wait().unwrap().code();
        Said {
            code,
            stdout: reader.join().unwrap(),
            stderr: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that was waited for, nothing is left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs `echoloop load` with these arguments, to its end.
pub(crate) fn load(arguments: &[&str]) -> Said {
    let arguments = [&["load"], arguments].concat();
    Running::start(echoloop(&arguments)).finish()
}

/// Runs `echoloop load -o json` with these arguments, and reads the result.
#[track_caller]
pub(crate) fn result(arguments: &[&str]) -> LoadResult {
    load(&[&["-o", "json"], arguments].concat()).result()
}
