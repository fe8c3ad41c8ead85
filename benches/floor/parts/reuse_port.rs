//! Two processes on one port, one a core, with the generator sharing both cores: what an echo costs them together.
//!
//! The generator has a thread on each core in both cases, and 50 connections for each process: so that the number of
//! processes is all that differs.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::{Server, echoloop};
use crate::row::{Row, Unit, show_ratio};
use crate::stats::Interval;
use std::process::Command;

pub(super) fn run(bench: &mut Bench) {
    let loads = [50, 100].map(|connections| {
        let load = Load::ping_pong(connections, 128);
        bench.timed(load).on_all_cores()
    });
    let machine = &bench.machine;
    let [one, two] = bench.interleaved(|second| {
        let mut servers = vec![start("127.0.0.1:0", machine.server_core())];
        if second == 1 {
            let address = servers[0].address.to_string();
            servers.push(start(&address, machine.generator_core()));
        }
        loads[second].run(machine, &servers)
    });
    let rates = [&one, &two].map(|outcomes| figures(outcomes, Outcome::rate));
    let costs = [&one, &two].map(|outcomes| figures(outcomes, Outcome::cpu_ns_each));
    let ratio = Interval::of_ratios(&costs[1], &costs[0]);
    let [rate_of_one, rate_of_two] = rates;
    let [cost_of_one, cost_of_two] = costs;
    let add = |bench: &mut Bench, what: &str, unit, series| {
        bench
            .report
            .add(Row::alone("reuse_port", what, unit, series));
    };
    add(bench, "1 process", Unit::PerSecond, rate_of_one);
    add(bench, "2 processes", Unit::PerSecond, rate_of_two);
    add(
        bench,
        "1 process, CPU per echo",
        Unit::Nanoseconds,
        cost_of_one,
    );
    let what = "2 processes, CPU per echo";
    let row = Row::alone("reuse_port", what, Unit::Nanoseconds, cost_of_two);
    let bar = format!("{} of one: ≤ 1.05", show_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.low <= 1.05, true));
}

fn start(address: &str, core: Option<usize>) -> Server {
    let mut command = Command::new(echoloop());
    command.args(["serve", "--reuse-port", "--listen", address]);
    Server::start(command, core)
}
