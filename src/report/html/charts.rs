//! The charts of a result: what is put on which axis, and what is said of it in words.

use crate::load::{Counts, Saved, Summary};
use crate::report::chart::{Axis, Bar, Caption, Frame, Series, Style, Tip, bars, lines};
use crate::report::curve;
use crate::report::timeline::Step;
use crate::report::units::{as_f64, count, seconds, short, time};

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
        percentiles(saved),
        responses(saved),
        connects(saved),
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

fn line(name: &'static str, style: Style, points: Vec<(f64, Option<f64>)>) -> Series {
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

fn figure(
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

fn connections(saved: &Saved, steps: &[Step]) -> Option<Figure> {
    if steps.is_empty() {
        return None;
    }
    let asked = saved.result.connections.asked;
    let held = |step: &Step| step.interval.held;
    let least = steps.iter().map(held).min().unwrap_or(0);
    let most = steps.iter().map(held).max().unwrap_or(0);
    let lost = steps.last().map_or(0, |step| step.interval.lost);
    let words = if least == most {
        format!(
            "{} held throughout, of {} asked for; ",
            count(most),
            count(asked)
        )
    } else {
        let (least, most, asked) = (count(least), count(most), count(asked));
        format!("{least} to {most} held, of {asked} asked for; ")
    };
    let words = words + &format!("{} lost in the measured part.", count(lost));
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
        format!("{} held, {} lost so far", count(held), count(lost))
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
        "{} to {} echoes per second, {} over all{}.",
        short(least),
        short(most),
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

fn percentiles(saved: &Saved) -> Option<Figure> {
    let response = curve::percentiles(&saved.histograms.response_us);
    let service = curve::percentiles(&saved.histograms.service_us);
    let echo = &saved.result.echo;
    let summary = &echo.response_time_us;
    let (lowest, highest) = (response.first()?, response.last()?);
    let least = service
        .first()
        .map_or(lowest.1, |point| point.1.min(lowest.1));
    let most = service
        .last()
        .map_or(highest.1, |point| point.1.max(highest.1));
    let words = format!(
        "Response time runs from when a message was due: half took at most {}, 99 of 100 at most {}, 999 of 1,000 at \
         most {}. Service time runs from when it was sent{}.",
        time(as_f64(summary.p50)),
        time(as_f64(summary.p99)),
        time(as_f64(summary.p99_9)),
        if saved.configuration.rate.is_none() {
            "; without a schedule that is the same moment"
        } else {
            ""
        }
    );
    let x = Axis::percentiles("per cent of the messages, log scale", summary.count);
    let y = Axis::times("took at most, log scale", least, most);
    let (frame, figure) = figure("percentiles", "Percentiles", words, x, y);
    let high = frame.x.ends().1;
    let all = [
        curved("response time", Style::First, &response, summary, high),
        curved(
            "service time",
            Style::Second,
            &service,
            &echo.service_time_us,
            high,
        ),
    ];
    Some(Figure {
        svg: lines(&frame, &all, &percentile_tips(saved, high)),
        ..figure
    })
}

/// The percentiles that have a name, as far as the axis goes.
fn named(summary: &Summary, high: f64) -> impl Iterator<Item = (f64, f64)> {
    let all = [
        (50.0, summary.p50),
        (90.0, summary.p90),
        (99.0, summary.p99),
        (99.9, summary.p99_9),
        (99.99, summary.p99_99),
    ];
    let shown = all
        .into_iter()
        .filter(move |(percent, _)| *percent <= high + 1e-9);
    shown.map(|(percent, microseconds)| (percent, as_f64(microseconds)))
}

fn percentile_tips(saved: &Saved, high: f64) -> Vec<Tip> {
    let echo = &saved.result.echo;
    let response = named(&echo.response_time_us, high);
    let service = named(&echo.service_time_us, high);
    let mut from = 0.0;
    let tips = response
        .zip(service)
        .map(|((percent, response), (_, service))| {
            let tip = Tip {
                from,
                to: percent,
                text: format!(
                    "p{percent}: response time {}, service time {}",
                    time(response),
                    time(service)
                ),
            };
            from = percent;
            tip
        });
    tips.collect()
}

/// The curve as far as the axis goes, with marks at the percentiles that have a name: further on a single message decides.
fn curved(
    name: &'static str,
    style: Style,
    points: &[(f64, f64)],
    summary: &Summary,
    high: f64,
) -> Series {
    let points = points
        .iter()
        .map(|(percent, time)| (percent.min(high), Some(*time)));
    Series {
        marks: if summary.count == 0 {
            Vec::new()
        } else {
            named(summary, high).collect()
        },
        ..line(name, style, points.collect())
    }
}

/// How many times there are of which length.
fn spread(
    caption: (&'static str, &'static str),
    axes: (&str, &str),
    counts: &Counts,
    words: String,
) -> Option<Figure> {
    let (shortest, longest) = (counts.0.first()?, counts.0.last()?);
    let x = Axis::times(axes.0, as_f64(shortest.0), as_f64(longest.0));
    let (low, high) = x.ends();
    let per_decade = if high / low > 1000.0 { 10 } else { 20 };
    let bins = curve::bins(counts, low, high, per_decade);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    let y = Axis::counts(axes.1, as_f64(most));
    let (frame, figure) = figure(caption.0, caption.1, words, x, y);
    let drawn: Vec<Bar> = bins
        .into_iter()
        .map(|bin| Bar {
            from: bin.from,
            to: bin.to,
            count: bin.count,
            text: format!("{} to {}", time(bin.from), time(bin.to)),
        })
        .collect();
    Some(Figure {
        svg: bars(&frame, &drawn),
        ..figure
    })
}

fn responses(saved: &Saved) -> Option<Figure> {
    let summary = &saved.result.echo.response_time_us;
    let words = format!(
        "{} messages: the shortest took {}, the longest {}, on average {}.",
        count(summary.count),
        time(as_f64(summary.min)),
        time(as_f64(summary.max)),
        time(summary.mean)
    );
    spread(
        ("responses", "Spread of response times"),
        ("response time, log scale", "messages"),
        &saved.histograms.response_us,
        words,
    )
}

fn connects(saved: &Saved) -> Option<Figure> {
    let summary = &saved.result.connect.time_us;
    let words = format!(
        "{} connects: half took at most {}, 99 of 100 at most {}, the longest {}.",
        count(summary.count),
        time(as_f64(summary.p50)),
        time(as_f64(summary.p99)),
        time(as_f64(summary.max))
    );
    spread(
        ("connects", "Connect times"),
        ("from connect to standing, log scale", "connections"),
        &saved.histograms.connect_us,
        words,
    )
}
