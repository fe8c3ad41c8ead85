//! The charts of distributions: the curve of percentiles, and histograms of times.

use crate::load::{Counts, Saved, Summary};
use crate::numbers::grouped;
use crate::report::chart::{Axis, Chart, Series, Style, Tip};
use crate::report::curve;
use crate::report::units::{as_f64, micros, time};
use maud::Markup;

pub(super) fn percentiles(saved: &Saved) -> Option<Markup> {
    let response = curve::percentiles(&saved.histograms.response_us);
    let service = curve::percentiles(&saved.histograms.service_us);
    let echo = &saved.result.echo;
    let (of_response, of_service) = (&echo.response_time_us, &echo.service_time_us);
    let (first, last) = (response.first()?, response.last()?);
    let min = service
        .first()
        .map_or(first.1, |point| point.1.min(first.1));
    let max = service.last().map_or(last.1, |point| point.1.max(last.1));
    let closed_loop = match saved.configuration.rate {
        Some(_) => "",
        None => "; in a closed loop that is the same moment",
    };
    let chart = Chart {
        id: "percentiles",
        title: "Percentiles",
        caption: format!(
            "Response time is measured from when a message was due: p50 {}, p99 {}, p99.9 {}. Service time is measured \
             from when it was sent{closed_loop}.",
            micros(of_response.p50),
            micros(of_response.p99),
            micros(of_response.p99_9)
        ),
        x: Axis::percentiles("percentile, log scale", of_response.count),
        y: Axis::times("time, log scale", min, max),
    };
    let high = chart.x.range().1;
    let all = [
        curved("response time", Style::First, &response, of_response, high),
        curved("service time", Style::Second, &service, of_service, high),
    ];
    Some(chart.lines(&all, &percentile_tips(of_response, of_service, high)))
}

/// The percentiles of a summary up to `high`.
fn named(summary: &Summary, high: f64) -> impl Iterator<Item = (f64, u64)> {
    let all = [
        (50.0, summary.p50),
        (90.0, summary.p90),
        (99.0, summary.p99),
        (99.9, summary.p99_9),
        (99.99, summary.p99_99),
    ];
    all.into_iter()
        .filter(move |(percent, _)| *percent <= high + 1e-9)
}

fn percentile_tips(response: &Summary, service: &Summary, high: f64) -> Vec<Tip> {
    let mut tips = Vec::new();
    let mut from = 0.0;
    for ((percent, response), (_, service)) in named(response, high).zip(named(service, high)) {
        let [response, service] = [response, service].map(micros);
        let text = format!("p{percent}: response time {response}, service time {service}");
        let to = percent;
        tips.push(Tip { from, to, text });
        from = to;
    }
    tips
}

/// The curve up to the end of the axis, with marks at the percentiles of the summary.
pub(super) fn curved(
    name: &'static str,
    style: Style,
    points: &[(f64, f64)],
    summary: &Summary,
    high: f64,
) -> Series {
    let points = points
        .iter()
        .map(|(percent, time)| (percent.min(high), Some(*time)));
    let mut series = Series::new(name, style, points.collect());
    if summary.count > 0 {
        series.marks = named(summary, high)
            .map(|(percent, time)| (percent, as_f64(time)))
            .collect();
    }
    series
}

/// A histogram with the axis title `name`.
fn histogram(
    (id, title): (&'static str, &'static str),
    (name, unit): (&'static str, &'static str),
    counts: &Counts,
    summary: &Summary,
) -> Option<Markup> {
    let (shortest, longest) = (counts.0.first()?.0, counts.0.last()?.0);
    let x = Axis::times(name, as_f64(shortest), as_f64(longest));
    let (low, high) = x.range();
    let per_decade = if high / low > 1000.0 { 10 } else { 20 };
    let bins = curve::bins(counts, low, high, per_decade);
    let max = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    let [p50, p99, longest] = [summary.p50, summary.p99, summary.max].map(micros);
    let (count, mean) = (grouped(summary.count), time(summary.mean));
    let chart = Chart {
        id,
        title,
        caption: format!("{count} {unit}: mean {mean}, p50 {p50}, p99 {p99}, maximum {longest}."),
        x,
        y: Axis::counts(unit, as_f64(max)),
    };
    Some(chart.bars(&bins))
}

pub(super) fn response_times(saved: &Saved) -> Option<Markup> {
    histogram(
        ("responses", "Distribution of response times"),
        ("response time, log scale", "messages"),
        &saved.histograms.response_us,
        &saved.result.echo.response_time_us,
    )
}

pub(super) fn handshake_times(saved: &Saved) -> Option<Markup> {
    histogram(
        ("handshakes", "Distribution of TLS handshake times"),
        ("handshake time, log scale", "handshakes"),
        &saved.histograms.handshake_us,
        saved.result.connect.handshake_us.as_ref()?,
    )
}

pub(super) fn connect_times(saved: &Saved) -> Option<Markup> {
    histogram(
        ("connects", "Distribution of connect times"),
        ("connect time, log scale", "connections"),
        &saved.histograms.connect_us,
        &saved.result.connect.time_us,
    )
}
