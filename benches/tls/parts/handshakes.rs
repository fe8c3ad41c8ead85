//! Full handshakes on one core, and the server's CPU time for each.

use crate::bench::{Bench, figures_by_rival};
use crate::load::{Load, Outcome};
use crate::rivals::{RIVALS, Rival};
use crate::row::{Against, Row, Unit};
use crate::stats::median;

/// The least share of the best rival's handshakes per second.
const LEAST: f64 = 0.9;

/// Handshakes in progress.
const IN_PROGRESS: usize = 32;

/// A server that is at least so busy is the bottleneck.
const BUSY: f64 = 0.97;

pub(super) fn run(bench: &mut Bench) {
    let rounds = bench.full_or_quick(11, 2);
    let load = bench.timed(Load::new("handshake").with("connections", IN_PROGRESS));
    let alone = bench.measure_rivals(rounds, |rival| {
        let server = rival.has_handshake_alone().then(|| bench.start(rival))?;
        Some(load.run(&bench.machine, &server, server.handshake_address))
    });
    add_rows(bench, "full handshakes", &alone, true);
    let load = bench.timed(Load::new("echo-once").with("connections", IN_PROGRESS));
    let echoed = bench.load_rivals(rounds, &load);
    add_rows(bench, "full handshake, 128 B, close", &echoed, false);
}

/// The row of rates and the row of CPU times. The bar applies to the rates if the servers are the bottleneck, or else to
/// the CPU times.
fn add_rows(bench: &mut Bench, what: &str, outcomes: &[Vec<Outcome>; RIVALS], has_bar: bool) {
    let busy = busy(outcomes);
    let compared = [Rival::Echoloop, Rival::Haproxy, Rival::Nginx];
    let is_bottleneck = compared.iter().all(|rival| busy[*rival as usize] >= BUSY);
    let rates = figures_by_rival(outcomes, Outcome::rate);
    let costs = figures_by_rival(outcomes, Outcome::cpu_ns_each);
    let what_rate = format!("{what} ({})", format_busy(&busy));
    let mut rate = Row::new("handshakes", what_rate, Unit::PerSecond, rates);
    let what_cost = format!("{what}, CPU of the server");
    let mut cost = Row::new("handshakes", what_cost, Unit::Nanoseconds, costs);
    if has_bar && is_bottleneck {
        rate = rate.at_least(LEAST, Against::HaproxyOrNginx);
    } else if has_bar {
        cost = cost.at_most(1.0 / LEAST, Against::HaproxyOrNginx);
    }
    bench.report.add(rate);
    bench.report.add(cost);
    bench.report.add(generator_cost("handshakes", outcomes));
}

/// What the generator needs, which limits a rate if the server is not busy.
pub(super) fn generator_cost(part: &'static str, outcomes: &[Vec<Outcome>; RIVALS]) -> Row {
    let costs = figures_by_rival(outcomes, Outcome::generator_cpu_ns_each);
    Row::new(
        part,
        "the same, CPU of the generator",
        Unit::Nanoseconds,
        costs,
    )
}

/// The median share of the time that each server used its core; NaN if it was not measured.
pub(super) fn busy(outcomes: &[Vec<Outcome>; RIVALS]) -> [f64; RIVALS] {
    figures_by_rival(outcomes, Outcome::server_busy).map(|series| median(&series))
}

/// The shares in per cent, in the order of the columns.
pub(super) fn format_busy(busy: &[f64; RIVALS]) -> String {
    let shares = busy.iter().map(|share| {
        if share.is_nan() {
            "-".into()
        } else {
            format!("{:.0}", 100.0 * share)
        }
    });
    format!("busy {} %", shares.collect::<Vec<String>>().join("/"))
}
