//! The load generator as the bench uses it: the arguments of the generator process, and its result.

use crate::machine::Machine;
use crate::rivals::Server;
use std::collections::HashMap;
use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A load to generate.
#[derive(Clone)]
pub(crate) struct Load(Vec<String>);

/// The figures of a load, by name.
#[derive(Clone, Debug)]
pub(crate) struct Outcome(HashMap<String, String>);

impl Load {
    pub(crate) fn new(work: &str) -> Load {
        Load(Vec::new()).with("work", work)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Load {
        self.0.push(format!("{name}={value}"));
        self
    }

    /// Loads a server, and waits for the end of the load.
    pub(crate) fn run(&self, machine: &Machine, server: &Server, target: SocketAddr) -> Outcome {
        let output = self.command(machine, server, target).output().unwrap();
        assert!(
            output.status.success(),
            "the generator failed: {:?}",
            self.0
        );
        Outcome::parse(&String::from_utf8(output.stdout).unwrap())
    }

    /// Starts a load of several steps.
    pub(crate) fn start(&self, machine: &Machine, server: &Server) -> Steps {
        let mut command = self.command(machine, server, server.address);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Steps { child, lines }
    }

    fn command(&self, machine: &Machine, server: &Server, target: SocketAddr) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("--generate").args(&self.0);
        command.arg(format!("target={target}"));
        let pids: Vec<String> = server.pids().iter().map(ToString::to_string).collect();
        command.arg(format!("pids={}", pids.join(",")));
        if let Some(core) = machine.generator_core() {
            command.arg(format!("core={core}"));
        }
        command.stderr(Stdio::inherit());
        command
    }
}

/// A generator that pauses after each step.
pub(crate) struct Steps {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Steps {
    /// Waits until the step is done.
    pub(crate) fn wait(&mut self) -> Outcome {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the generator failed");
        Outcome::parse(&line)
    }

    /// Starts the next step.
    pub(crate) fn resume(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    fn parse(line: &str) -> Outcome {
        let pairs = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        Outcome(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        let value = self.0.get(name);
        value.unwrap_or_else(|| panic!("the generator prints no {name}"))
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap()
    }

    /// Echoes or handshakes per second.
    pub(crate) fn rate(&self) -> f64 {
        self.number("done") / self.number("seconds")
    }

    /// The server's CPU time per echo or handshake.
    pub(crate) fn cpu_ns_each(&self) -> f64 {
        self.number("server_cpu_ns") / self.number("done")
    }

    /// The generator's CPU time per echo or handshake.
    pub(crate) fn generator_cpu_ns_each(&self) -> f64 {
        self.number("generator_cpu_ns") / self.number("done")
    }

    /// The share of the time that the server used the CPU.
    pub(crate) fn server_busy(&self) -> f64 {
        self.number("server_cpu_ns") / (self.number("seconds") * 1e9)
    }
}

/// Checks that a line of the generator is parsed.
pub(crate) fn self_check() {
    let outcome = Outcome::parse("done=10 seconds=0.5 server_cpu_ns=250000000 suite=x\n");
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(near(outcome.rate(), 20.0) && near(outcome.server_busy(), 0.5));
    assert!(near(outcome.cpu_ns_each(), 25_000_000.0) && outcome.text("suite") == "x");
}
