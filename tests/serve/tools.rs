//! Third-party programs: runs them to their exit; a test that needs a missing one is skipped with a message.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for an expected event; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command that must exit within [`PATIENCE`], with `input` as its stdin.
#[track_caller]
pub(crate) fn run(command: Command, input: &[u8]) -> Output {
    run_within(PATIENCE, command, input)
}

/// As [`run`], for a command that may take longer on a busy machine.
#[track_caller]
pub(crate) fn run_within(patience: Duration, mut command: Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    thread::scope(|scope| {
        // A write error is ignored: a command may exit before it has read all input.
        scope.spawn(move || drop(stdin.write_all(input)));
        let stdout = scope.spawn(move || read_all(&mut stdout));
        let stderr = scope.spawn(move || read_all(&mut stderr));
        let deadline = Instant::now() + patience;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("{command:?} did not exit within {patience:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        let status = child.wait().unwrap();
        Output {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    })
}

fn read_all(source: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    source.read_to_end(&mut all).unwrap();
    all
}

/// Whether the tool is in `PATH`. If not: as [`lacking`].
#[track_caller]
pub(crate) fn have_tool(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    found || lacking(&format!("{tool} is missing"))
}

/// Reports that the test is skipped since `what`; panics with `ECHOLOOP_REQUIRE_TOOLS=1`. Always returns false.
#[track_caller]
pub(crate) fn lacking(what: &str) -> bool {
    let required = env::var_os("ECHOLOOP_REQUIRE_TOOLS");
    assert!(
        required.as_deref() != Some(OsStr::new("1")),
        "ECHOLOOP_REQUIRE_TOOLS=1, but {what}"
    );
    skip(what);
    false
}

/// Reports on stderr that a test is skipped, and why.
pub(crate) fn skip(why: &str) {
    // Not by eprintln!: the test runner captures it, and drops it if the test passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}
