//! A pattern as a process, as `echoloop lab patterns` starts it.

use crate::echoloop;
use crate::tools::PATIENCE;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running pattern. Dropping it ends it with its children.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(pattern: &str, workers: usize) -> Server {
        let workers = workers.to_string();
        let mut process = echoloop(&["lab", "pattern", pattern, "--workers", &workers])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().parse();
        let address = address.unwrap_or_else(|error| panic!("{pattern}: {error}: {line:?}"));
        Server { process, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection that the server serves: it has replied to a byte.
    pub(crate) fn connect_served(&self) -> TcpStream {
        let mut stream = self.connect();
        echo(&mut stream, b"!");
        stream
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The threads of the main process.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid()))
            .unwrap()
            .count()
    }

    /// The ids of its child processes.
    pub(crate) fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }
}

impl Server {
    /// Kills its main process alone, and waits for its end; its children end by themselves, or never.
    pub(crate) fn kill_parent(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::mem::forget(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// Sends the message and expects it back.
#[track_caller]
pub(crate) fn echo(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).unwrap();
    assert!(reply == message, "{} bytes differ", message.len());
}

/// Whether no byte has arrived.
pub(crate) fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let result = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Waits until a condition holds; panics if it never does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
