//! Merges several saved results into one.
//!
//! Histograms and counts are added; percentiles come from the sum and are never averaged. Intervals are aligned by the
//! wall clock. Rates are means over the time from the first start to the last end. A single result remains unchanged,
//! and the order of the inputs does not matter.

mod align;
mod fit;
mod machines;
mod words;

use super::saved::Input;
use super::units::{as_f64, total};
use crate::load::{
    Configuration, Connect, Connections, Counts, Distribution, Echo, Failed, Generator, Histograms,
    LoadResult, Part, Probe, SAVED_KIND, SCHEMA, Saved, WallTime,
};
use std::ops::Add;
use std::time::Duration;

pub use fit::Targets;

/// Merges saved results.
///
/// # Errors
/// There is no input, or two inputs cannot be merged; one line gives their names and the reason.
pub fn merge(mut inputs: Vec<Input>, targets: Targets) -> Result<Saved, String> {
    fit::check(&inputs, targets)?;
    inputs.sort_by(|one, other| key(one).cmp(&key(other)));
    match inputs.len() {
        0 => Err("there is nothing to merge".to_owned()),
        1 => Ok(inputs.remove(0).into_saved()),
        _ => Ok(sum(&inputs)),
    }
}

/// A total order: the result does not depend on the order of the inputs.
fn key(input: &Input) -> (WallTime, String, &[String], WallTime) {
    let saved = input.saved();
    // Two processes of one host may start in the same millisecond with the same command, so compare everything.
    let rest = format!("{} {:?}", saved.host, saved.result);
    (input.from(), rest, &saved.command, input.to())
}

/// The time from the first start to the last end.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: WallTime,
    to: WallTime,
}

impl Span {
    fn of(inputs: &[Input]) -> Span {
        let from = inputs.iter().map(Input::from).min().unwrap_or_default();
        let to = inputs.iter().map(Input::to).max().unwrap_or_default();
        Span { from, to }
    }

    fn seconds(self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }
}

fn sum(inputs: &[Input]) -> Saved {
    let span = Span::of(inputs);
    let parts = inputs.iter().flat_map(|input| input.saved().to_parts());
    let parts: Vec<Part> = parts.collect();
    let results: Vec<&LoadResult> = inputs.iter().map(|input| &input.saved().result).collect();
    let histograms = histograms(inputs);
    let (intervals, interval_response_us) = align::intervals(inputs, span);
    let of = |pick: fn(&Part) -> &str| words::distinct(parts.iter().map(pick));
    let (warnings, warning_details) =
        words::warnings(&parts, fit::shared_seconds(inputs), span.seconds());
    let result = LoadResult {
        schema: SCHEMA,
        target: words::distinct(results.iter().map(|result| result.target.as_str())),
        started: span.from.to_string(),
        seconds: span.seconds(),
        warnings,
        warning_details,
        connections: connections(&results),
        connect: connect(inputs, &parts, &histograms, span),
        echo: echo(&results, &histograms, span),
        probe: probe(&results),
        generator: generator(&results, &histograms),
        server: machines::servers(&parts),
        intervals,
        expect: words::expectations(&parts),
    };
    let begun = inputs.iter().map(|input| input.saved().begun.as_str());
    let ended = inputs.iter().map(|input| input.saved().ended.as_str());
    Saved {
        kind: SAVED_KIND.to_owned(),
        version: of(|part| &part.version),
        host: of(|part| &part.host),
        command: Vec::new(),
        configuration: configuration(inputs),
        begun: begun.min().unwrap_or_default().to_owned(),
        ended: ended.max().unwrap_or_default().to_owned(),
        result,
        histograms,
        interval_response_us,
        parts,
    }
}

fn histograms(inputs: &[Input]) -> Histograms {
    let sum = |pick: fn(&Histograms) -> &Counts| {
        let mut sum = Distribution::new();
        let all = inputs.iter().map(|input| &input.saved().histograms);
        all.for_each(|histograms| sum.add(pick(histograms)));
        sum.counts()
    };
    Histograms {
        connect_us: sum(|histograms| &histograms.connect_us),
        response_us: sum(|histograms| &histograms.response_us),
        service_us: sum(|histograms| &histograms.service_us),
        lag_us: sum(|histograms| &histograms.lag_us),
    }
}

fn connections(results: &[&LoadResult]) -> Connections {
    let of = |pick: fn(&Connections) -> u64| total(results, |result| pick(&result.connections));
    let failed =
        |pick: fn(&Failed) -> u64| total(results, |result| pick(&result.connections.failed));
    Connections {
        asked: of(|connections| connections.asked),
        opened: of(|connections| connections.opened),
        lost: of(|connections| connections.lost),
        failed: Failed {
            refused: failed(|failed| failed.refused),
            timeout: failed(|failed| failed.timeout),
            reset: failed(|failed| failed.reset),
            no_ports: failed(|failed| failed.no_ports),
            no_files: failed(|failed| failed.no_files),
            other: failed(|failed| failed.other),
        },
    }
}

