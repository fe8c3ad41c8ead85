//! Other people's programs: run to their end, or, where they are missing, skipped loudly.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen; only a test that is failing waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command that must end by itself, with `input` as its stdin.
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
        // A command that reads no input, or stops reading it, is judged by its output.
        scope.spawn(move || drop(stdin.write_all(input)));
        let stdout = scope.spawn(move || read_all(&mut stdout));
        let stderr = scope.spawn(move || read_all(&mut stderr));
        let deadline = Instant::now() + patience;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("{command:?} did not end within {patience:?}");
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

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    all
}

/// True if the tool is there. If not: skips loudly, or panics where `ECHOLOOP_REQUIRE_TOOLS=1`.
#[track_caller]
pub(crate) fn have_tool(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    found || lacking(&format!("{tool} is missing"))
}

/// A tool cannot do its work here: skips loudly, or panics where `ECHOLOOP_REQUIRE_TOOLS=1`. Always false.
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

/// Says loudly that a test is skipped, and why.
pub(crate) fn skip(why: &str) {
    // Past the capture of the test runner, which would swallow what a passing test prints.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}
