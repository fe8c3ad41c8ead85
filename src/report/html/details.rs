//! Everything else: all figures as tables, the processes, the configuration, the commands.

use super::moment;
use crate::load::{Configuration, FIGURE_KEYS, Part, Saved};
use crate::numbers::grouped;
use crate::report::facts::{self, FIGURES, figures};
use crate::report::timeline::Step;
use crate::report::units::{bytes_per_second, micros, seconds, short, time, whole};
use maud::{Markup, html};

/// The charts over time as a table.
pub(super) fn steps(steps: &[Step]) -> Markup {
    let columns = ["until", "held", "lost", "echoes/s", "p50", "p99", "max"];
    let row = |step: &Step| {
        let interval = &step.interval;
        let times = [interval.p50_us, interval.p99_us, interval.max_us];
        let [p50, p99, max] = times.map(|time| match interval.echoes {
            0 => "\u{2013}".to_owned(),
            _ => micros(time),
        });
        let [held, lost] = [interval.held, interval.lost].map(grouped);
        let (until, rate) = (seconds(interval.at), short(step.rate()));
        [until, held, lost, rate, p50, p99, max]
    };
    let name = "Response times, connections and echoes over time";
    html! {
        details {
            summary { "The charts over time as a table" }
            (table(name, &columns, steps.iter().map(row)))
        }
    }
}

/// All sections after the charts.
pub(super) fn sections(saved: &Saved) -> Markup {
    html! {
        section {
            h2 { "Times" }
            (times(saved))
            p.soft {
                "Response time is measured from when a message was due, service time from when it was sent. "
                "Schedule lag is the delay between the two. "
                "A message without a reply counts with its age, as a lower bound (\u{2265})."
            }
        }
        section {
            h2 { "Counts and processes" }
            (facts(&counts(saved)))
        }
        section {
            h2 { "Configuration" }
            (facts(&configuration(&saved.configuration)))
        }
        (commands(&saved.to_parts()))
    }
}

