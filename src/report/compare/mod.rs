//! Two runs compared: each figure side by side, and whether it differs.
//!
//! Input: two saved results. Output: a [`Comparison`] for text, JSON and the page. The seconds of a run are its
//! independent samples. A figure is significant if the ratio of the seconds of both runs is beyond 5 % with 99.9 %
//! confidence, and the whole runs differ by over 5 % in the same direction. Pure.

mod blocks;
mod differences;
mod expect;
mod figure;
pub(super) mod shown;
mod significance;
mod text;

#[cfg(test)]
mod noise;
#[cfg(test)]
mod tests;

use super::saved::Input;
use super::units::as_f64;
use crate::load::{Distribution, Expectation, LoadResult, SCHEMA, Saved};
use blocks::{Run, Sample, samples};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use significance::FEWEST_BLOCKS;

pub use expect::{Expected, RelativeCondition};
pub use figure::{Figure, Unit, Verdict};
pub use text::comparison_text;

/// One of the two runs, for headings.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The name of the file.
    pub name: String,
    /// The saved result.
    pub saved: Saved,
}

/// Two runs compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The first run.
    pub base: Side,
    /// The second run.
    pub new: Side,
    /// What the runs do not share, and what makes their figures doubtful, one sentence each.
    pub warnings: Vec<String>,
    /// All figures that at least one run has.
    pub figures: Vec<Figure>,
    /// The conditions on the second run, or on its change from the first.
    pub expect: Vec<Expectation>,
}

/// Compares two runs.
///
/// # Errors
/// Both contain the same load, or one of them ended before its measured time; one line gives the reason.
pub fn compare(base: Input, new: Input) -> Result<Comparison, String> {
    differences::check(&base, &new)?;
    let side = |input: Input| Side {
        name: input.name().to_owned(),
        saved: input.into_saved(),
    };
    let (base, new) = (side(base), side(new));
    Ok(Comparison {
        warnings: differences::warnings(&base.saved, &new.saved),
        figures: figures(&base.saved, &new.saved),
        base,
        new,
        expect: Vec::new(),
    })
}

impl Comparison {
    /// The figure of this name in JSON.
    #[must_use]
    pub fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }

    /// The names of the figures that differ.
    pub(super) fn significant(&self) -> Vec<&'static str> {
        let figures = self.figures.iter();
        let differing = figures.filter(|figure| figure.verdict == Verdict::Significant);
        differing.map(|figure| figure.name).collect()
    }

    /// The result of the comparison in one sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        let significant = self.significant();
        let is_any = |verdict| self.figures.iter().any(|figure| figure.verdict == verdict);
        if !significant.is_empty() {
            format!("significant difference: {}", significant.join(", "))
        } else if self.figures.iter().any(Figure::is_decided) {
            "no significant difference".to_owned()
        } else if is_any(Verdict::TooFewSeconds) || is_any(Verdict::TooFewMessages) {
            let [base, new] = [&self.base, &self.new].map(|side| Run::new(&side.saved).seconds());
            format!(
                "too few seconds to compare: {base} and {new}, each run needs at least {FEWEST_BLOCKS}"
            )
        } else {
            "nothing to compare: no messages in both runs".to_owned()
        }
    }

    /// The comparison as JSON.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            schema: SCHEMA,
            verdict: self.verdict(),
            warnings: &self.warnings,
            compare: Figures(&self.figures),
            base: &self.base.saved.result,
            new: &self.new.saved.result,
            expect: &self.expect,
        }
    }
}

/// A comparison as JSON.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    schema: u32,
    verdict: String,
    warnings: &'a [String],
    compare: Figures<'a>,
    base: &'a LoadResult,
    new: &'a LoadResult,
    expect: &'a [Expectation],
}

/// The figures by name, in their order.
#[derive(Debug)]
struct Figures<'a>(&'a [Figure]);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for figure in self.0 {
            map.serialize_entry(figure.key, figure)?;
        }
        map.end()
    }
}

/// The percentiles that are tested: name in JSON, name in text, percentile.
const PERCENTILES: [(&str, &str, f64); 5] = [
    ("p50_us", "p50", 50.0),
    ("p90_us", "p90", 90.0),
    ("p99_us", "p99", 99.0),
    ("p99_9_us", "p99.9", 99.9),
    ("p99_99_us", "p99.99", 99.99),
];

