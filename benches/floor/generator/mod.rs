//! The load generator: a client process that uses as little CPU as possible, so that the server is the bottleneck.
//!
//! The bench starts its own executable with `--generate` and options such as `target=127.0.0.1:8000 work=ping-pong
//! connections=50 size=128 seconds=0.4`; the result is one line of JSON. The first echo of each connection is verified
//! byte by byte, later ones by their length alone.

mod churn;
mod crowd;
mod open;
mod ping_pong;
mod steps;

use crate::cpu::Watched;
use crate::machine;
use crate::stats::as_f64;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// The longest wait for an echo or FIN.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The options of the generator, `NAME=VALUE` each.
struct Options(HashMap<String, String>);

/// The result of a load.
#[derive(Debug, Default)]
struct Measured {
    /// Echoes, messages or connections.
    done: u64,
    time: Duration,
    server_cpu_ns: u64,
    /// SYN retransmits of the whole machine.
    syn_retransmits: u64,
    /// Connections that met a full backlog, on the whole machine.
    overflows: u64,
}

/// Generates the load that the options describe.
pub(crate) fn run(arguments: impl Iterator<Item = String>) {
    let options = Options(arguments.filter_map(|argument| pair(&argument)).collect());
    echoloop::doctor::raise_fd_limit().unwrap();
    if let [core] = options.cores()[..] {
        machine::pin(core);
    }
    match options.text("work") {
        "ping-pong" => ping_pong::run(&options).print(),
        "churn" => churn::run(&options).print(),
        "accept" => crowd::accept(&options).print(),
        "hold" => crowd::hold(&options),
        "echo-steps" => steps::echo(&options).print(),
        "one-way-steps" => steps::one_way(&options).print(),
        "record-steps" => steps::records(&options).print(),
        other => panic!("no work {other}"),
    }
}

fn pair(argument: &str) -> Option<(String, String)> {
    let (name, value) = argument.split_once('=')?;
    Some((name.into(), value.into()))
}

impl Options {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn get<T: FromStr>(&self, name: &str) -> Option<T> {
        let value = self.0.get(name)?;
        let parsed = value.parse();
        Some(parsed.unwrap_or_else(|_| panic!("{name}={value} is invalid")))
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).unwrap_or(default)
    }

    /// The cores to use, with a thread on each; if there are none, one thread on any core.
    fn cores(&self) -> Vec<usize> {
        let cores = self.text("cores").split(',');
        cores.filter_map(|core| core.parse().ok()).collect()
    }

    fn target(&self) -> SocketAddr {
        self.get("target").unwrap()
    }

    fn watched(&self) -> Watched {
        if let Some(session) = self.get("session") {
            return Watched::Session(session);
        }
        let pids = self.text("pids").split(',');
        Watched::Processes(pids.filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Measured {
    fn print(&self) {
        println!(
            "{{\"done\":{},\"seconds\":{:.6},\"server_cpu_ns\":{},\"cpu_ns_each\":{:.1},\"syn_retransmits\":{},\"overflows\":{}}}",
            self.done,
            self.time.as_secs_f64(),
            self.server_cpu_ns,
            as_f64(self.server_cpu_ns) / as_f64(self.done.max(1)),
            self.syn_retransmits,
            self.overflows
        );
    }
}

/// Checks the parsing of kernel counters.
pub(crate) fn self_check() {
    crowd::self_check();
}
