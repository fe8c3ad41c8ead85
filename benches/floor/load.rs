//! The generator as the bench sees it: what it is to do, said in words, and what came of it.

use crate::machine::Machine;
use crate::rivals::Server;
use crate::stats::as_f64;
use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What the generator is to do.
#[derive(Clone)]
pub(crate) struct Load {
    words: Vec<String>,
    cores: Cores,
}

/// Where the generator runs.
#[derive(Clone, Copy)]
enum Cores {
    Own,
    /// With a thread on each.
    All,
    Servers,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Echoes or connections.
    done: f64,
    seconds: f64,
    server_cpu_ns: f64,
    pub(crate) syn_retries: f64,
    pub(crate) overflows: f64,
}

impl Load {
    fn new(work: &str) -> Load {
        Load {
            words: Vec::new(),
            cores: Cores::Own,
        }
        .with("work", work)
    }

    /// Messages of `size` bytes, one in flight on each connection.
    pub(crate) fn ping_pong(connections: usize, size: usize) -> Load {
        let load = Load::new("ping-pong").with("connections", connections);
        load.with("size", size)
    }

    /// Messages of `size` bytes that nothing comes back for.
    pub(crate) fn pour(connections: usize, size: usize) -> Load {
        let load = Load::new("pour").with("connections", connections);
        load.with("size", size)
    }

    /// Connections, so many at a time, that each bring a record of `size` bytes.
    pub(crate) fn records(connections: usize, size: usize) -> Load {
        let load = Load::new("records").with("connections", connections);
        load.with("size", size)
    }

    /// `count` connections that come, echo once and go; `close` is `fin` or `reset`.
    pub(crate) fn churn(count: usize, close: &str) -> Load {
        Load::new("churn").with("count", count).with("close", close)
    }

    /// `count` connections, as fast as they come.
    pub(crate) fn accept(count: usize) -> Load {
        Load::new("accept").with("count", count)
    }

    /// Connections that have echoed once, up to `few`, and later to `many`.
    pub(crate) fn hold(few: usize, many: usize) -> Load {
        Load::new("hold").with("counts", format!("{few},{many}"))
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Load {
        self.words.push(format!("{name}={value}"));
        self
    }

    /// By a thread on each core, which it shares with a server.
    pub(crate) fn on_all_cores(self) -> Load {
        Load {
            cores: Cores::All,
            ..self
        }
    }

    /// On the core of the server, so that they take turns.
    pub(crate) fn on_servers_core(self) -> Load {
        Load {
            cores: Cores::Servers,
            ..self
        }
    }

    /// Loads servers, all of which listen on the same address, to the end.
    pub(crate) fn run(&self, machine: &Machine, servers: &[Server]) -> Outcome {
        let output = self.command(machine, servers).output().unwrap();
        assert!(output.status.success(), "the generator failed");
        Outcome::parse(&String::from_utf8(output.stdout).unwrap())
    }

    /// Starts what is to be told to go on, step by step.
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
        command.arg("--generate").args(&self.words);
        command.arg(format!("target={}", servers[0].address));
        command.arg(format!("pids={}", pids.join(",")));
        let cores: Vec<usize> = match self.cores {
            Cores::Own => machine.generator_core().into_iter().collect(),
            Cores::All => machine.cores().to_vec(),
            Cores::Servers => machine.server_core().into_iter().collect(),
        };
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        command.arg(format!("cores={}", cores.join(",")));
        command.stderr(Stdio::inherit());
        command
    }
}

/// A generator that does its work in steps.
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

    /// Lets it take the next step.
    pub(crate) fn go_on(&mut self) {
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
            syn_retries: number("syn_retries"),
            overflows: number("overflows"),
        }
    }

    /// Echoes or connections a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done / self.seconds
    }

    /// The server's time on the processor for each echo or connection.
    pub(crate) fn cpu_ns_each(&self) -> f64 {
        self.server_cpu_ns / self.done
    }

    /// Which part of the time the server was on the processor.
    pub(crate) fn server_busy(&self) -> f64 {
        self.server_cpu_ns / (self.seconds * 1e9)
    }

    /// How many echoes or connections there were.
    pub(crate) fn done(&self) -> f64 {
        self.done
    }
}

/// Shows that a line of the generator is understood.
pub(crate) fn self_check() {
    let line = "{\"done\":10,\"seconds\":0.5,\"server_cpu_ns\":20,\"cpu_ns_each\":2.0,\"syn_retries\":0,\"overflows\":3}";
    let outcome = Outcome::parse(line);
    let same = |a: f64, b: f64| (a - b).abs() < as_f64(1) / 1e9;
    assert!(same(outcome.rate(), 20.0) && same(outcome.cpu_ns_each(), 2.0));
    assert!(same(outcome.overflows, 3.0));
}
