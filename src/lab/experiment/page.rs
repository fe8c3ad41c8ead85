//! The comparison as one HTML page, in the style of the reports of `load`: without scripts or other files.
//!
//! First the table, then charts over the number of idle clients: for each quantity one chart per family of patterns, all
//! with the same axes. A line ends where its pattern fails, and is labelled with why.

mod charts;

use super::text::{mark, notes, size, time};
use super::{Comparison, Row};
use crate::lab::patterns::Pattern;
use crate::numbers::{as_f64, grouped, whole};
use crate::report;
use maud::{Markup, html};

/// Further lines of the style sheet: three charts beside each other on a wide screen.
const STYLE: &str = "
header, main, footer { max-width: 1400px; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); }
svg .label { stroke: var(--card); stroke-width: 4px; paint-order: stroke; }
.s1 .label { fill: var(--s1); } .s2 .label { fill: var(--s2); } .s3 .label { fill: var(--s3); }
.s5 .label { fill: var(--s5); } .s6 .label { fill: var(--s6); } .s7 .label { fill: var(--s7); }
td.why { text-align: left; color: var(--bad); white-space: normal; min-width: 16em; }
.method p { max-width: 75ch; }
.note { margin-top: 8px; }
.over { margin-top: 28px; }
@media (max-width: 520px) { svg .label { font-size: 15px; } }
";

/// Formats the comparison as a complete HTML document.
#[must_use]
pub fn page(comparison: &Comparison) -> String {
    let charts = charts::sections(comparison);
    let content = html! {
        (header(comparison))
        main {
            section aria-label="Table" {
                h2 { "All patterns" }
                (table(comparison))
                @for note in notes(comparison) { p.soft.note { (note) } }
            }
            (charts)
            (patterns(comparison))
            (method(comparison))
        }
    };
    let version = env!("CARGO_PKG_VERSION");
    report::page(
        "echoloop lab: server architectures",
        &content,
        version,
        STYLE,
    )
}

/// The number of idle clients of the table.
fn idle(comparison: &Comparison) -> String {
    let idle = comparison.patterns.first().map_or(0, |row| row.idle.asked);
    grouped(idle as u64)
}

fn header(comparison: &Comparison) -> Markup {
    html! {
        header {
            h1 { "Server architectures under one load" }
            p.soft {
                "First " (idle(comparison)) " idle clients, then " (comparison.active) " active ones that send "
                (grouped(comparison.rate.into())) " messages per second; " (time(comparison)) ". Pools have "
                (comparison.workers) " threads or processes."
            }
        }
    }
}

const COLUMNS: [&str; 11] = [
    "pattern",
    "idle opened",
    "accepted",
    "echoes/s",
    "CPU/echo",
    "above serial",
    "p50",
    "p99",
    "processes",
    "threads",
    "memory (PSS)",
];

fn table(comparison: &Comparison) -> Markup {
    html! {
        div.card.scroll tabindex="0" role="region" aria-label="All patterns" {
            table {
                thead { tr {
                    @for column in COLUMNS { th scope="col" { (column) } }
                    th scope="col" { "switches/echo" }
                } }
                tbody { @for row in &comparison.patterns { (line(row)) } }
            }
        }
    }
}

fn line(row: &Row) -> Markup {
    let us = |value: Option<f64>| value.map_or("\u{2013}".to_owned(), report::time);
    let time = |value: Option<u64>| us(value.map(as_f64));
    let number = |value: Option<f64>| value.map_or("\u{2013}".to_owned(), |n| format!("{n:.1}"));
    let rate = grouped(whole(row.echoes_per_second));
    html! {
        tr {
            th scope="row" { (row.pattern) }
            td { (grouped(row.idle.opened as u64)) }
            td { (grouped(row.idle.accepted as u64)) }
            td { (rate) (mark(row)) }
            @if let Some(failure) = &row.failure {
                td.why colspan="8" { (failure.reason) }
            } @else {
                td { (us(row.cpu_us_per_echo)) }
                td { (us(row.cpu_us_above_serial)) }
                td { (time(row.p50_us)) }
                td { (time(row.p99_us)) }
                td { (grouped(row.processes.into())) }
                td { (grouped(row.threads.into())) }
                td { (row.pss_bytes.map_or("\u{2013}".to_owned(), size)) }
                td { (number(row.switches_per_echo)) }
            }
        }
    }
}

fn patterns(comparison: &Comparison) -> Markup {
    let shown = comparison.patterns.iter();
    let shown = shown.filter_map(|row| Pattern::find(row.pattern));
    html! {
        section aria-label="Patterns" {
            h2 { "The patterns" }
            dl.card.facts {
                @for pattern in shown {
                    dt { (pattern.name) }
                    dd { (pattern.summary) ", " code { "src/lab/patterns/" (pattern.name) ".rs" } }
                }
            }
        }
    }
}

fn method(comparison: &Comparison) -> Markup {
    html! {
        section.method aria-label="Method" {
            h2 { "Method" }
            p {
                "Each pattern is a process on this machine. The idle clients connect first and never send; connects wait "
                "while the accept queue is full. The kernel establishes connections that the server has not accepted: "
                "a listener of Rust's standard library has a backlog of 128, so 129 of them wait in its queue."
            }
            p {
                "CPU time and context switches are those of all processes of the server from before the first "
                "message to the end of the measured part, divided by the echoes. Memory is the proportional set size "
                "(PSS), in which a page that several processes share counts once."
            }
            @if let Some(cost) = comparison.serial_cpu_us_per_echo {
                p {
                    "The serial server with a single client takes " (report::time(cost)) " of CPU per echo at the same "
                    "rate. What a pattern takes above it is the cost of control (Stevens, UNIX Network Programming, 30.13). "
                    "It can be negative: one call that reports several ready clients serves them together."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::experiment::sample;

    #[test]
    fn page_has_table_charts_and_reasons_and_loads_nothing() {
        let comparison = sample::comparison();
        let page = page(&comparison);
        for row in &comparison.patterns {
            assert!(page.contains(&format!("<th scope=\"row\">{}</th>", row.pattern)));
        }
        assert!(
            page.contains("no reply: the reason of &lt;pool&gt;"),
            "{page}"
        );
        assert_eq!(page.matches("<svg").count(), 15);
        for label in ["pool: no reply at 100", "select: ends at 1,000"] {
            assert!(page.contains(label), "{label}");
        }
        assert!(page.contains("reuse_port: some replies at 1."), "{page}");
        let tips: Vec<&str> = page.split("class=\"tip\"").skip(1).collect();
        assert_eq!(tips.len(), 15 * 3);
        for tip in tips {
            assert!(!tip.contains("height=\"0\""), "{tip}");
        }
        for foreign in ["<script", "src=", "http://", "https://", "NaN", "\"inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn page_without_series_has_no_chart() {
        let mut comparison = sample::comparison();
        comparison.series.clear();
        assert!(!page(&comparison).contains("<svg"));
    }
}
