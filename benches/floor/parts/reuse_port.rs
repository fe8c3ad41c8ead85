//! Two processes on one port, one per core, with the generator on both cores: the CPU time of both per echo.
//!
//! The reference is one process on a core of its own, as in all other parts. One process that shares its core with a
//! thread of the generator is shown, too: half of its clients then run on the server's core and need no wake-up of
//! another core, so its echoes are cheaper than with all clients on other cores.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::{Server, echoloop};
use crate::row::{Row, Unit, format_ratio};
use crate::stats::Interval;
use std::process::Command;

/// Connections per process.
const CONNECTIONS: usize = 50;

const SETTINGS: [&str; 3] = [
    "1 process, own core",
    "1 process, shared core",
    "2 processes, shared cores",
];

pub(super) fn run(bench: &mut Bench) {
    let load = |processes| bench.timed(Load::ping_pong(processes * CONNECTIONS, 128));
    let loads = [load(1), load(1).on_all_cores(), load(2).on_all_cores()];
    let machine = &bench.machine;
    let outcomes: [Vec<Outcome>; 3] = bench.interleaved(|setting| {
        let mut servers = vec![start("127.0.0.1:0", machine.server_core())];
        if setting == 2 {
            let address = servers[0].address.to_string();
            servers.push(start(&address, machine.generator_core()));
        }
        loads[setting].run(machine, &servers)
    });
    for (what, outcomes) in SETTINGS.iter().zip(&outcomes) {
        let rates = figures(outcomes, Outcome::rate);
        bench
            .report
            .add(Row::alone("reuse_port", *what, Unit::PerSecond, rates));
    }
    let costs = outcomes.map(|outcomes| figures(&outcomes, Outcome::cpu_ns_each));
    let ratios = [0, 1].map(|setting| Interval::of_ratios(&costs[2], &costs[setting]));
    for (what, costs) in SETTINGS.iter().zip(costs) {
        let what = format!("{what}, CPU per echo");
        let mut row = Row::alone("reuse_port", what, Unit::Nanoseconds, costs);
        if row.what.starts_with(SETTINGS[2]) {
            let [to_own, to_shared] = ratios.map(format_ratio);
            let bar = format!("{to_shared} of shared, {to_own} of own core: ≤ 1.05");
            row = row.bar(bar, ratios[0].low <= 1.05, true);
        }
        bench.report.add(row);
    }
}

fn start(address: &str, core: Option<usize>) -> Server {
    let mut command = Command::new(echoloop());
    command.args(["serve", "--reuse-port", "--listen", address]);
    Server::start(command, core)
}
