//! The charts over the number of idle clients.

use crate::lab::experiment::text::size;
use crate::lab::experiment::{Comparison, Row};
use crate::lab::patterns::Family;
use crate::numbers::{as_f64, grouped};
use crate::report::chart::{Axis, Chart, Label, Series, Style, Tip};
use crate::report::{short, time};
use crate::sorting;
use maud::{Markup, html};

/// A quantity with a chart for each family.
struct Quantity {
    title: &'static str,
    /// The charts' names in the page, by family.
    ids: [&'static str; 3],
    /// What is good.
    meaning: &'static str,
    value: fn(&Row) -> Option<f64>,
    axis: fn(f64, f64) -> Axis,
    text: fn(f64) -> String,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity {
        title: "CPU time per echo",
        ids: ["cpu-workers", "cpu-clients", "cpu-loops"],
        meaning: "A level line: idle clients cost no CPU time.",
        value: |row| row.cpu_us_per_echo,
        axis: |min, max| Axis::times("CPU per echo, log scale", min, max),
        text: time,
    },
    Quantity {
        title: "p99 of the response time",
        ids: ["p99-workers", "p99-clients", "p99-loops"],
        meaning: "Of 100 echoes, one took longer.",
        value: |row| row.p99_us.map(as_f64),
        axis: |min, max| Axis::times("p99, log scale", min, max),
        text: time,
    },
    Quantity {
        title: "Memory",
        ids: ["memory-workers", "memory-clients", "memory-loops"],
        meaning: "Proportional set size of all processes.",
        value: |row| row.pss_bytes.map(as_f64),
        axis: memory_axis,
        text: |bytes| size(crate::numbers::whole(bytes)),
    },
    Quantity {
        title: "Threads of all processes",
        ids: ["threads-workers", "threads-clients", "threads-loops"],
        meaning: "What the kernel has to schedule.",
        value: |row| Some(f64::from(row.threads)),
        axis: |_, max| Axis::powers("threads, log scale", (0, power_above(max)), 0.0, short),
        text: short,
    },
    Quantity {
        title: "Context switches per echo",
        ids: ["switches-workers", "switches-clients", "switches-loops"],
        meaning: "Below one: a wake-up serves several clients.",
        value: |row| row.switches_per_echo,
        axis: |_, max| Axis::counts("switches per echo", max),
        text: |switches| format!("{switches:.2}"),
    },
];

/// A column of charts.
struct Column {
    family: Family,
    title: &'static str,
}

const COLUMNS: [Column; 3] = [
    Column {
        family: Family::Workers,
        title: "A fixed number of workers",
    },
    Column {
        family: Family::PerClient,
        title: "A thread or process per client",
    },
    Column {
        family: Family::EventLoop,
        title: "One thread for all clients",
    },
];

const STYLES: [Style; 6] = [
    Style::First,
    Style::Second,
    Style::Third,
    Style::Fourth,
    Style::Fifth,
    Style::Sixth,
];

fn memory_axis(min: f64, max: f64) -> Axis {
    const MIB: f64 = 1024.0 * 1024.0;
    // Ticks at powers of ten of a MiB, as positions in MiB.
    let label = |mib: f64| format!("{mib} MiB");
    Axis::powers(
        "memory, log scale",
        (power_below(min / MIB), power_above(max / MIB)),
        0.0,
        label,
    )
}

/// The power of ten at or above a value.
#[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
fn power_above(value: f64) -> i32 {
    value.max(f64::MIN_POSITIVE).log10().ceil() as i32
}

/// The power of ten at or below a value.
#[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
fn power_below(value: f64) -> i32 {
    value.max(f64::MIN_POSITIVE).log10().floor() as i32
}

/// A section for each quantity; nothing without a series.
pub(super) fn sections(comparison: &Comparison) -> Markup {
    let series = &comparison.series;
    html! {
        @if !series.is_empty() {
            p.over { "A line ends, with a cross, where its pattern fails. All charts of a quantity have the same axes." }
            @for quantity in &QUANTITIES {
                section aria-label=(quantity.title) {
                    h2 { (quantity.title) }
                    p.soft { (quantity.meaning) }
                    div.charts {
                        @for (column, id) in COLUMNS.iter().zip(quantity.ids) {
                            (chart(series, quantity, column, id))
                        }
                    }
                }
            }
        }
    }
}

/// The idle clients of a point, for a log scale.
fn place(row: &Row) -> f64 {
    as_f64(row.idle.asked.max(1) as u64)
}

/// The axis of idle clients. Beyond the last number, the names of the lines have room.
fn clients_axis(series: &[Row]) -> Axis {
    let high = power_above(series.iter().map(place).fold(1.0, f64::max)).max(1);
    Axis::powers(
        "idle clients, log scale",
        (0, high),
        f64::from(high) * 0.42,
        short,
    )
}

fn chart(series: &[Row], quantity: &Quantity, column: &Column, id: &'static str) -> Markup {
    let served = |row: &&Row| row.failure.is_none();
    let values = series.iter().filter(served).filter_map(quantity.value);
    let (min, max) = values.fold((f64::INFINITY, 0.0_f64), |(min, max), value| {
        (min.min(value), max.max(value))
    });
    let of_family: Vec<&Row> = series
        .iter()
        .filter(|row| row.family == column.family)
        .collect();
    let (mut lines, mut labels, mut unserved) = (Vec::new(), Vec::new(), Vec::new());
    let groups = of_family.chunk_by(|one, other| one.pattern == other.pattern);
    for (rows, style) in groups.zip(STYLES.iter().cycle()) {
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.failure.is_none())
            .filter_map(|row| Some((place(row), (quantity.value)(row)?)))
            .collect();
        let ending = rows.iter().find_map(|row| ending(row));
        match (points.last(), ending) {
            (Some(at), ending) => labels.push(Label {
                style: *style,
                at: to_axis(quantity, *at),
                is_end: ending.is_some(),
                text: ending.unwrap_or_else(|| rows[0].pattern.to_owned()),
            }),
            (None, Some(ending)) => unserved.push(ending),
            (None, None) => {}
        }
        let points = points.into_iter().map(|point| to_axis(quantity, point));
        let points = points.map(|(x, y)| (x, Some(y))).collect();
        lines.push(Series::new(rows[0].pattern, *style, points));
    }
    let chart = Chart {
        id,
        title: column.title,
        caption: caption(&lines, &unserved),
        x: clients_axis(series),
        y: (quantity.axis)(min, max),
    };
    chart.labelled_lines(&lines, &labels, &tips(&of_family, quantity))
}

