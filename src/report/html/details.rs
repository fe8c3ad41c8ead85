//! Everything else: all figures as tables, the processes, the configuration, the commands.

use super::moment;
use crate::load::{Configuration, Part, Saved, Summary};
use crate::numbers::grouped;
use crate::report::chart::Escaped;
use crate::report::timeline::Step;
use crate::report::units::{
    as_f64, bytes, bytes_per_second, process, processor, seconds, short, syn_retransmits, time,
    whole,
};
use std::fmt::Write;

/// The charts over time as a table.
pub(super) fn steps(page: &mut String, steps: &[Step]) {
    page.push_str("<details>\n<summary>The charts over time as a table</summary>\n");
    let head = ["until", "held", "lost", "echoes/s", "p50", "p99", "max"];
    let row = |step: &Step| {
        let interval = &step.interval;
        let has_times = interval.echoes > 0;
        let shown = |microseconds: u64| {
            if has_times {
                time(as_f64(microseconds))
            } else {
                "\u{2013}".to_owned()
            }
        };
        [
            seconds(interval.at),
            grouped(interval.held),
            grouped(interval.lost),
            short(step.rate()),
            shown(interval.p50_us),
            shown(interval.p99_us),
            shown(interval.max_us),
        ]
    };
    table(
        page,
        "Response times, connections and echoes over time",
        &head,
        steps.iter().map(row),
    );
    page.push_str("</details>\n");
}

/// All of it.
pub(super) fn sections(page: &mut String, saved: &Saved) {
    page.push_str("<section>\n<h2>All times</h2>\n");
    times(page, saved);
    page.push_str("</section>\n<section>\n<h2>Counts and processes</h2>\n<div class=\"card\">\n");
    facts(page, &counts(saved));
    page.push_str("</div>\n</section>\n<section>\n<h2>Configuration</h2>\n<div class=\"card\">\n");
    facts(page, &configuration(&saved.configuration));
    page.push_str("</div>\n</section>\n");
    commands(page, saved);
}

