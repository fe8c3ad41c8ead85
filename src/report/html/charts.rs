//! The charts of a result: what is put on which axis, and what is said of it in words. Here those over time.

use super::shapes;
use crate::load::Saved;
use crate::numbers::grouped;
use crate::report::chart::{Axis, Caption, Frame, Series, Style, Tip, lines};
use crate::report::timeline::Step;
use crate::report::units::{as_f64, seconds, short, time};

/// A chart, and the sentence beneath it.
pub(super) struct Figure {
    pub(super) svg: String,
    pub(super) title: &'static str,
    pub(super) words: String,
}

/// All charts for which there is anything to show.
pub(super) fn figures(saved: &Saved, steps: &[Step]) -> Vec<Figure> {
    let all = [
        connections(saved, steps),
        rates(saved, steps),
        times(steps),
        shapes::percentiles(saved),
        shapes::responses(saved),
        shapes::connects(saved),
    ];
    all.into_iter().flatten().collect()
}

/// The end of the last step, which is that of the lower axis.
fn end(steps: &[Step]) -> f64 {
    steps.last().map_or(0.0, |step| step.interval.at)
}

fn since_start(steps: &[Step]) -> Axis {
    Axis::seconds("since the measured part began", end(steps))
}

/// What was found in each step, in its middle; a single one has the whole width.
fn series(
    name: &'static str,
    style: Style,
    steps: &[Step],
    pick: impl Fn(&Step) -> Option<f64>,
) -> Series {
    let points = match steps {
        [only] => vec![(only.from, pick(only)), (only.interval.at, pick(only))],
        _ => steps
            .iter()
            .map(|step| (step.middle(), pick(step)))
            .collect(),
    };
    line(name, style, points)
}

/// What stood at the end of each step, and at the beginning of the first.
fn standing(
    name: &'static str,
    style: Style,
    start: u64,
    steps: &[Step],
    pick: impl Fn(&Step) -> u64,
) -> Series {
    let ends = steps
        .iter()
        .map(|step| (step.interval.at, Some(as_f64(pick(step)))));
    let points = std::iter::once((0.0, Some(as_f64(start)))).chain(ends);
    line(name, style, points.collect())
}

pub(super) fn line(name: &'static str, style: Style, points: Vec<(f64, Option<f64>)>) -> Series {
    Series {
        name,
        style,
        points,
        marks: Vec::new(),
        is_filled: false,
    }
}

fn tips(steps: &[Step], words: impl Fn(&Step) -> String) -> Vec<Tip> {
    let tip = |step: &Step| Tip {
        from: step.from,
        to: step.interval.at,
        text: format!(
            "{} to {}: {}",
            seconds(step.from),
            seconds(step.interval.at),
            words(step)
        ),
    };
    steps.iter().map(tip).collect()
}

pub(super) fn figure(
    id: &'static str,
    title: &'static str,
    words: String,
    x: Axis,
    y: Axis,
) -> (Frame, Figure) {
    let caption = Caption {
        id,
        title: title.to_owned(),
        description: words.clone(),
    };
    let figure = Figure {
        svg: String::new(),
        title,
        words,
    };
    (Frame { caption, x, y }, figure)
}

/// From the least to the most, or the one that both are.
fn range(least: &str, most: &str) -> String {
    if least == most {
        return most.to_owned();
    }
    format!("{least} to {most}")
}