/// The position of a point on the axes: that of memory is in MiB.
fn to_axis(quantity: &Quantity, (x, y): (f64, f64)) -> (f64, f64) {
    let is_memory = quantity.ids[0] == "memory-workers";
    (x, if is_memory { y / 1024.0 / 1024.0 } else { y })
}

/// Why and where a line ends.
fn ending(row: &Row) -> Option<String> {
    let failure = row.failure.as_ref()?;
    let idle = grouped(row.idle.asked as u64);
    Some(format!(
        "{}: {} at {idle}",
        row.pattern,
        failure.kind.label()
    ))
}

fn caption(lines: &[Series], unserved: &[String]) -> String {
    let names = lines.iter().filter(|line| !line.points.is_empty());
    let names: Vec<&str> = names.map(|line| line.name).collect();
    let mut caption = match names.as_slice() {
        [] => "No pattern served all clients".to_owned(),
        names => names.join(", "),
    };
    caption.push('.');
    if !unserved.is_empty() {
        caption = format!("{caption} Not shown: {}.", unserved.join(", "));
    }
    caption
}

/// A tooltip around each number of idle clients with the values of all lines.
fn tips(rows: &[&Row], quantity: &Quantity) -> Vec<Tip> {
    let mut sizes: Vec<usize> = rows.iter().map(|row| row.idle.asked).collect();
    sorting::sort(&mut sizes);
    sizes.dedup();
    let tip = |idle: &usize| {
        let middle = as_f64((*idle).max(1) as u64);
        let at = rows.iter().filter(|row| row.idle.asked == *idle);
        let values = at.map(|row| match (&row.failure, (quantity.value)(row)) {
            (Some(failure), _) => format!("{}: {}", row.pattern, failure.reason),
            (None, Some(value)) => format!("{}: {}", row.pattern, (quantity.text)(value)),
            (None, None) => format!("{}: unknown", row.pattern),
        });
        let values: Vec<String> = values.collect();
        Tip {
            from: middle / 2.0,
            to: middle * 2.0,
            text: format!(
                "{} idle clients\n{}",
                grouped(*idle as u64),
                values.join("\n")
            ),
        }
    };
    sizes.iter().map(tip).collect()
}
