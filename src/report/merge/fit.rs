//! Whether saved loads may be added up: what would make their sum mean nothing is refused, with the reason.

use crate::load::{Configuration, Part};
use crate::report::saved::{Input, printable};
use std::time::Duration;

/// Whether loads of several targets may be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All were put on the same address; what was put on others is refused, since it is mostly a mistake.
    One,
    /// They were put on several servers, or on one under several addresses, and that is meant so.
    Several,
}

/// Refuses what does not fit together.
pub(super) fn check(inputs: &[Input], targets: Targets) -> Result<(), String> {
    if inputs.len() < 2 {
        return Ok(());
    }
    for (index, input) in inputs.iter().enumerate() {
        if input.from() == input.to() {
            return Err(format!(
                "{} has no measured part: it was ended before, and cannot be merged",
                input.name()
            ));
        }
        for other in &inputs[..index] {
            pair(other, input, targets).map_err(|why| {
                let (one, two) = (other.name(), input.name());
                format!("{one} and {two} do not fit together: {}", printable(&why))
            })?;
        }
    }
    Ok(())
}

/// For how long all were measured at the same time, in seconds.
pub(super) fn shared_seconds(inputs: &[Input]) -> f64 {
    let last_begin = inputs.iter().map(Input::from).max().unwrap_or_default();
    let first_end = inputs.iter().map(Input::to).min().unwrap_or_default();
    first_end.since(last_begin).as_secs_f64()
}

fn pair(one: &Input, other: &Input, targets: Targets) -> Result<(), String> {
    let (parts, others) = (one.saved().to_parts(), other.saved().to_parts());
    if parts.iter().any(|part| others.contains(part)) {
        return Err("both hold the same load, which would be counted twice".to_owned());
    }
    let (target, its) = (&one.saved().result.target, &other.saved().result.target);
    if target != its && targets == Targets::One {
        return Err(format!(
            "one is of {target}, the other of {its}; --across-targets adds up several servers"
        ));
    }
    configurations(&parts, &others)?;
    overlap(one, other)
}

fn configurations(parts: &[Part], others: &[Part]) -> Result<(), String> {
    for part in echoing(parts) {
        for other in echoing(others) {
            alike(part, other)?;
        }
    }
    Ok(())
}

/// Those with echoes: what only holds connections has no times that could differ in kind.
fn echoing(parts: &[Part]) -> impl Iterator<Item = &Configuration> {
    let all = parts.iter().map(|part| &part.configuration);
    all.filter(|configuration| configuration.active > 0)
}

fn alike(one: &Configuration, other: &Configuration) -> Result<(), String> {
    if one.size_bytes != other.size_bytes {
        return Err(format!(
            "messages of {} and of {} bytes (--size)",
            one.size_bytes, other.size_bytes
        ));
    }
    if one.pipeline != other.pipeline {
        return Err(format!(
            "{} and {} messages in flight per connection (--pipeline)",
            one.pipeline, other.pipeline
        ));
    }
    if one.churn != other.churn {
        let named = |churn: &Option<String>| churn.clone().unwrap_or("off".to_owned());
        return Err(format!(
            "--churn is {} and {}",
            named(&one.churn),
            named(&other.churn)
        ));
    }
    if one.rate.is_some() != other.rate.is_some() {
        return Err(
            "one keeps a schedule (--rate), the other sends when a reply is in: \
             their response times do not mean the same"
                .to_owned(),
        );
    }
    Ok(())
}

/// Intervals of which every two overlap all have a time in common, so that it is enough to look at pairs.
fn overlap(one: &Input, other: &Input) -> Result<(), String> {
    let begin = one.from().max(other.from());
    let end = one.to().min(other.to());
    if end.since(begin) > Duration::ZERO {
        return Ok(());
    }
    Err(format!(
        "one was measured from {} to {}, the other from {} to {}: begin them together with --start-at",
        one.from(),
        one.to(),
        other.from(),
        other.to()
    ))
}
