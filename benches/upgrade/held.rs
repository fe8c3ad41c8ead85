//! A running `echoloop load`, a process that verifies its own replies: its connections need no file descriptor here.

use crate::report::Report;
use crate::server::{program, signal};
use echoloop::load::LoadResult;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The longest wait for the connections, and for the probes at the end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A load that runs until it is finished. Dropping it ends the process.
pub(crate) struct Load {
    process: Child,
    lines: Receiver<String>,
    idle: u64,
}

impl Load {
    /// Starts a load with idle connections, and waits until they and the active ones are established.
    pub(crate) fn start(address: SocketAddr, idle: u64, active: u64, flags: &[&str]) -> Load {
        let mut process = Command::new(program())
            .args(["load", &address.to_string(), "-q", "-o", "jsonl"])
            .args(["--idle", &idle.to_string(), "--active", &active.to_string()])
            .args(["--duration", "1d", "--warmup", "0", "--spin", "0"])
            .args(["--connect-timeout", "60s"])
            .args(flags)
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let load = Load {
            process,
            lines,
            idle,
        };
        load.wait_until_established();
        load
    }

    /// Waits for the first second of the measured part.
    fn wait_until_established(&self) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line: Value = serde_json::from_str(&line.expect("the load has ended")).unwrap();
            if line["type"] == "interval" {
                return;
            }
        }
    }

    /// Ends the load with SIGTERM, upon which it probes all idle connections; reports whether anything was lost or wrong.
    pub(crate) fn finish(mut self, name: &str, report: &mut Report) -> LoadResult {
        signal(self.process.id(), Signal::SIGTERM);
        let status = self.process.wait().unwrap();
        let last = self.lines.iter().last().unwrap();
        let result: LoadResult = serde_json::from_str(&last).unwrap();
        let bar = |report: &mut Report, what: &str, count: u64, expected: u64| {
            let name = format!("{name}: {what}");
            report.bar(&name, count, &expected.to_string(), count == expected);
        };
        let counts = &result.connections;
        bar(report, "not established", counts.failed.total(), 0);
        bar(report, "lost", counts.lost, 0);
        bar(report, "mismatched", result.echo.mismatched, 0);
        let missing = result.echo.missing + result.echo.unanswered;
        bar(report, "without a reply", missing, 0);
        bar(report, "idle alive by probe", result.probe.alive, self.idle);
        let name = format!("{name}: exit code");
        report.bar(&name, status, "exit status: 0", status.success());
        result
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
