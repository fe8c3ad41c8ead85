//! Merges several saved results into one.
//!
//! Histograms and counts are added; percentiles come from the sum and are never averaged. Intervals are aligned by the
//! wall clock. Rates are means over the time from the first start to the last end. A single result remains unchanged,
//! and the order of the inputs does not matter.

mod align;
mod fit;
mod machines;
mod parts;
mod together;
mod words;

use super::saved::Input;
use super::units::{as_f64, total};
use crate::load::{
    Configuration, Connect, Connections, Counts, Distribution, Echo, Failed, Generator, Handshakes,
    Histograms, Keepalives, LoadResult, Lost, LowerBounds, Part, Probe, SAVED_KIND, SCHEMA, Saved,
    UserspaceFigures, WallTime,
};
use crate::sorting;
use std::ops::Add;
use std::time::Duration;

pub use align::sum_of_second;
pub use fit::Targets;
pub use machines::host_count;
pub use parts::{check_parts, put_first};

/// Merges saved results.
///
/// # Errors
/// There is no input, or two inputs cannot be merged; one line gives their names and the reason.
pub fn merge(mut inputs: Vec<Input>, targets: Targets) -> Result<Saved, String> {
    fit::check(&inputs, targets)?;
    match inputs.len() {
        1 => Ok(inputs.remove(0).into_saved()),
        _ => merge_parts(inputs),
    }
}

/// Merges the results of the parts of one load, which one process has started together: even of parts that were
/// interrupted before their measured time, or that have measured nothing.
///
/// # Errors
/// There is no input.
pub fn merge_parts(mut inputs: Vec<Input>) -> Result<Saved, String> {
    if inputs.is_empty() {
        return Err("there is nothing to merge".to_owned());
    }
    sorting::sort_by(&mut inputs, |one, other| key(one).cmp(&key(other)));
    Ok(sum(&inputs))
}

/// A total order: the result does not depend on the order of the inputs.
fn key(input: &Input) -> (WallTime, String, &[String], WallTime) {
    let saved = input.saved();
    // Two processes of one host may start in the same millisecond with the same command, so compare everything.
    let result = serde_json::to_string(&saved.result).unwrap_or_default();
    let rest = format!("{} {result}", saved.host);
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
        // A part without a measured time has no place in the span of the others.
        let has_measured = |input: &&Input| input.from() < input.to();
        let any_has = inputs.iter().any(|input| has_measured(&input));
        let counted = || {
            inputs
                .iter()
                .filter(|input| !any_has || has_measured(input))
        };
        let from = counted().map(Input::from).min().unwrap_or_default();
        let to = counted().map(Input::to).max().filter(|_| any_has);
        Span {
            from,
            to: to.unwrap_or(from),
        }
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
    let of = |pick: fn(&Part) -> &str| words::distinct(&mut parts.iter().map(pick));
    let together = together::together(&parts);
    let of_clocks = together::warnings(&parts, &together, span.seconds());
    let (warnings, warning_details) = words::warnings(&parts, of_clocks);
    let result = LoadResult {
        schema: SCHEMA,
        target: words::distinct(&mut results.iter().map(|result| result.target.as_str())),
        started: span.from.to_string(),
        seconds: span.seconds(),
        warnings,
        warning_details,
        connections: connections(&results),
        connect: connect(inputs, &parts, &histograms, span),
        echo: echo(&results, &histograms, span),
        probe: probe(&results),
        keepalive: keepalive(&results),
        userspace_tcp: userspace_tcp(&results),
        generator: generator(&results, &histograms),
        server: machines::servers(&parts),
        intervals,
        expect: words::expectations(&parts),
        find: None,
        // Each part has its own offset.
        clock: None,
        together: Some(together),
    };
    let begun = inputs.iter().map(|input| input.saved().begun.as_str());
    let ended = inputs.iter().map(|input| input.saved().ended.as_str());
    Saved {
        kind: SAVED_KIND.to_owned(),
        version: of(|part| &part.version),
        host: of(|part| &part.host),
        host_id: common(parts.iter().map(|part| part.host_id.clone())),
        part: common(parts.iter().map(|part| part.part)),
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

/// The value that all have, if they have the same one.
fn common<T: PartialEq>(mut all: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first))
        .then_some(first)
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
        lower_bounds_us: sum(|histograms| &histograms.lower_bounds_us),
        handshake_us: sum(|histograms| &histograms.handshake_us),
    }
}

