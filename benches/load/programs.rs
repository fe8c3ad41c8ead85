//! The two programs: servers that are started and ended, and loads whose results are read.

use echoloop::load::LoadResult;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A program of this build, free of what the environment would tell it.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null());
    command
}

/// An `echoloop serve`. It is ended with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// On a port of its own.
    pub(crate) fn start() -> Server {
        Server::start_at("127.0.0.1:0")
    }

    /// On a port that others may share.
    pub(crate) fn start_at(address: &str) -> Server {
        let mut process = program(&["serve", "--listen", address, "--reuse-port"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let (_, rest) = line
            .split_once("listening on ")
            .unwrap_or_else(|| panic!("serve said: {line}"));
        let address = rest.split_whitespace().next().unwrap().parse().unwrap();
        Server { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An `echoloop load` that runs.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(address: SocketAddr, arguments: &[&str]) -> Running {
        let address = address.to_string();
        let arguments = [&["load", &address, "-q"], arguments].concat();
        Running(
            program(&arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap(),
        )
    }

    /// Its result, at its end; it was started with `-o json`.
    pub(crate) fn finish(self) -> LoadResult {
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let result: LoadResult = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {:?}: {text}", output.status));
        for warning in &result.warnings {
            println!("  !! {warning}");
        }
        result
    }

    /// The proportional set of its memory in bytes, in which shared pages count by their share.
    pub(crate) fn memory(&self) -> i64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kibibytes: i64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        1024 * kibibytes
    }
}

/// Runs a load to its end.
pub(crate) fn load(address: SocketAddr, arguments: &[&str]) -> LoadResult {
    Running::start(address, &[&["-o", "json"], arguments].concat()).finish()
}
