//! Starts the program and reads its output.

use echoloop::load::LoadResult;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use tempfile::NamedTempFile;

/// The program, without the environment variables of the test run that it reads.
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

/// The output of a finished program.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The result of `-o json`.
    #[track_caller]
    pub(crate) fn result(&self) -> LoadResult {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A running program. Dropping it kills the process.
pub(crate) struct Running {
    pub(crate) process: Child,
    /// Taken by [`Running::lines`].
    stderr: Option<BufReader<ChildStderr>>,
    text: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        Running {
            process,
            stderr: Some(stderr),
            text: String::new(),
        }
    }

    /// Waits for the line of the first measured second.
    pub(crate) fn wait_for_the_first_second(&mut self) {
        while !self.text.contains(" held ") {
            let stderr = self.stderr.as_mut().unwrap();
            let length = stderr.read_line(&mut self.text).unwrap();
            assert!(length > 0, "it exited: {}", self.text);
        }
    }

    /// The further lines of stderr, for a thread to read.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = std::io::Result<String>> + Send + use<> {
        self.stderr.take().unwrap().lines()
    }

    /// Waits for the process to exit.
    pub(crate) fn finish(mut self) -> Output {
        let mut stdout = self.process.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let stderr = self.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut self.text).unwrap();
        let code = self.process.wait().unwrap().code();
        Output {
            code,
            stdout: reader.join().unwrap(),
            stderr: std::mem::take(&mut self.text),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the process has been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A script in a file, which is removed when this is dropped.
pub(crate) fn script_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Runs `echoloop load` with these arguments until it exits.
pub(crate) fn load(arguments: &[&str]) -> Output {
    let arguments = [&["load"], arguments].concat();
    Running::start(echoloop(&arguments)).finish()
}

/// Runs `echoloop load -o json` with these arguments and parses the result.
#[track_caller]
pub(crate) fn result(arguments: &[&str]) -> LoadResult {
    load(&[&["-o", "json"], arguments].concat()).result()
}
