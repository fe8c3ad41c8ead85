//! `echoloop serve` as a child process, for a load without a target address.
//!
//! It has its own process group, so that Ctrl-C signals only the load; and it ends with the load in every case, because the
//! kernel signals it when its parent exits.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How long the server may drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval between checks while it drains.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// How the server listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// The address; port 0: a free port.
    pub address: SocketAddr,
    /// The most connections at a time; `None`: the server's default.
    pub max_connections: Option<u32>,
}

impl Default for Listening {
    /// On a free port of 127.0.0.1.
    fn default() -> Listening {
        Listening {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections: None,
        }
    }
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    address: SocketAddr,
    /// Open and not read: the server drops log lines that stderr does not accept.
    stderr: BufReader<ChildStderr>,
}

impl Child {
    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, or it exits before it listens; the error quotes its last log line.
    pub fn start(listening: Listening) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        // Its flags are these, whatever the environment of this process configures.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"ECHOLOOP_") {
                command.env_remove(name);
            }
        }
        let address = listening.address.to_string();
        command.args(["serve", "--listen", &address, "--end-with-parent"]);
        if let Some(most) = listening.max_connections {
            command.args(["--max-connections", &most.to_string()]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut child = Child {
            process,
            address: listening.address,
            stderr: BufReader::new(stderr),
        };
        child.address = address_from(&mut child.stderr)?;
        Ok(child)
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Drains the server; returns false if it does not exit in time.
    fn drain(&mut self) -> bool {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX));
        // The process is not reaped yet, so its id cannot be reused.
        if kill(pid, Signal::SIGTERM).is_err() {
            return false;
        }
        for _ in 0..DRAIN_TIMEOUT.as_millis() / CHECK_INTERVAL.as_millis() {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return true;
            }
            thread::sleep(CHECK_INTERVAL);
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.drain() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Reads the log up to the line with the address.
fn address_from(log: &mut impl BufRead) -> io::Result<SocketAddr> {
    let mut last = String::new();
    for line in log.lines() {
        last = line?;
        if let Some(address) = listening_address(&last) {
            return Ok(address);
        }
    }
    Err(io::Error::other(format!("it exited: {last}")))
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_from_the_log() {
        let log = "2026-11-20T09:49:31.075Z WARN  y\n2026-11-20T09:49:31.075Z INFO  listening on 127.0.0.1:4711 (raw, backlog 4096)\n";
        let address = address_from(&mut log.as_bytes()).unwrap();
        assert_eq!(address, "127.0.0.1:4711".parse().unwrap());
    }

    #[test]
    fn exited_server_is_quoted() {
        let error = address_from(&mut "echoloop: cannot listen\n".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("cannot listen"), "{error}");
    }
}