/// A table that scrolls by itself where the page is narrow.
fn table<const COLUMNS: usize>(
    page: &mut String,
    name: &str,
    head: &[&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) {
    let _ = write!(
        page,
        "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">\n<table>\n<caption>{name}</caption>\n<thead><tr>"
    );
    for name in head {
        let _ = write!(page, "<th scope=\"col\">{}</th>", Escaped(name));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let (open, close) = if column == 0 {
                ("<th scope=\"row\">", "</th>")
            } else {
                ("<td>", "</td>")
            };
            let _ = write!(page, "{open}{}{close}", Escaped(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

fn times(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let all = [
        ("response time", &result.echo.response_time_us),
        ("service time", &result.echo.service_time_us),
        ("connect time", &result.connect.time_us),
        ("schedule lag", &result.generator.lag_us),
    ];
    let head = [
        "", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max",
    ];
    let recorded = all.into_iter().filter(|(_, summary)| summary.count > 0);
    let row = |(name, summary): (&str, &Summary)| {
        [
            name.to_owned(),
            grouped(summary.count),
            time(as_f64(summary.min)),
            time(summary.mean),
            time(as_f64(summary.p50)),
            time(as_f64(summary.p90)),
            time(as_f64(summary.p99)),
            time(as_f64(summary.p99_9)),
            time(as_f64(summary.p99_99)),
            time(as_f64(summary.max)),
        ]
    };
    table(page, "Percentiles of all times", &head, recorded.map(row));
    page.push_str(
        "<p class=\"soft\">Response time runs from when a message was due to be sent, service time from when it was \
         sent. The schedule lag is by how much the load tester itself was late.</p>\n",
    );
}

type Fact = (&'static str, String);

/// A list of names and what they are; it must hold no markup.
fn facts(page: &mut String, facts: &[Fact]) {
    page.push_str("<dl class=\"facts\">\n");
    for (name, what) in facts {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", Escaped(what));
    }
    page.push_str("</dl>\n");
}

fn counts(saved: &Saved) -> Vec<Fact> {
    let result = &saved.result;
    let (connections, connect, echo) = (&result.connections, &result.connect, &result.echo);
    let mut facts = vec![
        (
            "connections",
            format!(
                "{} asked for, {} opened, {} failed, {} lost",
                grouped(connections.asked),
                grouped(connections.opened),
                grouped(connections.failed.total()),
                grouped(connections.lost)
            ),
        ),
        (
            "opening",
            format!(
                "{} per second, {}",
                grouped(whole(connect.per_second)),
                syn_retransmits(connect)
            ),
        ),
        (
            "echoes",
            format!(
                "{} sent, {} right, {} wrong, {} unanswered, {} each way",
                grouped(echo.sent),
                grouped(echo.received),
                grouped(echo.mismatched),
                grouped(echo.unanswered),
                bytes_per_second(echo.bytes_per_second)
            ),
        ),
        (
            "probe",
            format!(
                "{} idle connections asked at the end, {} alive, {} dead, {} wrong",
                grouped(result.probe.asked),
                grouped(result.probe.alive),
                grouped(result.probe.dead),
                grouped(result.probe.mismatched)
            ),
        ),
        ("load tester", processor(result.generator.cpu_percent)),
    ];
    if let Some(server) = &result.server {
        facts.push((
            "server",
            format!(
                "{}; {} resident, {} before the first connection{} ({})",
                processor(server.cpu_percent),
                bytes(server.rss_bytes),
                bytes(server.rss_before_bytes),
                match server.rss_after_bytes {
                    0 => String::new(),
                    after => format!(", {} after the last", bytes(after)),
                },
                process(server.pid)
            ),
        ));
    }
    facts
}

fn configuration(configuration: &Configuration) -> Vec<Fact> {
    let rate = |rate: Option<f64>, else_: &str| {
        rate.map_or(else_.to_owned(), |rate| {
            format!("{} per second", short(rate))
        })
    };
    vec![
        (
            "connections",
            format!(
                "{} idle, {} active",
                grouped(configuration.idle),
                grouped(configuration.active)
            ),
        ),
        (
            "echoes",
            if configuration.active == 0 {
                "none".to_owned()
            } else {
                rate(configuration.rate, "each sends when its reply is in")
            },
        ),
        (
            "messages",
            format!(
                "{} B, {} in flight per connection",
                grouped(configuration.size_bytes),
                grouped(configuration.pipeline)
            ),
        ),
        (
            "measured part",
            format!(
                "{}, after a warm-up of {}",
                seconds(configuration.duration_seconds),
                seconds(configuration.warmup_seconds)
            ),
        ),
        (
            "connects",
            format!(
                "{}; given up after {}",
                rate(configuration.ramp, "as fast as the server takes them"),
                seconds(configuration.connect_timeout_seconds)
            ),
        ),
        (
            "churn",
            match configuration.churn.as_deref() {
                Some(how) => format!("connect, one echo, close ({how}), again"),
                None => "off".to_owned(),
            },
        ),
        (
            "sources",
            configuration
                .sources
                .clone()
                .unwrap_or("the kernel's choice".to_owned()),
        ),
    ]
}

fn commands(page: &mut String, saved: &Saved) {
    let parts = saved.to_parts();
    let heading = if parts.len() > 1 {
        "Commands"
    } else {
        "Command"
    };
    let _ = writeln!(page, "<section>\n<h2>{heading}</h2>");
    for part in &parts {
        let _ = writeln!(
            page,
            "<div class=\"card\"><p class=\"soft\">on {}, begun {}, ended {}{}</p><pre>{}</pre></div>",
            Escaped(&part.host),
            Escaped(&moment(&part.begun)),
            Escaped(&moment(&part.ended)),
            Escaped(&share(part, parts.len())),
            Escaped(&command_line(&part.command))
        );
    }
    page.push_str("</section>\n");
}

/// What one of several loads has contributed.
fn share(part: &Part, parts: usize) -> String {
    if parts < 2 {
        return String::new();
    }
    let (opened, echo) = (part.result.connections.opened, &part.result.echo);
    format!(
        "; {} connections, {} echoes per second, p99 {}",
        grouped(opened),
        grouped(whole(echo.per_second)),
        time(as_f64(echo.response_time_us.p99))
    )
}

/// As it could be typed again: words with anything special in them are quoted.
fn command_line(words: &[String]) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:=,+@%[]".contains(character);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
