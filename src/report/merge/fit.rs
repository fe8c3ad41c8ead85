//! Whether saved results can be merged: results whose sum would be meaningless are rejected with a reason.

use crate::load::{Configuration, Part};
use crate::report::saved::{Input, printable};
use std::time::Duration;

/// Whether results of different targets may be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All results have the same target; a different one is rejected, since it is usually a mistake.
    One,
    /// The targets are several servers, or several addresses of one.
    Several,
}

/// Checks that all results can be merged.
pub(super) fn check(inputs: &[Input], targets: Targets) -> Result<(), String> {
    if inputs.len() < 2 {
        return Ok(());
    }
    for (index, input) in inputs.iter().enumerate() {
        let name = input.name();
        if input.from() == input.to() {
            return Err(format!(
                "{name} cannot be merged: the load ended before the measured time"
            ));
        }
        for other in &inputs[..index] {
            pair(other, input, targets).map_err(|why| {
                let (other, why) = (other.name(), printable(&why));
                format!("{other} and {name} cannot be merged: {why}")
            })?;
        }
    }
    Ok(())
}

fn pair(one: &Input, other: &Input, targets: Targets) -> Result<(), String> {
    let (parts, others) = (one.saved().to_parts(), other.saved().to_parts());
    if parts.iter().any(|part| others.contains(part)) {
        return Err("both contain the same load, which would count twice".to_owned());
    }
    let (a, b) = (&one.saved().result.target, &other.saved().result.target);
    if a != b && targets == Targets::One {
        return Err(format!(
            "different targets, {a} and {b} (--across-targets merges them)"
        ));
    }
    for part in echoing(&parts) {
        for other in echoing(&others) {
            alike(part, other)?;
        }
    }
    overlap(one, other)
}

/// The configurations with active connections: without echoes there are no response times to compare.
fn echoing(parts: &[Part]) -> impl Iterator<Item = &Configuration> {
    let all = parts.iter().map(|part| &part.configuration);
    all.filter(|configuration| configuration.active > 0)
}

fn alike(one: &Configuration, other: &Configuration) -> Result<(), String> {
    let differ = |what: &str, a: &str, b: &str| Err(format!("different {what}: {a} and {b}"));
    let [a, b] = [one, other].map(|one| one.script.as_deref().unwrap_or("echo"));
    if a != b {
        return differ("scripts (--script)", a, b);
    }
    let (a, b) = (one.size_bytes, other.size_bytes);
    if a != b {
        return differ("message sizes (--size)", &a.to_string(), &b.to_string());
    }
    let (a, b) = (one.pipeline, other.pipeline);
    if a != b {
        let what = "numbers of messages in flight (--pipeline)";
        return differ(what, &a.to_string(), &b.to_string());
    }
    let [a, b] = [one, other].map(|one| if one.tls { "on" } else { "off" });
    if a != b {
        return differ("--tls", a, b);
    }
    let [a, b] = [one, other].map(|one| one.churn.as_deref().unwrap_or("off"));
    if a != b {
        return differ("--churn", a, b);
    }
    let [a, b] = [one, other].map(|one| one.rate.map_or("closed loop", |_| "on schedule"));
    if a != b {
        return differ("pacing (--rate)", a, b);
    }
    Ok(())
}

/// Checks that the measured times of two results overlap. Intervals that overlap in pairs all share a point in time.
fn overlap(one: &Input, other: &Input) -> Result<(), String> {
    let start = one.from().max(other.from());
    let end = one.to().min(other.to());
    if end.since(start) > Duration::ZERO {
        return Ok(());
    }
    let [a, b] = [one, other].map(|one| format!("{} to {}", one.from(), one.to()));
    Err(format!(
        "measured at different times, {a} and {b} (--start-at aligns them, and --clock the clocks of several hosts)"
    ))
}
