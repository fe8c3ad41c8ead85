//! The load generator as the bench uses it: the arguments of the generator process, and its result.

use crate::machine::Machine;
use crate::rivals::Server;
use crate::stats::as_f64;
use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A load to generate.
#[derive(Clone)]
pub(crate) struct Load {
    arguments: Vec<String>,
    cores: Cores,
}

/// Where the generator runs.
#[derive(Clone, Copy)]
enum Cores {
    /// On the generator's core.
    Generator,
    /// With a thread on each core.
    All,
    /// On the server's core.
    Server,
}

/// The result of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Echoes, messages or connections.
    done: f64,
    seconds: f64,
    server_cpu_ns: f64,
    pub(crate) syn_retransmits: f64,
    pub(crate) overflows: f64,
}

impl Load {
    fn new(work: &str) -> Load {
        Load {
            arguments: Vec::new(),
            cores: Cores::Generator,
        }
        .with("work", work)
    }

    /// Messages of `size` bytes, one in flight on each connection.
    pub(crate) fn ping_pong(connections: usize, size: usize) -> Load {
        let load = Load::new("ping-pong").with("connections", connections);
        load.with("size", size)
    }

    /// As [`ping_pong`](Load::ping_pong), in steps, with replies of `reply` bytes: the server is stopped while messages
    /// are sent.
    pub(crate) fn echo_steps(connections: usize, size: usize, reply: usize) -> Load {
        let load = Load::new("echo-steps").with("connections", connections);
        load.with("size", size).with("reply", reply)
    }

    /// Messages of `size` bytes without a reply, in steps.
    pub(crate) fn one_way_steps(connections: usize, size: usize) -> Load {
        let load = Load::new("one-way-steps").with("connections", connections);
        load.with("size", size)
    }

    /// Connections, `connections` per step, that each send a record of `size` bytes and close.
    pub(crate) fn record_steps(connections: usize, size: usize) -> Load {
        let load = Load::new("record-steps").with("connections", connections);
        load.with("size", size)
    }

    /// `count` connections that echo once and close; `close` is `fin` or `reset`.
    pub(crate) fn churn(count: usize, close: &str) -> Load {
        Load::new("churn").with("count", count).with("close", close)
    }

    /// `count` connections, opened as fast as possible.
    pub(crate) fn accept(count: usize) -> Load {
        Load::new("accept").with("count", count)
    }

    /// Connections that have echoed once: `few`, and in a second step `many`.
    pub(crate) fn hold(few: usize, many: usize) -> Load {
        Load::new("hold").with("counts", format!("{few},{many}"))
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Load {
        self.arguments.push(format!("{name}={value}"));
        self
    }

    /// Runs the generator with a thread on each core, which that thread shares with a server.
    pub(crate) fn on_all_cores(self) -> Load {
        Load {
            cores: Cores::All,
            ..self
        }
    }

    /// Runs the generator on the server's core, so that only one of them runs at a time.
    pub(crate) fn on_server_core(self) -> Load {
        Load {
            cores: Cores::Server,
            ..self
        }
    }

    /// Loads servers that all listen on the same address, and waits for the end of the load.
    pub(crate) fn run(&self, machine: &Machine, servers: &[Server]) -> Outcome {
        let output = self.command(machine, servers).output().unwrap();
        assert!(output.status.success(), "the generator failed");
        Outcome::parse(&String::from_utf8(output.stdout).unwrap())
    }

    /// Starts a load of several steps.
    pub(crate) fn start(&self, machine: &Machine, servers: &[Server]) -> Steps {
        let mut command = self.command(machine, servers);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Steps { child, lines }
    }

    fn command(&self, machine: &Machine, servers: &[Server]) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        let pids: Vec<String> = servers
            .iter()
            .map(|server| server.pid().to_string())
            .collect();
        command.arg("--generate").args(&self.arguments);
        command.arg(format!("target={}", servers[0].address));
        command.arg(format!("pids={}", pids.join(",")));
        let cores: Vec<usize> = match self.cores {
            Cores::Generator => machine.generator_core().into_iter().collect(),
            Cores::All => machine.cores().to_vec(),
            Cores::Server => machine.server_core().into_iter().collect(),
        };
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        command.arg(format!("cores={}", cores.join(",")));
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
    fn parse(json: &str) -> Outcome {
        let number = |name: &str| {
            let (_, rest) = json.split_once(&format!("\"{name}\":")).unwrap();
            rest.split([',', '}']).next().unwrap().parse().unwrap()
        };
        Outcome {
            done: number("done"),
            seconds: number("seconds"),
            server_cpu_ns: number("server_cpu_ns"),
            syn_retransmits: number("syn_retransmits"),
            overflows: number("overflows"),
        }
    }

    /// Echoes or connections per second.
    pub(crate) fn rate(&self) -> f64 {
        self.done / self.seconds
    }

    /// The server's CPU time per echo or connection.
    pub(crate) fn cpu_ns_each(&self) -> f64 {
        self.server_cpu_ns / self.done
    }

    /// The share of the time that the server used the CPU.
    pub(crate) fn server_busy(&self) -> f64 {
        self.server_cpu_ns / (self.seconds * 1e9)
    }

    /// The number of echoes, messages or connections.
    pub(crate) fn done(&self) -> f64 {
        self.done
    }
}

/// Checks that a line of the generator is parsed.
pub(crate) fn self_check() {
    let line = "{\"done\":10,\"seconds\":0.5,\"server_cpu_ns\":20,\"cpu_ns_each\":2.0,\"syn_retransmits\":0,\"overflows\":3}";
    let outcome = Outcome::parse(line);
    let same = |a: f64, b: f64| (a - b).abs() < as_f64(1) / 1e9;
    assert!(same(outcome.rate(), 20.0) && same(outcome.cpu_ns_each(), 2.0));
    assert!(same(outcome.overflows, 3.0));
}
