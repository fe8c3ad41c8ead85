//! A server of one's own: `echoloop serve` as a child process, for a load that was given nobody to load.
//!
//! It has a process group of its own, so that Ctrl-C reaches the load alone; and it ends when the load ends, however that
//! happens, because the kernel tells it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How long its drain may take.
const DRAIN: Duration = Duration::from_secs(2);

/// How often it is looked at while it drains.
const LOOK: Duration = Duration::from_millis(5);

/// A running server. It is ended when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    address: SocketAddr,
    /// Not read any more, and not closed: the server drops log lines that nobody takes.
    _stderr: BufReader<ChildStderr>,
}

impl Child {
    /// Starts it on a port of 127.0.0.1 that the kernel picks, and waits until it listens.
    ///
    /// # Errors
    /// It could not be started, or ended at once: with what it said.
    pub fn start() -> io::Result<Child> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--end-with-parent"])
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let Some(stderr) = process.stderr.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut stderr = BufReader::new(stderr);
        match address_from(&mut stderr) {
            Ok(address) => Ok(Child {
                process,
                address,
                _stderr: stderr,
            }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to drain, and waits until it has; false if it has not in time.
    fn drain(&mut self) -> bool {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX));
        // Not reaped yet, so the id is still its own.
        if kill(pid, Signal::SIGTERM).is_err() {
            return false;
        }
        let looks = DRAIN.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return true;
            }
            thread::sleep(LOOK);
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

/// Reads the log until it says where the server listens.
fn address_from(log: &mut impl BufRead) -> io::Result<SocketAddr> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            let last = said.lines().last().unwrap_or("nothing");
            return Err(io::Error::other(format!("it ended and said: {last}")));
        }
        if let Some(address) = listening_address(&line) {
            return Ok(address);
        }
        said.push_str(&line);
    }
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "2026-11-20T09:49:31.075Z WARN [x] y\n2026-11-20T09:49:31.075Z INFO  [echoloop::server] listening on 127.0.0.1:4711 (raw, backlog 4096)\n";
        let address = address_from(&mut log.as_bytes()).unwrap();
        assert_eq!(address, "127.0.0.1:4711".parse().unwrap());
    }

    #[test]
    fn a_server_that_ends_is_quoted() {
        let error = address_from(&mut "echoloop: cannot listen\n".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("cannot listen"), "{error}");
    }
}
