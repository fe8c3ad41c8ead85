//! The active clients: a child process `echoloop load` that is given its start time once its connections are established,
//! so that the usage of the server is read before the first message.
//!
//! It runs as the single child of a load over several processes (`load --jobs`) would, and reports in the same lines.

use super::{Plan, WARMUP};
use crate::json;
use crate::load::Saved;
use crate::net::time_of_day;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// From the start time being given to the first message.
const LEAD_TIME: Duration = Duration::from_millis(50);

/// A running load. Dropping it ends it.
pub(super) struct Traffic {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: io::Lines<BufReader<ChildStdout>>,
    intervals_left: u32,
}

/// What the load has reported.
pub(super) enum Report {
    /// All connections are established, or have failed. It waits for [`Traffic::begin`].
    Connected,
    /// The measured part has ended.
    Measured,
    /// The result. Its connections are still established.
    Result(Box<Saved>),
}

impl Traffic {
    /// Starts the load.
    ///
    /// # Errors
    /// This program cannot be started.
    pub(super) fn start(address: SocketAddr, active: usize, plan: &Plan) -> io::Result<Traffic> {
        let target = address.to_string();
        let (active, rate) = (active.to_string(), plan.rate.to_string());
        let (duration, warmup) = (plan.seconds.to_string(), WARMUP.as_millis());
        let mut process = Command::new(std::env::current_exe()?)
            .args(["-q", "load", "--job", "1/1", "--job-target", &target])
            .args(["--active", &active, "--rate", &rate])
            .args(["--duration", &duration, "--warmup", &format!("{warmup}ms")])
            .args(["--connect-timeout", "1s", "--probe", "off", &target])
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Traffic {
            process,
            stdin,
            lines: BufReader::new(stdout).lines(),
            intervals_left: plan.seconds,
        })
    }

    /// Waits for the next report.
    ///
    /// # Errors
    /// The load has ended without a result.
    pub(super) fn next(&mut self) -> io::Result<Report> {
        loop {
            let line = self.lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            let value: Value = json::parse(line.as_bytes())?;
            if value == "connected" {
                return Ok(Report::Connected);
            }
            if value.get("interval").is_some() {
                self.intervals_left = self.intervals_left.saturating_sub(1);
                if self.intervals_left == 0 {
                    return Ok(Report::Measured);
                }
            }
            if let Value::Object(mut fields) = value
                && let Some(saved) = fields.remove("saved")
            {
                return Ok(Report::Result(Box::new(json::from_value(saved)?)));
            }
        }
    }

    /// Begins with the warm-up.
    ///
    /// # Errors
    /// The load has ended.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let start = time_of_day() + LEAD_TIME + WARMUP;
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{}\n", start.as_nanos()).as_bytes())
    }

    /// Has it close its connections, and waits for its end.
    pub(super) fn finish(mut self) {
        self.stdin = None;
        let _ = self.process.wait();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // After `finish` it is waited for already, and this has no effect.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