fn figures(base: &Saved, new: &Saved) -> Vec<Figure> {
    let both = [base, new];
    let runs = both.map(Run::new);
    let [base_run, new_run] = &runs;
    let seconds = base_run.seconds().min(new_run.seconds());
    let test = |figure: Figure, sample: Sample| {
        let (base, new) = samples(base_run, new_run, sample);
        figure.tested(significance::ratio_interval(&base, &new), seconds)
    };
    let responses = both.map(|saved| Distribution::of_counts(&saved.histograms.response_us));
    let services = both.map(|saved| Distribution::of_counts(&saved.histograms.service_us));
    let of = |times: &[Distribution; 2], value: &dyn Fn(&Distribution) -> f64| {
        let [base, new] = times;
        [base, new].map(|times| (times.count() > 0).then(|| value(times)))
    };
    let time = |key, name, values| Figure::new(key, name, Unit::Microseconds, values);
    let rates = both.map(|saved| is_active(saved).then_some(saved.result.echo.per_second));
    let mut all = vec![
        test(
            Figure::new("rate", "rate", Unit::PerSecond, rates),
            Sample::Rate,
        ),
        test(
            time("mean_us", "mean", of(&responses, &Distribution::mean)),
            Sample::Mean,
        ),
    ];
    all.extend(PERCENTILES.map(|(key, name, percent)| {
        let values = of(&responses, &|times| as_f64(times.percentile(percent)));
        test(time(key, name, values), Sample::Percentile(percent))
    }));
    all.push(time(
        "max_us",
        "max",
        of(&responses, &|times| as_f64(times.max())),
    ));
    for (key, name, percent) in [
        ("service_p50_us", "service p50", 50.0),
        ("service_p99_us", "service p99", 99.0),
    ] {
        let values = of(&services, &|times| as_f64(times.percentile(percent)));
        all.push(time(key, name, values));
    }
    all.extend(untested(both));
    all.retain(|figure| figure.base.is_some() || figure.new.is_some());
    all
}

fn is_active(saved: &Saved) -> bool {
    saved.configuration.active > 0 || saved.result.echo.received > 0
}

/// Figures of which a run has one value.
fn untested(both: [&Saved; 2]) -> Vec<Figure> {
    let one = |key, name, unit, value: fn(&Saved) -> Option<f64>| {
        Figure::new(key, name, unit, both.map(value))
    };
    let count = |key, name, count: fn(&LoadResult) -> u64| {
        let values = both.map(|saved| Some(as_f64(count(&saved.result))));
        Figure::new(key, name, Unit::Count, values)
    };
    vec![
        one("connect_rate", "connects", Unit::PerSecond, |saved| {
            (saved.result.connections.opened > 0).then_some(saved.result.connect.per_second)
        }),
        one(
            "connect_p99_us",
            "connect p99",
            Unit::Microseconds,
            |saved| {
                let times = Distribution::of_counts(&saved.histograms.connect_us);
                (times.count() > 0).then(|| as_f64(times.percentile(99.0)))
            },
        ),
        one(
            "rss_bytes_per_connection",
            "memory/conn.",
            Unit::Bytes,
            |saved| {
                let server = saved.result.server.as_ref()?;
                Some(server.rss_bytes_per_connection)
            },
        ),
        one("server_cpu_percent", "server CPU", Unit::Percent, |saved| {
            Some(saved.result.server.as_ref()?.cpu_percent)
        }),
        one(
            "server_cpu_us_per_echo",
            "CPU per echo",
            Unit::Microseconds,
            |saved| {
                let server = saved.result.server.as_ref()?;
                let rate = saved.result.echo.per_second;
                (rate > 0.0).then(|| server.cpu_percent * 1e4 / rate)
            },
        ),
        one(
            "generator_cpu_percent",
            "load CPU",
            Unit::Percent,
            |saved| Some(saved.result.generator.cpu_percent),
        ),
        count("retransmitted", "retransmits", |result| {
            result.connect.retransmitted
        }),
        count("failed", "failed", |result| {
            result.connections.failed.total()
        }),
        count("lost", "lost", |result| result.connections.lost),
        count("mismatched", "mismatched", |result| {
            result
                .echo
                .mismatched
                .saturating_add(result.probe.mismatched)
        }),
        count("unanswered", "unanswered", |result| result.echo.unanswered),
        count("dead", "idle dead", |result| result.probe.dead),
    ]
}
