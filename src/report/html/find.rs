//! What `load --find` has found: its sentence, and two charts over the value that was varied.

use super::details;
use crate::load::{Find, FindStep, LoadResult, Quantity};
use crate::numbers::grouped;
use crate::report::chart::{Axis, Chart, Series, Style, Tip};
use crate::report::units::{as_f64, micros, short};
use maud::{Markup, html};

/// The sentence, for the head of the page.
pub(super) fn sentence(result: &LoadResult) -> Markup {
    html! {
        @if let Some(find) = &result.find {
            p.verdict { (find.sentence) }
        }
    }
}

/// The charts for which there is data.
pub(super) fn charts(find: &Find) -> impl Iterator<Item = Markup> {
    [times(find), rates(find)].into_iter().flatten()
}

/// The steps as a table.
pub(super) fn table(find: &Find) -> Markup {
    let columns = [axis_title(find.what), "replies/s", "p50", "p99", ""];
    let row = |step: &FindStep| {
        let [p50, p99] =
            [step.p50_us, step.p99_us].map(|time| time.map_or("\u{2013}".to_owned(), micros));
        let met = if step.met { "met" } else { "not met" };
        let (value, rate) = (grouped(step.value), short(step.rate));
        [value, rate, p50, p99, met.to_owned()]
    };
    html! {
        details open {
            summary { "The steps as a table" }
            (details::table("Steps", &columns, find.steps.iter().map(row)))
        }
    }
}

fn axis_title(what: Quantity) -> &'static str {
    match what {
        Quantity::Rate => "messages per second requested",
        Quantity::Active => "active connections",
        Quantity::Idle => "idle connections",
    }
}

fn values(find: &Find) -> Axis {
    let max = find.steps.iter().map(|step| step.value).max();
    Axis::counts(axis_title(find.what), as_f64(max.unwrap_or(0)))
}

/// A tooltip around each value, up to the middle between it and its neighbours.
fn tips(find: &Find) -> Vec<Tip> {
    let at = |index: usize| find.steps.get(index).map(|step| as_f64(step.value));
    let tip = |(index, step): (usize, &FindStep)| {
        let value = as_f64(step.value);
        let before = index.checked_sub(1).and_then(at).unwrap_or(value / 2.0);
        let after = at(index + 1).unwrap_or(value);
        let p99 = step.p99_us.map_or("no reply".to_owned(), micros);
        let met = if step.met { "met" } else { "not met" };
        Tip {
            from: f64::midpoint(before, value),
            to: f64::midpoint(value, after),
            text: format!(
                "{}: {} replies per second, p99 {p99}, {met}",
                grouped(step.value),
                short(step.rate)
            ),
        }
    };
    find.steps.iter().enumerate().map(tip).collect()
}

fn series(
    find: &Find,
    name: &'static str,
    style: Style,
    value: impl Fn(&FindStep) -> Option<f64>,
) -> Series {
    let steps = find.steps.iter();
    let points = steps.map(|step| (as_f64(step.value), value(step)));
    Series::new(name, style, points.collect())
}

/// A vertical line at the best value.
fn knee(find: &Find, y: &Axis) -> Option<Series> {
    let at = as_f64(find.best?);
    let (low, high) = y.range();
    let points = [low, high].map(|y| (at, Some(y))).to_vec();
    Some(Series::new("best", Style::Third, points))
}

/// The caption of both charts.
fn caption(find: &Find) -> String {
    let best = find.best.map_or("none".to_owned(), grouped);
    format!("{} steps; the best value is {best}.", find.steps.len())
}

fn times(find: &Find) -> Option<Markup> {
    let p50 = |step: &FindStep| step.p50_us.map(as_f64);
    let p99 = |step: &FindStep| step.p99_us.map(as_f64);
    let min = find.steps.iter().filter_map(p50).reduce(f64::min)?;
    let max = find.steps.iter().filter_map(p99).reduce(f64::max)?;
    let y = Axis::times("response time, log scale", min, max);
    let mut all = vec![
        series(find, "p50", Style::First, p50),
        series(find, "p99", Style::Second, p99),
    ];
    all.extend(knee(find, &y));
    let chart = Chart {
        id: "find-times",
        title: "Response time by value",
        caption: caption(find),
        x: values(find),
        y,
    };
    Some(chart.lines(&all, &tips(find)))
}

fn rates(find: &Find) -> Option<Markup> {
    let rate = |step: &FindStep| Some(step.rate);
    let max = find.steps.iter().filter_map(rate).reduce(f64::max)?;
    if max <= 0.0 {
        return None;
    }
    let y = Axis::counts("replies per second", max);
    let mut all = vec![series(find, "received", Style::First, rate)];
    all.extend(knee(find, &y));
    let chart = Chart {
        id: "find-rates",
        title: "Replies per second by value",
        caption: caption(find),
        x: values(find),
        y,
    };
    Some(chart.lines(&all, &tips(find)))
}

#[cfg(test)]
mod tests {
    use crate::load::{Find, FindStep, Quantity, Saved};
    use crate::report::{html, sample};
    use proptest::prelude::*;

    fn saved(steps: Vec<FindStep>) -> Saved {
        let mut find = Find {
            what: Quantity::Idle,
            sentence: "700 <b>idle</b>".to_owned(),
            ..Find::default()
        };
        for step in steps {
            find.add(step);
        }
        let mut saved = sample::load();
        saved.result.find = Some(find);
        saved
    }

    fn step(value: u64, met: bool) -> FindStep {
        FindStep {
            value,
            rate: 100.0,
            p50_us: Some(value),
            p99_us: Some(2 * value),
            met,
        }
    }

    #[test]
    fn page_has_the_sentence_two_charts_and_the_knee() {
        let page = html(&saved(vec![step(100, true), step(200, false)]));
        assert!(page.contains("700 &lt;b&gt;idle"), "{page}");
        for id in ["find-times", "find-rates"] {
            assert!(page.contains(&format!("id=\"{id}-title\"")), "{id}");
        }
        assert_eq!(page.matches("the best value is 100").count(), 4, "{page}");
        assert!(page.contains("200: 100 replies per second, p99 400 us, not met"));
        assert!(page.contains("<td>200 us</td><td>met</td>"), "{page}");
        assert!(!html(&sample::load()).contains("find-times"));
    }

    #[test]
    fn page_of_steps_without_echoes_has_no_empty_chart() {
        let silent = FindStep {
            value: 5,
            ..FindStep::default()
        };
        assert!(!html(&saved(vec![silent])).contains("find-"));
        assert!(!html(&saved(Vec::new())).contains("find-"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_steps_are_drawn_within_the_chart(figures in proptest::collection::vec(any::<(u64, f64, u64, bool)>(), 0..9)) {
            let steps = figures.into_iter().map(|(value, rate, time, met)| FindStep {
                value,
                rate,
                p50_us: Some(time),
                p99_us: Some(time),
                met,
            });
            let page = html(&saved(steps.collect()));
            prop_assert!(!page.contains("NaN") && !page.contains("\"inf") && !page.contains("width=\"-"));
        }
    }
}