fn connect(inputs: &[Input], parts: &[Part], histograms: &Histograms, span: Span) -> Connect {
    let phase = |input: &Input| {
        let saved = input.saved();
        let begun: WallTime = saved.begun.parse().ok()?;
        let length = Duration::try_from_secs_f64(saved.result.connect.seconds).ok()?;
        Some((begun, begun + length))
    };
    let phases = || inputs.iter().filter_map(phase);
    let first = phases().map(|(begun, _)| begun).min().unwrap_or_default();
    let last = phases().map(|(_, end)| end).max().unwrap_or_default();
    let seconds = last.since(first).as_secs_f64();
    let churns = parts.iter().any(|part| part.configuration.churn.is_some());
    let opened = total(inputs, |input| input.saved().result.connections.opened);
    let results = inputs.iter().map(|input| &input.saved().result);
    Connect {
        seconds,
        per_second: if churns {
            mean_rate(results, span, |result| result.connect.per_second)
        } else {
            ratio(as_f64(opened), seconds)
        },
        retransmitted: machines::retransmitted(parts),
        machine_retransmitted: machines::machine_retransmitted(parts),
        time_us: Distribution::of_counts(&histograms.connect_us).summary(),
    }
}

/// The mean of a rate over the whole span.
fn mean_rate<'a>(
    results: impl Iterator<Item = &'a LoadResult>,
    span: Span,
    rate: impl Fn(&LoadResult) -> f64,
) -> f64 {
    let all: f64 = results.map(|result| rate(result) * result.seconds).sum();
    ratio(all, span.seconds())
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn echo(results: &[&LoadResult], histograms: &Histograms, span: Span) -> Echo {
    let of = |pick: fn(&Echo) -> u64| total(results, |result| pick(&result.echo));
    let all = || results.iter().copied();
    Echo {
        sent: of(|echo| echo.sent),
        received: of(|echo| echo.received),
        mismatched: of(|echo| echo.mismatched),
        unanswered: of(|echo| echo.unanswered),
        per_second: mean_rate(all(), span, |result| result.echo.per_second),
        bytes_per_second: mean_rate(all(), span, |result| result.echo.bytes_per_second),
        response_time_us: Distribution::of_counts(&histograms.response_us).summary(),
        service_time_us: Distribution::of_counts(&histograms.service_us).summary(),
    }
}

fn probe(results: &[&LoadResult]) -> Probe {
    let of = |pick: fn(&Probe) -> u64| total(results, |result| pick(&result.probe));
    Probe {
        asked: of(|probe| probe.asked),
        alive: of(|probe| probe.alive),
        dead: of(|probe| probe.dead),
        mismatched: of(|probe| probe.mismatched),
    }
}

fn generator(results: &[&LoadResult], histograms: &Histograms) -> Generator {
    let cpus = results.iter().map(|result| result.generator.cpu_percent);
    Generator {
        cpu_percent: cpus.sum(),
        lag_us: Distribution::of_counts(&histograms.lag_us).summary(),
        saturated: results.iter().any(|result| result.generator.saturated),
    }
}

fn configuration(inputs: &[Input]) -> Configuration {
    let all = inputs.iter().map(|input| &input.saved().configuration);
    let all: Vec<&Configuration> = all.collect();
    let longest = |pick: fn(&Configuration) -> f64| {
        let lengths = all.iter().map(|configuration| pick(configuration));
        lengths.fold(0.0, f64::max)
    };
    let sources = all.iter().filter_map(|one| one.sources.as_deref());
    let sources = words::distinct(sources);
    // All configurations with active connections have the same messages and churn.
    let echoing = all.iter().find(|configuration| configuration.active > 0);
    let common = echoing.or(all.first()).map(|common| (*common).clone());
    Configuration {
        idle: total(&all, |configuration| configuration.idle),
        active: total(&all, |configuration| configuration.active),
        rate: all.iter().filter_map(|one| one.rate).reduce(f64::add),
        duration_seconds: longest(|configuration| configuration.duration_seconds),
        warmup_seconds: longest(|configuration| configuration.warmup_seconds),
        // Unlimited if one of them is.
        ramp: all.iter().map(|configuration| configuration.ramp).sum(),
        connect_timeout_seconds: longest(|configuration| configuration.connect_timeout_seconds),
        sources: Some(sources).filter(|sources| !sources.is_empty()),
        ..common.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