fn userspace_tcp(results: &[&LoadResult]) -> Option<UserspaceFigures> {
    let figures = results.iter().filter_map(|result| result.userspace_tcp);
    figures.reduce(|sum, one| sum + one)
}

fn connections(results: &[&LoadResult]) -> Connections {
    let of = |pick: fn(&Connections) -> u64| total(results, |result| pick(&result.connections));
    let failed =
        |pick: fn(&Failed) -> u64| total(results, |result| pick(&result.connections.failed));
    Connections {
        asked: of(|connections| connections.asked),
        opened: of(|connections| connections.opened),
        lost: of(|connections| connections.lost),
        lost_by: Lost {
            fin: of(|connections| connections.lost_by.fin),
            reset: of(|connections| connections.lost_by.reset),
            timeout: of(|connections| connections.lost_by.timeout),
            other: of(|connections| connections.lost_by.other),
        },
        reconnected: of(|connections| connections.reconnected),
        failed: Failed {
            refused: failed(|failed| failed.refused),
            timeout: failed(|failed| failed.timeout),
            reset: failed(|failed| failed.reset),
            no_ports: failed(|failed| failed.no_ports),
            no_files: failed(|failed| failed.no_files),
            hello: failed(|failed| failed.hello),
            tls: failed(|failed| failed.tls),
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
    let handshakes = handshakes(results.clone());
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
        handshake_us: handshakes
            .map(|_| Distribution::of_counts(&histograms.handshake_us).summary()),
        handshakes,
    }
}

/// The sum over the loads with TLS, if there are any.
fn handshakes<'a>(results: impl Iterator<Item = &'a LoadResult>) -> Option<Handshakes> {
    let all = results.filter_map(|result| result.connect.handshakes);
    all.reduce(|sum, other| Handshakes {
        full: sum.full.saturating_add(other.full),
        resumed: sum.resumed.saturating_add(other.resumed),
    })
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
    let (responses, bounds) = (&histograms.response_us, &histograms.lower_bounds_us);
    Echo {
        due: of(|echo| echo.due),
        sent: of(|echo| echo.sent),
        received: of(|echo| echo.received),
        outstanding: of(|echo| echo.outstanding),
        mismatched: of(|echo| echo.mismatched),
        unanswered: of(|echo| echo.unanswered),
        missing: of(|echo| echo.missing),
        per_second: mean_rate(all(), span, |result| result.echo.per_second),
        bytes_per_second: mean_rate(all(), span, |result| result.echo.bytes_per_second),
        response_time_us: Distribution::of_counts(responses).summary(),
        response_time_lower_bounds: LowerBounds::among(responses, bounds),
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
        lost: of(|probe| probe.lost),
        seconds: results
            .iter()
            .map(|result| result.probe.seconds)
            .fold(0.0, f64::max),
    }
}

fn keepalive(results: &[&LoadResult]) -> Keepalives {
    let of = |pick: fn(&Keepalives) -> u64| total(results, |result| pick(&result.keepalive));
    Keepalives {
        sent: of(|keepalive| keepalive.sent),
        received: of(|keepalive| keepalive.received),
        mismatched: of(|keepalive| keepalive.mismatched),
        unanswered: of(|keepalive| keepalive.unanswered),
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
    let mut sources = all.iter().filter_map(|one| one.sources.as_deref());
    let sources = words::distinct(&mut sources);
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
