//! A comparison as one HTML page: the verdict, both runs in each chart, then all figures.

use super::charts::{elapsed, series};
use super::details::table;
use super::distributions::curved;
use super::{document, moment};
use crate::load::Saved;
use crate::report::chart::{Axis, Chart, Series, Style, Tip};
use crate::report::compare::{Comparison, Figure, Side, shown};
use crate::report::curve;
use crate::report::timeline::{Step, timeline};
use crate::report::units::{as_f64, micros, seconds, short};
use maud::{Markup, html};

/// Formats a comparison as a complete HTML document.
#[must_use]
pub fn comparison_html(comparison: &Comparison) -> String {
    let sides = [&comparison.base, &comparison.new];
    let steps = sides.map(|side| timeline(&side.saved));
    let charts: Vec<Markup> = [percentiles(sides), rates(&steps), times(&steps)]
        .into_iter()
        .flatten()
        .collect();
    let content = html! {
        (header(comparison))
        main {
            (warnings(comparison))
            section {
                h2 { "Figures" }
                (figures(comparison))
                p.soft {
                    "Significant: over 5 %, with 99.9 % confidence, judged from second to second. Noise: smaller or "
                    "less certain. The limits are those of the change from second to second."
                }
                (expectations(comparison))
            }
            @if !charts.is_empty() {
                section aria-label="Charts" {
                    h2 { "Charts" }
                    div.charts { @for chart in &charts { (chart) } }
                    (steps_table(&steps))
                }
            }
        }
    };
    let title = format!("echoloop: {} and {}", sides[0].name, sides[1].name);
    document(&title, &content, &sides[1].saved.version)
}

fn header(comparison: &Comparison) -> Markup {
    let verdict = comparison.verdict();
    let mut letters = verdict.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let verdict: String = first.into_iter().chain(letters).collect();
    html! {
        header {
            h1 { (verdict) }
            @for (name, side) in [("base", &comparison.base), ("new", &comparison.new)] {
                @let result = &side.saved.result;
                p.soft {
                    b { (name) } ": " (side.name) ", " (result.target) ", "
                    (seconds((result.seconds * 10.0).round() / 10.0)) " from " time { (moment(&result.started)) }
                    ", measured on " (side.saved.host)
                }
            }
        }
    }
}

fn warnings(comparison: &Comparison) -> Markup {
    html! {
        @if !comparison.warnings.is_empty() {
            section {
                h2 { "Problems" }
                @for warning in &comparison.warnings { p.card.wrong { (warning) } }
            }
        }
    }
}

fn figures(comparison: &Comparison) -> Markup {
    let row = |figure: &Figure| {
        let [name, base, new, change, verdict] = shown::cells(figure);
        let limits = figure
            .interval_percent
            .map_or(String::new(), |(low, high)| {
                format!("{low:+.1} to {high:+.1} %")
            });
        [name, base, new, change, limits, verdict]
    };
    let head = ["", "base", "new", "change", "limits, 99.9 %", ""];
    let all = comparison
        .figures
        .iter()
        .filter(|figure| shown::is_shown(figure));
    table("Both runs side by side", &head, all.map(row))
}

fn expectations(comparison: &Comparison) -> Markup {
    html! {
        @for expectation in &comparison.expect {
            @let (class, verdict) = if expectation.met { ("met", "met") } else { ("missed", "MISSED") };
            p { "expected " (expectation.expr) ": " span class=(class) { (verdict) } " (" (expectation.found()) ")" }
        }
    }
}

const NAMES: [(&str, Style); 2] = [("base", Style::First), ("new", Style::Second)];

/// The percentile curves of the response time of both runs.
fn percentiles(sides: [&Side; 2]) -> Option<Markup> {
    let of = |saved: &Saved| curve::percentiles(&saved.histograms.response_us);
    let points = sides.map(|side| of(&side.saved));
    let all = || points.iter().flatten().map(|(_, time)| *time);
    let (min, max) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
    let summaries = sides.map(|side| {
        crate::load::Distribution::of_counts(&side.saved.histograms.response_us).summary()
    });
    let [base, new] = &summaries;
    let chart = Chart {
        id: "percentiles",
        title: "Response time",
        caption: format!(
            "p50 {} and {}, p99 {} and {}, p99.9 {} and {}.",
            micros(base.p50),
            micros(new.p50),
            micros(base.p99),
            micros(new.p99),
            micros(base.p99_9),
            micros(new.p99_9)
        ),
        x: Axis::percentiles("percentile, log scale", base.count.max(new.count)),
        y: Axis::times("response time, log scale", min, max),
    };
    let high = chart.x.range().1;
    let lines: Vec<Series> = NAMES
        .into_iter()
        .zip(points.iter().zip(&summaries))
        .map(|((name, style), (points, summary))| curved(name, style, points, summary, high))
        .collect();
    Some(chart.lines(&lines, &[]))
}

