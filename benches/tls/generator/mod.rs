//! The load generator: a TLS 1.3 client process, which needs little CPU time. It verifies no certificate and no
//! signature, which would cost as much as the server's part of a handshake.
//!
//! The bench starts its own executable with `--generate` and options such as `target=127.0.0.1:8000 work=echo
//! connections=50 seconds=1`; the result is one line of `NAME=VALUE` pairs.

mod check;
mod client;
mod closed;
mod connection;
mod hold;
mod ping_pong;
mod scheduled;

use crate::{cpu, machine};
use client::Client;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The size of a message.
const MESSAGE: usize = 128;

/// The longest wait for a server.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The options of the generator, `NAME=VALUE` each.
struct Options(HashMap<String, String>);

/// Generates the load that the options describe.
pub(crate) fn run(arguments: impl Iterator<Item = String>) {
    let options = Options(arguments.filter_map(|argument| pair(&argument)).collect());
    echoloop::doctor::raise_fd_limit().unwrap();
    if let Some(core) = options.get("core") {
        machine::pin(core);
    }
    let client = Arc::new(Client::new(options.required("target")));
    match options.text("work") {
        "check" => check::run(&client),
        "hold" => hold::run(&client, &options),
        "echo" => ping_pong::run(&client, &options),
        "handshake" => closed::handshake(&client, &options),
        "echo-once" => closed::echo_once(&client, &options),
        "scheduled" => scheduled::run(&client, &options),
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

    fn required<T: FromStr>(&self, name: &str) -> T {
        self.get(name)
            .unwrap_or_else(|| panic!("{name}= is missing"))
    }

    /// An option in seconds.
    fn time(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.required(name))
    }

    fn pids(&self) -> Vec<u32> {
        let pids = self.text("pids").split(',');
        pids.filter_map(|pid| pid.parse().ok()).collect()
    }
}

/// The counts at an instant.
struct Reading {
    time: Instant,
    /// Echoes or handshakes.
    done: u64,
    server_cpu_ns: u64,
    generator_cpu_ns: u64,
}

impl Reading {
    fn now(done: u64, pids: &[u32]) -> Reading {
        Reading {
            time: Instant::now(),
            done,
            server_cpu_ns: cpu::nanoseconds(pids),
            generator_cpu_ns: cpu::nanoseconds(&[std::process::id()]),
        }
    }

    /// Prints the result of the time since an earlier reading.
    fn print_since(&self, before: &Reading) {
        println!(
            "done={} seconds={:.6} server_cpu_ns={} generator_cpu_ns={}",
            self.done - before.done,
            (self.time - before.time).as_secs_f64(),
            self.server_cpu_ns - before.server_cpu_ns,
            self.generator_cpu_ns - before.generator_cpu_ns,
        );
    }
}

/// Checks the arithmetic of the generator.
pub(crate) fn self_check() {
    scheduled::self_check();
}
