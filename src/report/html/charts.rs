//! The charts over time, and the list of all charts.

use super::{distributions, find};
use crate::load::Saved;
use crate::numbers::grouped;
use crate::report::chart::{Axis, Chart, Series, Style, Tip};
use crate::report::timeline::Step;
use crate::report::units::{as_f64, micros, seconds, short};
use maud::Markup;

/// All charts for which there is data.
pub(super) fn figures(saved: &Saved, steps: &[Step]) -> Vec<Markup> {
    let all = [
        connections(saved, steps),
        rates(saved, steps),
        times(steps),
        distributions::percentiles(saved),
        distributions::response_times(saved),
        distributions::connect_times(saved),
        distributions::handshake_times(saved),
    ];
    let found = saved.result.find.iter().flat_map(find::charts);
    found.chain(all.into_iter().flatten()).collect()
}

/// The horizontal axis of the charts over time.
pub(super) fn elapsed(steps: &[Step]) -> Axis {
    let end = steps.last().map_or(0.0, |step| step.interval.at);
    Axis::seconds("elapsed time", end)
}

/// A line through the middle of each step; a single step has its whole width.
#[inline(never)]
pub(super) fn series(
    name: &'static str,
    style: Style,
    steps: &[Step],
    value: impl Fn(&Step) -> Option<f64>,
) -> Series {
    let points = match steps {
        [only] => [only.from, only.interval.at]
            .map(|at| (at, value(only)))
            .to_vec(),
        _ => steps
            .iter()
            .map(|step| (step.middle(), value(step)))
            .collect(),
    };
    Series::new(name, style, points)
}

/// A line through the start value and the value at the end of each step.
fn levels(
    name: &'static str,
    style: Style,
    start: u64,
    steps: &[Step],
    value: impl Fn(&Step) -> u64,
) -> Series {
    let mut points = vec![(0.0, Some(as_f64(start)))];
    points.extend(
        steps
            .iter()
            .map(|step| (step.interval.at, Some(as_f64(value(step))))),
    );
    Series::new(name, style, points)
}

fn tips(steps: &[Step], text: impl Fn(&Step) -> String) -> Vec<Tip> {
    let tip = |step: &Step| {
        let (from, to) = (step.from, step.interval.at);
        let text = format!("{} to {}: {}", seconds(from), seconds(to), text(step));
        Tip { from, to, text }
    };
    steps.iter().map(tip).collect()
}

/// `min to max`, or one value where both are the same.
fn range(min: String, max: &str) -> String {
    if min == max {
        min
    } else {
        format!("{min} to {max}")
    }
}

fn connections(saved: &Saved, steps: &[Step]) -> Option<Markup> {
    let requested = saved.result.connections.asked;
    let held = |step: &Step| step.interval.held;
    let lost = |step: &Step| step.interval.lost;
    let (start, end) = (steps.first()?, steps.last()?);
    let (min, max) = (steps.iter().map(held).min()?, steps.iter().map(held).max()?);
    let chart = Chart {
        id: "connections",
        title: "Connections",
        caption: format!(
            "{} held of {} requested; {} lost in the measured time.",
            range(grouped(min), &grouped(max)),
            grouped(requested),
            grouped(lost(end))
        ),
        x: elapsed(steps),
        y: Axis::counts("connections", as_f64(requested.max(max))),
    };
    let level = [0.0, end.interval.at].map(|at| (at, Some(as_f64(requested))));
    let all = [
        levels("held", Style::First, held(start), steps, held).filled(),
        Series::new("requested", Style::Second, level.to_vec()),
        levels("lost", Style::Bad, 0, steps, lost),
    ];
    let tips = tips(steps, |step| {
        let [held, lost] = [held(step), lost(step)].map(grouped);
        format!("{held} held, {lost} lost so far")
    });
    Some(chart.lines(&all, &tips))
}

fn rates(saved: &Saved, steps: &[Step]) -> Option<Markup> {
    if steps.is_empty() || saved.result.echo.is_none() {
        return None;
    }
    let requested = saved.configuration.rate;
    let min = steps.iter().map(Step::rate).fold(f64::INFINITY, f64::min);
    let mut max = steps.iter().map(Step::rate).fold(0.0, f64::max);
    let schedule = match requested {
        Some(rate) => format!(", requested {}", short(rate)),
        None => String::new(),
    };
    let range = range(short(min), &short(max));
    let mean = short(saved.result.echo.per_second);
    let mut all = vec![series("received", Style::First, steps, |step| Some(step.rate())).filled()];
    if requested.is_some() {
        all.push(series("due", Style::Second, steps, |step| {
            Some(step.due_rate())
        }));
        max = steps.iter().map(Step::due_rate).fold(max, f64::max);
    }
    let chart = Chart {
        id: "rate",
        title: "Echoes per second",
        caption: format!("{range} echoes per second, mean {mean}{schedule}."),
        x: elapsed(steps),
        y: Axis::counts("echoes per second", max),
    };
    let tips = tips(steps, |step| {
        format!("{} echoes per second", short(step.rate()))
    });
    Some(chart.lines(&all, &tips))
}

fn times(steps: &[Step]) -> Option<Markup> {
    // Without an echo there are no response times.
    let shown = || {
        steps
            .iter()
            .map(|step| &step.interval)
            .filter(|interval| interval.echoes > 0)
    };
    let min = shown().map(|interval| interval.p50_us).min()?;
    let max = shown().map(|interval| interval.max_us).max()?;
    let best = shown().map(|interval| interval.p99_us).min()?;
    let worst = shown().map(|interval| interval.p99_us).max()?;
    let chart = Chart {
        id: "times",
        title: "Response time",
        caption: format!(
            "The p99 was {} in the best interval and {} in the worst; the maximum was {}.",
            micros(best),
            micros(worst),
            micros(max)
        ),
        x: elapsed(steps),
        y: Axis::times("response time, log scale", as_f64(min), as_f64(max)),
    };
    let of = |name, style, pick: fn(&Step) -> u64| {
        let value = |step: &Step| (step.interval.echoes > 0).then(|| as_f64(pick(step)));
        series(name, style, steps, value)
    };
    let all = [
        of("p50", Style::First, |step| step.interval.p50_us),
        of("p99", Style::Second, |step| step.interval.p99_us),
        of("max", Style::Third, |step| step.interval.max_us),
    ];
    let tips = tips(steps, |step| {
        let times = &step.interval;
        let [p50, p99, max] = [times.p50_us, times.p99_us, times.max_us].map(micros);
        format!("p50 {p50}, p99 {p99}, max {max}")
    });
    Some(chart.lines(&all, &tips))
}