/// The steps of the longer run: its end is that of the time axis.
fn longer(steps: &[Vec<Step>; 2]) -> &[Step] {
    let end = |steps: &Vec<Step>| steps.last().map_or(0.0, |step| step.interval.at);
    let [base, new] = steps;
    if end(base) > end(new) { base } else { new }
}

/// The values of both runs at each step of the longer one.
fn tips(steps: &[Vec<Step>; 2], value: impl Fn(&Step) -> String) -> Vec<Tip> {
    let at = |steps: &[Step], middle: f64| {
        let step = steps
            .iter()
            .find(|step| (step.from..step.interval.at).contains(&middle));
        step.map_or("-".to_owned(), &value)
    };
    let tip = |step: &Step| {
        let (from, to) = (step.from, step.interval.at);
        let [base, new] = [&steps[0], &steps[1]].map(|steps| at(steps, step.middle()));
        let text = format!(
            "{} to {}: base {base}, new {new}",
            seconds(from),
            seconds(to)
        );
        Tip { from, to, text }
    };
    longer(steps).iter().map(tip).collect()
}

fn rates(steps: &[Vec<Step>; 2]) -> Option<Markup> {
    let rates = || steps.iter().flatten().map(Step::rate);
    let max = rates().reduce(f64::max).filter(|max| *max > 0.0)?;
    let chart = Chart {
        id: "rate",
        title: "Replies per second",
        caption: "Replies received in each second of the measured time.".to_owned(),
        x: elapsed(longer(steps)),
        y: Axis::counts("replies per second", max),
    };
    let lines = both(steps, |step| Some(step.rate()));
    Some(chart.lines(&lines, &tips(steps, |step| short(step.rate()))))
}

fn times(steps: &[Vec<Step>; 2]) -> Option<Markup> {
    let p99 = |step: &Step| (step.interval.echoes > 0).then(|| as_f64(step.interval.p99_us));
    let all = || steps.iter().flatten().filter_map(p99);
    let (min, max) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
    let chart = Chart {
        id: "times",
        title: "p99 of the response time",
        caption: "The 99th percentile of the response times of each second.".to_owned(),
        x: elapsed(longer(steps)),
        y: Axis::times("p99, log scale", min, max),
    };
    let lines = both(steps, p99);
    Some(chart.lines(&lines, &tips(steps, |step| micros(step.interval.p99_us))))
}

fn both(steps: &[Vec<Step>; 2], value: impl Fn(&Step) -> Option<f64>) -> Vec<Series> {
    let lines = NAMES.into_iter().zip(steps);
    lines
        .map(|((name, style), steps)| series(name, style, steps, &value))
        .collect()
}

/// The charts over time as a table.
fn steps_table(steps: &[Vec<Step>; 2]) -> Markup {
    let cells = |step: Option<&Step>| match step {
        Some(step) => [short(step.rate()), micros(step.interval.p99_us)],
        None => ["\u{2013}".to_owned(), "\u{2013}".to_owned()],
    };
    let row = |(index, step): (usize, &Step)| {
        let [base, new] = [&steps[0], &steps[1]].map(|steps| cells(steps.get(index)));
        let ([base_rate, base_p99], [new_rate, new_p99]) = (base, new);
        [
            seconds(step.interval.at),
            base_rate,
            new_rate,
            base_p99,
            new_p99,
        ]
    };
    let columns = [
        "until",
        "base, replies/s",
        "new, replies/s",
        "base, p99",
        "new, p99",
    ];
    let rows = longer(steps).iter().enumerate().map(row);
    html! {
        details {
            summary { "The charts over time as a table" }
            (table("Replies per second and p99 over time", &columns, rows))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::{Verdict, compare};
    use crate::report::{Input, sample};

    fn page() -> String {
        let base = sample::load();
        let mut new = sample::of(&[vec![100], vec![90, 80], vec![], vec![70]]);
        new.host = "<script>".to_owned();
        let input = |saved| Input::of("a<b>.json", saved).unwrap();
        let comparison = compare(input(base), input(new)).unwrap();
        assert!(
            comparison
                .figures
                .iter()
                .all(|figure| figure.verdict != Verdict::Significant)
        );
        comparison_html(&comparison)
    }

    #[test]
    fn both_runs_are_in_each_chart() {
        let page = page();
        let charts: Vec<&str> = page.split("<svg role=\"img\"").skip(1).collect();
        assert_eq!(charts.len(), 3);
        for chart in charts {
            let chart = &chart[..chart.find("</svg>").unwrap()];
            assert!(
                chart.contains(">base</text>") && chart.contains(">new</text>"),
                "{chart}"
            );
            assert!(
                chart.contains("class=\"s1\"") && chart.contains("class=\"s2\""),
                "{chart}"
            );
        }
    }

    #[test]
    fn headline_is_the_verdict_and_strings_are_escaped() {
        let page = page();
        assert!(page.contains("<h1>Too few seconds to compare"), "{page}");
        assert!(page.contains("a&lt;b&gt;.json"));
        assert!(!page.contains("<script"));
        assert!(!page.contains("NaN"));
    }
}