fn connections(saved: &Saved, steps: &[Step]) -> Option<Figure> {
    if steps.is_empty() {
        return None;
    }
    let asked = saved.result.connections.asked;
    let held = |step: &Step| step.interval.held;
    let least = steps.iter().map(held).min().unwrap_or(0);
    let most = steps.iter().map(held).max().unwrap_or(0);
    let lost = steps.last().map_or(0, |step| step.interval.lost);
    let words = format!(
        "{} held, of {} asked for; {} lost in the measured part.",
        range(&grouped(least), &grouped(most)),
        grouped(asked),
        grouped(lost)
    );
    let y = Axis::counts("connections", as_f64(asked.max(most)));
    let (frame, figure) = figure("connections", "Connections", words, since_start(steps), y);
    let first = steps.first().map_or(0, held);
    let whole = [
        (0.0, Some(as_f64(asked))),
        (end(steps), Some(as_f64(asked))),
    ];
    let all = [
        Series {
            is_filled: true,
            ..standing("held", Style::First, first, steps, held)
        },
        line("asked", Style::Second, whole.to_vec()),
        standing("lost", Style::Bad, 0, steps, |step| step.interval.lost),
    ];
    let tips = tips(steps, |step| {
        let (held, lost) = (step.interval.held, step.interval.lost);
        format!("{} held, {} lost so far", grouped(held), grouped(lost))
    });
    Some(Figure {
        svg: lines(&frame, &all, &tips),
        ..figure
    })
}

fn rates(saved: &Saved, steps: &[Step]) -> Option<Figure> {
    if steps.is_empty() || saved.result.echo.sent == 0 {
        return None;
    }
    let rates = || steps.iter().map(Step::rate);
    let least = rates().fold(f64::INFINITY, f64::min);
    let most = rates().fold(0.0, f64::max);
    let asked = steps.iter().map(Step::asked_rate).fold(0.0, f64::max);
    let has_schedule = saved.configuration.rate.is_some();
    let words = format!(
        "{} echoes per second, {} over all{}.",
        range(&short(least), &short(most)),
        short(saved.result.echo.per_second),
        match saved.configuration.rate {
            Some(rate) => format!(", of {} asked for", short(rate)),
            None => String::new(),
        }
    );
    let highest = if has_schedule { most.max(asked) } else { most };
    let y = Axis::counts("echoes per second", highest);
    let (frame, figure) = figure("rate", "Echoes per second", words, since_start(steps), y);
    let mut all = vec![Series {
        is_filled: true,
        ..series("came back", Style::First, steps, |step| Some(step.rate()))
    }];
    if has_schedule {
        all.push(series("were due", Style::Second, steps, |step| {
            Some(step.asked_rate())
        }));
    }
    let tips = tips(steps, |step| {
        format!("{} echoes per second", short(step.rate()))
    });
    Some(Figure {
        svg: lines(&frame, &all, &tips),
        ..figure
    })
}

fn times(steps: &[Step]) -> Option<Figure> {
    // A second in which nothing came back has no times.
    let shown = || steps.iter().filter(|step| step.interval.echoes > 0);
    let least = shown().map(|step| step.interval.p50_us).min()?;
    let most = shown().map(|step| step.interval.max_us).max()?;
    let worst = shown().map(|step| step.interval.p99_us).max()?;
    let best = shown().map(|step| step.interval.p99_us).min()?;
    let words = format!(
        "Of 100 messages, 99 took at most {} in the best second and {} in the worst; the longest took {}.",
        time(as_f64(best)),
        time(as_f64(worst)),
        time(as_f64(most))
    );
    let y = Axis::times("response time, log scale", as_f64(least), as_f64(most));
    let (frame, figure) = figure("times", "Response time", words, since_start(steps), y);
    let of = |name, style, pick: fn(&Step) -> u64| {
        series(name, style, steps, |step| {
            (step.interval.echoes > 0).then(|| as_f64(pick(step)))
        })
    };
    let all = [
        of("p50", Style::First, |step| step.interval.p50_us),
        of("p99", Style::Second, |step| step.interval.p99_us),
        of("max", Style::Third, |step| step.interval.max_us),
    ];
    let tips = tips(steps, |step| {
        let times = &step.interval;
        format!(
            "p50 {}, p99 {}, max {}",
            time(as_f64(times.p50_us)),
            time(as_f64(times.p99_us)),
            time(as_f64(times.max_us))
        )
    });
    Some(Figure {
        svg: lines(&frame, &all, &tips),
        ..figure
    })
}
