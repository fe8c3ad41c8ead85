//! How long several loads were measured at the same time, and whether their clocks agree.

use super::machines::host_count;
use crate::load::{Clocks, Part, Together, WallTime, Warning};
use crate::numbers::whole as milliseconds;
use crate::sorting;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The part of the whole time in which all must have been measured, or a warning follows.
const SHARED: f64 = 0.9;

/// How long all of these loads were measured at the same time.
pub(super) fn together(parts: &[Part]) -> Together {
    let hosts = host_count(parts);
    let clocks = clocks(parts, hosts);
    let reference = parts.first().and_then(|part| part.result.clock.as_ref());
    let reference = reference.filter(|_| clocks == Clocks::Compared);
    Together {
        hosts: hosts as u64,
        seconds: shared(parts).as_secs_f64(),
        clocks,
        server: reference.map(|clock| clock.server.clone()),
        uncertainty_us: reference.map(|_| uncertainty_us(parts)),
    }
}

fn clocks(parts: &[Part], hosts: usize) -> Clocks {
    let mut references = BTreeSet::new();
    for part in parts {
        let clock = part.result.clock.as_ref();
        references.insert(clock.map(|clock| clock.server.as_str()));
    }
    let mut references = references.into_iter();
    match (references.next(), references.next()) {
        (Some(None) | None, None) if hosts <= 1 => Clocks::OneHost,
        (Some(Some(server)), None) if hosts <= 1 || !is_loopback(server) => Clocks::Compared,
        _ => Clocks::NotCompared,
    }
}

/// Whether an address is a different server on each host.
fn is_loopback(server: &str) -> bool {
    let address = server.parse::<SocketAddr>();
    address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// When the measured time of a load began and ended.
fn measured(part: &Part) -> Option<(WallTime, WallTime)> {
    let from: WallTime = part.result.started.parse().ok()?;
    let length = Duration::try_from_secs_f64(part.result.seconds).ok()?;
    Some((from, from + length))
}

/// The time in which all loads were measured.
fn shared(parts: &[Part]) -> Duration {
    let spans = || parts.iter().filter_map(measured);
    let last_start = spans().map(|(from, _)| from).max().unwrap_or_default();
    let first_end = spans().map(|(_, to)| to).min().unwrap_or_default();
    first_end.since(last_start)
}

/// The shared time begins with one load and ends with another: their errors add up.
fn uncertainty_us(parts: &[Part]) -> f64 {
    let clocks = parts.iter().filter_map(|part| part.result.clock.as_ref());
    let mut errors: Vec<f64> = clocks.map(|clock| clock.uncertainty_us).collect();
    sorting::sort_by(&mut errors, f64::total_cmp);
    errors.iter().rev().take(2).sum()
}

/// The warnings about the clocks and about loads that were not measured together. The `whole` time is that from the
/// first start to the last end.
pub(super) fn warnings(parts: &[Part], together: &Together, whole: f64) -> Vec<Warning> {
    let mut found = Vec::new();
    if together.clocks == Clocks::NotCompared {
        found.push(Warning::ClocksNotCompared(together.hosts));
    }
    if together.seconds < whole * SHARED {
        let lengths = parts.iter().map(|part| part.result.seconds);
        let longest = lengths.fold(0.0, f64::max);
        let times = [together.seconds, whole, longest];
        let [shared, whole, longest] = times.map(|time| milliseconds(time * 1e3));
        found.push(Warning::PartialOverlap(shared, whole, longest));
    }
    found
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
