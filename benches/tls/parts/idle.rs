//! The system calls of an idle server, counted by strace.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The calls of a server in some seconds.
pub(super) struct SystemCalls {
    seconds: f64,
    /// The name of each call, and how often it was made.
    counts: Vec<(String, f64)>,
}

/// Traces processes for some seconds.
pub(super) fn count_system_calls(pids: &[u32], seconds: f64) -> SystemCalls {
    let mut command = Command::new("strace");
    // Without -q, strace reports when it is attached.
    command.args(["-f", "-c"]);
    for pid in pids {
        command.args(["-p", &pid.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut strace = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
    for _ in pids {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        assert!(line.contains("attached"), "{command:?}: {line}");
    }
    // Only time can pass: no event is expected.
    thread::sleep(Duration::from_secs_f64(seconds));
    let pid = i32::try_from(strace.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let table: Vec<String> = lines.map_while(Result::ok).collect();
    strace.wait().unwrap();
    SystemCalls {
        seconds,
        counts: table.iter().filter_map(|line| row(line)).collect(),
    }
}

impl SystemCalls {
    pub(super) fn per_second(&self) -> f64 {
        let counts = self.counts.iter().map(|(_, count)| count);
        // Not by sum(), which is -0 for an empty table.
        counts.fold(0.0, |sum, count| sum + count) / self.seconds
    }

    /// The names of the calls that do not wait for events. Attaching a tracer may end a wait, which is then repeated
    /// (`restart_syscall`).
    pub(super) fn other_than_wait(&self) -> impl Iterator<Item = &str> {
        let waits = [
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "restart_syscall",
        ];
        let names = self.counts.iter().map(|(name, _)| name.as_str());
        names.filter(move |name| !waits.contains(name))
    }
}

/// The name and the count in a row of the table of `strace -c`: the share of time in per cent, seconds, microseconds
/// per call, calls, perhaps errors, and the name.
fn row(line: &str) -> Option<(String, f64)> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [share, _, _, calls, .., name] = columns[..] else {
        return None;
    };
    share.parse::<f64>().ok()?;
    let calls = calls.parse().ok()?;
    (name != "total").then(|| (name.into(), calls))
}

/// Checks the parsing of the table.
pub(super) fn self_check() {
    let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                 ------ ----------- ----------- --------- --------- ----------------\n\
                 100.00    0.000004           4         1           epoll_wait\n  \
                 0.00    0.000000           0         3         2 read\n\
                 ------ ----------- ----------- --------- --------- ----------------\n\
                 100.00    0.000004           4         4         2 total\n";
    let counts: Vec<(String, f64)> = table.lines().filter_map(row).collect();
    let calls = SystemCalls {
        seconds: 2.0,
        counts,
    };
    assert!((calls.per_second() - 2.0).abs() < 1e-9);
    assert_eq!(calls.other_than_wait().collect::<Vec<_>>(), ["read"]);
}
