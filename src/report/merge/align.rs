//! Intervals of several results, aligned by the wall clock.

use super::Span;
use crate::load::{Counts, Distribution, Interval};
use crate::report::saved::Input;
use crate::report::units::{as_f64, whole};
use std::collections::{BTreeMap, BTreeSet};

/// The intervals of one input by the second of the merged result.
struct Aligned<'a> {
    input: &'a Input,
    /// By second: the first and the last interval whose middle is in it, usually the same one.
    seconds: BTreeMap<u64, (usize, usize)>,
}

/// The merged intervals, and the response times of each.
///
/// An interval counts in the second that contains its middle, so that it moves by at most half a second. Before and
/// after its own measured time, an input contributes the connections of its nearest interval.
pub(super) fn intervals(inputs: &[Input], span: Span) -> (Vec<Interval>, Vec<Counts>) {
    let aligned: Vec<Aligned<'_>> = inputs.iter().map(|input| align(input, span)).collect();
    let mut seconds = BTreeSet::new();
    for aligned in &aligned {
        seconds.extend(aligned.seconds.keys());
    }
    // A histogram is large and there may be many seconds: all use the same one.
    let mut response = Distribution::new();
    let merged = seconds.into_iter().map(|second| {
        response.clear();
        let interval = interval(&aligned, second, span, &mut response);
        (interval, response.counts())
    });
    merged.unzip()
}

fn align(input: &Input, span: Span) -> Aligned<'_> {
    let offset = input.from().since(span.from).as_secs_f64();
    let mut seconds = BTreeMap::new();
    let mut start = 0.0;
    for (index, interval) in input.saved().result.intervals.iter().enumerate() {
        let middle = offset + f64::midpoint(start, interval.at);
        let second = seconds.entry(whole(middle.floor()));
        second.or_insert((index, index)).1 = index;
        start = interval.at;
    }
    Aligned { input, seconds }
}

/// The sum of the same second of several parts, from each part's interval and its response times.
#[must_use]
pub fn sum_of_second(parts: &[(Interval, Counts)]) -> Interval {
    let mut response = Distribution::new();
    let mut sum = Interval::default();
    for (interval, counts) in parts {
        sum.at = sum.at.max(interval.at);
        add_echoes(&mut sum, &mut response, interval, counts);
        sum.held = sum.held.saturating_add(interval.held);
        sum.lost = sum.lost.saturating_add(interval.lost);
    }
    set_percentiles(&mut sum, &response);
    sum
}

fn add_echoes(
    sum: &mut Interval,
    response: &mut Distribution,
    interval: &Interval,
    counts: &Counts,
) {
    sum.echoes = sum.echoes.saturating_add(interval.echoes);
    sum.asked = sum.asked.saturating_add(interval.asked);
    response.add(counts);
}

fn set_percentiles(sum: &mut Interval, response: &Distribution) {
    sum.p50_us = response.percentile(50.0);
    sum.p99_us = response.percentile(99.0);
    sum.max_us = response.max();
}

fn interval(
    aligned: &[Aligned<'_>],
    second: u64,
    span: Span,
    response: &mut Distribution,
) -> Interval {
    let mut sum = Interval {
        at: as_f64(second + 1).min(span.seconds()),
        ..Interval::default()
    };
    for one in aligned {
        let saved = one.input.saved();
        if let Some((first, last)) = one.seconds.get(&second) {
            for index in *first..=*last {
                let interval = &saved.result.intervals[index];
                let counts = &saved.interval_response_us[index];
                add_echoes(&mut sum, response, interval, counts);
            }
        }
        let (held, lost) = one.connections(second);
        sum.held = sum.held.saturating_add(held);
        sum.lost = sum.lost.saturating_add(lost);
    }
    set_percentiles(&mut sum, response);
    sum
}

impl Aligned<'_> {
    /// The connections held at the end of a second, and lost so far.
    fn connections(&self, second: u64) -> (u64, u64) {
        let intervals = &self.input.saved().result.intervals;
        if let Some((_, (_, last))) = self.seconds.range(..=second).next_back() {
            let nearest = &intervals[*last];
            return (nearest.held, nearest.lost);
        }
        let first = self.seconds.values().next();
        first.map_or((0, 0), |(first, _)| (intervals[*first].held, 0))
    }
}
