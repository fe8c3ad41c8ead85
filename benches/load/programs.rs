//! The two programs: starting and ending servers, and reading the results of loads.

use echoloop::load::LoadResult;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The program of this build, independent of the environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null());
    command
}

/// A running `echoloop serve`, which ends when this value is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Server {
        Server::start_at("127.0.0.1:0")
    }

    /// Starts a server on an address, which others may share.
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
            .unwrap_or_else(|| panic!("unexpected log line: {line}"));
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

/// A running `echoloop load`.
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

    /// Waits for the end of a load started with `-o json`; its result.
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

    /// The anonymous part of the proportional set size in bytes: pages of the program's file are not counted, since how
    /// many processes share them changes from moment to moment.
    pub(crate) fn memory(&self) -> i64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
        let kibibytes: i64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        1024 * kibibytes
    }
}

/// Runs a load to its end; its result.
pub(crate) fn load(address: SocketAddr, arguments: &[&str]) -> LoadResult {
    Running::start(address, &[&["-o", "json"], arguments].concat()).finish()
}