/// A table that scrolls separately where the page is narrow.
pub(super) fn table<const COLUMNS: usize>(
    name: &str,
    head: &[&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> Markup {
    let cells: Vec<String> = rows.flatten().collect();
    table_of(name, head, &cells)
}

fn table_of(name: &str, head: &[&str], cells: &[String]) -> Markup {
    html! {
        div.card.scroll tabindex="0" role="region" aria-label=(name) {
            table {
                caption { (name) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody {
                    @for row in cells.chunks(head.len()) {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn times(saved: &Saved) -> Markup {
    let result = &saved.result;
    let handshake = result.connect.handshake_us.clone().unwrap_or_default();
    let all = [
        ("response time", &result.echo.response_time_us),
        ("service time", &result.echo.service_time_us),
        ("connect time", &result.connect.time_us),
        ("TLS handshake", &handshake),
        ("schedule lag", &result.generator.lag_us),
    ];
    let recorded = all.into_iter().filter(|(_, times)| times.count > 0);
    let bounds = &result.echo.response_time_lower_bounds;
    let rows = recorded.map(|(name, times)| {
        let mut cells = figures(times).map(time);
        for (cell, key) in cells.iter_mut().zip(FIGURE_KEYS) {
            if name == "response time" && bounds.is_bound(key) {
                cell.insert_str(0, "\u{2265} ");
            }
        }
        let [min, mean, p50, p90, p99, p99_9, p99_99, max] = cells;
        let (name, count) = (name.to_owned(), grouped(times.count));
        [name, count, min, mean, p50, p90, p99, p99_9, p99_99, max]
    });
    let [min, mean, p50, p90, p99, p99_9, p99_99, max] = FIGURES;
    let head = ["", "count", min, mean, p50, p90, p99, p99_9, p99_99, max];
    table("Percentiles of all times", &head, rows)
}

type Fact = (&'static str, String);

fn facts(facts: &[Fact]) -> Markup {
    html! {
        div.card {
            dl.facts { @for (name, text) in facts { dt { (name) } dd { (text) } } }
        }
    }
}

fn counts(saved: &Saved) -> Vec<Fact> {
    let result = &saved.result;
    let echoes = facts::echoes(&result.echo);
    let bytes = bytes_per_second(result.echo.bytes_per_second);
    let mut all = vec![
        ("connections", facts::connections(result)),
        ("connects", facts::connects(&result.connect)),
        ("echoes", format!("{echoes}, {bytes} each way")),
        ("outstanding", facts::outstanding(&result.echo)),
        ("probe", facts::probe(&result.probe)),
        ("load tester", facts::cpu(result.generator.cpu_percent)),
    ];
    if let Some(handshakes) = &result.connect.handshakes {
        all.push(("TLS handshakes", facts::handshakes(handshakes)));
    }
    if result.keepalive.sent > 0 {
        all.push(("keepalives", facts::keepalive(&result.keepalive)));
    }
    if let Some(userspace) = &result.userspace_tcp {
        all.push(("userspace TCP", facts::userspace_tcp(userspace)));
    }
    all.extend(facts::clocks(result));
    all.extend(
        result
            .server
            .as_ref()
            .map(|server| ("server", facts::server(server))),
    );
    all
}

fn configuration(configuration: &Configuration) -> Vec<Fact> {
    let rate = |rate: Option<f64>, unlimited: &str| match rate {
        Some(rate) => format!("{} per second", short(rate)),
        None => unlimited.to_owned(),
    };
    let Configuration {
        churn,
        sources,
        script,
        ..
    } = configuration;
    let [idle, active] = [configuration.idle, configuration.active].map(grouped);
    let [size, pipeline] = [configuration.size_bytes, configuration.pipeline].map(grouped);
    let [duration, warmup, timeout] = [
        configuration.duration_seconds,
        configuration.warmup_seconds,
        configuration.connect_timeout_seconds,
    ]
    .map(seconds);
    let connects = rate(configuration.ramp, "as fast as the server accepts");
    let echoes = match configuration.active {
        0 => "none".to_owned(),
        _ => rate(
            configuration.rate,
            "closed loop: each message waits for the last reply",
        ),
    };
    let churn = match churn {
        Some(how) => format!("reconnect after every echo ({how})"),
        None => "off".to_owned(),
    };
    let sources = sources.clone().unwrap_or("chosen by the kernel".to_owned());
    let mut all = vec![
        ("connections", format!("{idle} idle, {active} active")),
        ("echoes", echoes),
        (
            "messages",
            format!("{size} B, {pipeline} in flight per connection"),
        ),
        (
            "duration",
            format!("{duration}, after a warm-up of {warmup}"),
        ),
        ("connects", format!("{connects}; timeout {timeout}")),
        ("churn", churn),
        ("sources", sources),
    ];
    all.extend(script.clone().map(|script| ("script", script)));
    all
}

/// The command lines that produced the result, with host and times.
fn commands(parts: &[Part]) -> Markup {
    html! {
        section {
            h2 { @if parts.len() > 1 { "Commands" } @else { "Command" } }
            @for part in parts {
                div.card {
                    p.soft {
                        "on " (part.host) ", started " (moment(&part.begun)) ", ended " (moment(&part.ended))
                        @if parts.len() > 1 { "; " (share(part)) }
                    }
                    pre { (command_line(&part.command)) }
                }
            }
        }
    }
}

/// What one of several loads contributed.
fn share(part: &Part) -> String {
    let (connections, echo) = (&part.result.connections, &part.result.echo);
    let [connections, rate] = [connections.opened, whole(echo.per_second)].map(grouped);
    let p99 = micros(echo.response_time_us.p99);
    format!("{connections} connections, {rate} echoes per second, p99 {p99}")
}

/// The command line for a shell: words with special characters are quoted.
fn command_line(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%[]".contains(c);
    let quoted = |word: &String| match word.as_str() {
        "" => "''".to_owned(),
        plain if plain.chars().all(is_plain) => plain.to_owned(),
        special => format!("'{}'", special.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
