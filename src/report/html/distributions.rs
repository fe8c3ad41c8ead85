//! The charts of distributions: the curve of percentiles, and how many times are of which length.

use super::charts::{Figure, figure, line};
use crate::load::{Counts, Saved, Summary};
use crate::numbers::grouped;
use crate::report::chart::{Axis, Bar, Series, Style, Tip, bars, lines};
use crate::report::curve;
use crate::report::units::{as_f64, time};

pub(super) fn percentiles(saved: &Saved) -> Option<Figure> {
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

pub(super) fn responses(saved: &Saved) -> Option<Figure> {
    let summary = &saved.result.echo.response_time_us;
    let words = format!(
        "{} messages: the shortest took {}, the longest {}, on average {}.",
        grouped(summary.count),
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

pub(super) fn connects(saved: &Saved) -> Option<Figure> {
    let summary = &saved.result.connect.time_us;
    let words = format!(
        "{} connects: half took at most {}, 99 of 100 at most {}, the longest {}.",
        grouped(summary.count),
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
