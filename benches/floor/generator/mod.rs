//! The generator: a client process that is as cheap as it can be, so that the server is what is measured.
//!
//! The bench starts its own executable with `--generate` and words such as `target=127.0.0.1:8000 work=ping-pong
//! connections=50 size=128 seconds=0.4`; one line of JSON tells what came of it. It verifies the first echo of each
//! connection byte by byte, and later ones by their length alone.

mod churn;
mod crowd;
mod one_way;
mod open;
mod ping_pong;

use crate::cpu::Watched;
use crate::machine;
use crate::stats::as_f64;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// What is asked for, word by word.
struct Words(HashMap<String, String>);

/// What was measured.
#[derive(Debug, Default)]
struct Measured {
    /// Echoes, or connections where those are what is counted.
    done: u64,
    time: Duration,
    server_cpu_ns: u64,
    /// SYN segments that had to be sent again, on the whole machine.
    syn_retries: u64,
    /// Clients that found the server's backlog full, on the whole machine.
    overflows: u64,
}

/// Does what the words say.
pub(crate) fn run(words: impl Iterator<Item = String>) {
    let words = Words(words.filter_map(|word| pair(&word)).collect());
    echoloop::net::raise_descriptor_limit().unwrap();
    if let [core] = words.cores()[..] {
        machine::pin(0, core);
    }
    match words.text("work") {
        "ping-pong" => ping_pong::run(&words).print(),
        "churn" => churn::run(&words).print(),
        "accept" => crowd::accept(&words).print(),
        "pour" => one_way::pour(&words).print(),
        "records" => one_way::records(&words).print(),
        "hold" => crowd::hold(&words),
        other => panic!("no work {other}"),
    }
}

fn pair(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    Some((name.into(), value.into()))
}

impl Words {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn get<T: FromStr>(&self, name: &str) -> Option<T> {
        let value = self.0.get(name)?;
        let value = value.parse();
        Some(value.unwrap_or_else(|_| panic!("{name} is not what it should be")))
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).unwrap_or(default)
    }

    /// How many messages or connections are asked for.
    fn count(&self) -> u64 {
        self.get("count").unwrap()
    }

    /// The cores that it may use, with a thread on each; none: any, with one thread.
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
            "{{\"done\":{},\"seconds\":{:.6},\"server_cpu_ns\":{},\"cpu_ns_each\":{:.1},\"syn_retries\":{},\"overflows\":{}}}",
            self.done,
            self.time.as_secs_f64(),
            self.server_cpu_ns,
            as_f64(self.server_cpu_ns) / as_f64(self.done.max(1)),
            self.syn_retries,
            self.overflows
        );
    }
}

/// A message of so many bytes as a protocol has it: a line, a frame with four bytes of length, or just bytes.
fn message_in(speech: &str, size: usize) -> Vec<u8> {
    let mut message = vec![b'e'; size];
    match speech {
        "line" => *message.last_mut().unwrap() = b'\n',
        "frame" => {
            let length = u32::try_from(size - 4).unwrap();
            message[..4].copy_from_slice(&length.to_be_bytes());
        }
        _ => {}
    }
    message
}

/// Shows that what the kernel tells is read as it is meant.
pub(crate) fn self_check() {
    crowd::self_check();
}
