//! Seconds of several loads, put side by side by the wall clock.

use super::Span;
use crate::load::{Counts, Distribution, Interval};
use crate::report::saved::Input;
use crate::report::units::{as_f64, whole};
use std::collections::{BTreeMap, BTreeSet};

/// Which interval of an input falls into which second of the merged ones.
struct Placed<'a> {
    input: &'a Input,
    /// By the second: the first and the last that have their middle in it. Mostly they are the same.
    seconds: BTreeMap<u64, (usize, usize)>,
}

/// The merged intervals, and the response times of each.
///
/// An interval goes where its middle is, so that it is moved by at most half a second. Connections held before and after a
/// load's own measured part are those of its nearest second.
pub(super) fn intervals(inputs: &[Input], span: Span) -> (Vec<Interval>, Vec<Counts>) {
    let placed: Vec<Placed<'_>> = inputs.iter().map(|input| place(input, span)).collect();
    let seconds: BTreeSet<u64> = placed
        .iter()
        .flat_map(|placed| placed.seconds.keys().copied())
        .collect();
    // One for all of them: it is large, and seconds may be many.
    let mut response = Distribution::new();
    seconds
        .into_iter()
        .map(|second| {
            response.clear();
            let interval = interval(&placed, second, span, &mut response);
            (interval, response.counts())
        })
        .unzip()
}

fn place(input: &Input, span: Span) -> Placed<'_> {
    let offset = input.from().since(span.from).as_secs_f64();
    let mut seconds = BTreeMap::new();
    let mut began = 0.0;
    for (index, interval) in input.saved().result.intervals.iter().enumerate() {
        let middle = offset + f64::midpoint(began, interval.at);
        let place = seconds
            .entry(whole(middle.floor()))
            .or_insert((index, index));
        place.1 = index;
        began = interval.at;
    }
    Placed { input, seconds }
}

fn interval(
    placed: &[Placed<'_>],
    second: u64,
    span: Span,
    response: &mut Distribution,
) -> Interval {
    let mut sum = Interval {
        at: as_f64(second + 1).min(span.seconds()),
        ..Interval::default()
    };
    for one in placed {
        let saved = one.input.saved();
        if let Some((first, last)) = one.seconds.get(&second) {
            for index in *first..=*last {
                let interval = &saved.result.intervals[index];
                sum.echoes = sum.echoes.saturating_add(interval.echoes);
                sum.asked = sum.asked.saturating_add(interval.asked);
                response.add(&saved.interval_response_us[index]);
            }
        }
        let (held, lost) = one.standing(second);
        sum.held = sum.held.saturating_add(held);
        sum.lost = sum.lost.saturating_add(lost);
    }
    sum.p50_us = response.percentile(50.0);
    sum.p99_us = response.percentile(99.0);
    sum.max_us = response.max();
    sum
}

impl Placed<'_> {
    /// Connections held at the end of a second, and lost until then.
    fn standing(&self, second: u64) -> (u64, u64) {
        let intervals = &self.input.saved().result.intervals;
        if let Some((_, (_, last))) = self.seconds.range(..=second).next_back() {
            let nearest = &intervals[*last];
            return (nearest.held, nearest.lost);
        }
        let first = self.seconds.values().next();
        first.map_or((0, 0), |(first, _)| (intervals[*first].held, 0))
    }
}
