//! The page of a scenario: one HTML file that loads nothing. Without scripts it is a table of all steps.

use super::scenarios::Scenario;
use super::snapshot::{CONNECTION, FIN, GLOBAL};
use super::source::{CALLS, Excerpt, LOOP};
use super::step::{Phase, Recording, Step};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::{BTreeMap, BTreeSet};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page may load nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// The terms that the pages use, and their meanings.
const TERMS: [(&str, &str); 23] = [
    ("#1", "the first connection that the server has accepted"),
    (
        "accept queue",
        "connections that the kernel has established, and that no accept has returned",
    ),
    (
        "back-pressure",
        "not reading from a client, so that TCP stops it from sending",
    ),
    (
        "budget",
        "the bytes that one connection may transfer in an iteration, so that it cannot delay the others",
    ),
    (
        "deadline",
        "when the server closes a connection that makes no progress; how long it waits depends on what for",
    ),
    (
        "drain",
        "the stop of a server: it answers the input that has arrived, sends pending output, and then FIN",
    ),
    (
        "EAGAIN",
        "the error of a call that would have to wait: nothing to read, or no space to write",
    ),
    (
        "edge",
        "a change: input arrives, or space becomes free. Each is reported once, however long it lasts",
    ),
    (
        "epoll",
        "the part of Linux that reports which of many sockets are ready; epoll_wait returns their events",
    ),
    (
        "EMFILE",
        "the error of accept when the process has no file descriptor left",
    ),
    (
        "file descriptor",
        "the number of an open socket in a process; their count is limited",
    ),
    (
        "FIN",
        "the end of the bytes of one direction; the other direction stays open",
    ),
    (
        "iteration",
        "one pass of the event loop, from epoll_wait to the next",
    ),
    ("listener", "the socket with which a server accepts clients"),
    (
        "output buffer",
        "memory of the server for pending output: bytes that the kernel has not accepted",
    ),
    (
        "read buffer",
        "memory of the server for the bytes of one read; all connections share it",
    ),
    (
        "ready list",
        "in the kernel: connections and listeners with an edge that epoll_wait has not returned",
    ),
    (
        "receive buffer",
        "in the kernel: bytes that have arrived, and that the server has not read",
    ),
    (
        "RST",
        "the end of a connection in both directions at once, after which bytes may be missing",
    ),
    (
        "run queue",
        "connections that continue in the next iteration without an event",
    ),
    (
        "send buffer",
        "in the kernel: bytes that the server has written, and (on this page) that the client has not read",
    ),
    ("SIGTERM", "the signal that asks a process to stop"),
    (
        "TCP flow control",
        "the receiver announces its free space, and the sender sends no more than that",
    ),
];

/// Formats a recording as a complete HTML document.
#[must_use]
pub fn page(scenario: &Scenario, recording: &Recording) -> String {
    let title = format!("{}: an event loop, step by step", scenario.title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (scenario.title) }
                    p.soft { (scenario.lead) }
                }
                main {
                    div #player hidden data-read=(scenario.sizes.read) { (player(scenario, recording)) }
                    noscript { (table(recording)) }
                    (terms())
                }
                footer {
                    "Recorded from the server of echoloop " (env!("CARGO_PKG_VERSION")) " with small buffers: "
                    "it reads at most " (scenario.sizes.read) " bytes at a time, and no more while output is pending. "
                    "Time is not to scale."
                }
                script #steps type="application/json" { (PreEscaped(data(recording))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// The part that needs the script.
fn player(scenario: &Scenario, recording: &Recording) -> Markup {
    html! {
        section.step aria-live="polite" {
            p.what { span #actor {} " " strong #title {} }
            p #text {}
        }
        div.controls role="group" aria-label="Steps" {
            button #previous type="button" { span aria-hidden="true" { "\u{2190} " } "Previous" }
            button #play type="button" { "Play" }
            button #next type="button" { "Next" span aria-hidden="true" { " \u{2192}" } }
            input #slider type="range" min="1" max=(recording.steps.len()) value="1" aria-label="Step";
            output #counter {}
            span.keys { kbd { "\u{2190}" } " " kbd { "\u{2192}" } " step, " kbd { "space" } " plays" }
        }
        div.columns {
            section.code aria-label="Source" { (code(recording)) }
            section.state aria-label="State" {
                (globals(scenario))
                @for client in &recording.clients { (connection(client, scenario, recording)) }
            }
        }
    }
}

/// The lines of the loop, and those of each call.
fn code(recording: &Recording) -> Markup {
    let used = recording.steps.iter().filter_map(|step| step.line);
    let used: Vec<usize> = used.map(|(index, _)| index).collect();
    let calls = CALLS.iter().enumerate();
    let calls = calls.filter(|(index, _)| used.contains(index));
    let mut file = "";
    html! {
        h2 { "The event loop" }
        @for (index, excerpt) in LOOP.iter().enumerate() {
            // Parts of one function have one caption.
            (lines('L', index, excerpt, std::mem::replace(&mut file, excerpt.file) != excerpt.file))
        }
        h2 #call { "The line that runs" }
        div.call {
            @for (index, excerpt) in calls { (lines('C', index, excerpt, true)) }
        }
    }
}

fn lines(kind: char, index: usize, excerpt: &Excerpt, has_caption: bool) -> Markup {
    html! {
        figure id={ (kind) (index) } {
            @if has_caption {
                figcaption { (excerpt.file) ", " (excerpt.function_name()) }
            } @else {
                div.gap aria-hidden="true" { "\u{22ee}" }
            }
            ol.source {
                @for (number, line) in excerpt.lines() {
                    li id={ (kind) (index) "-" (number) }
                        class=[line.trim_start().starts_with("//").then_some("comment")]
                        value=(number) { (line) }
                }
            }
        }
    }
}

/// The kernel and the server as a whole.
fn globals(scenario: &Scenario) -> Markup {
    let value = |name: &'static str| {
        html! { div { dt { (label_in(&GLOBAL, name).unwrap_or_default()) } dd data-key=(name) {} } }
    };
    html! {
        div.globals {
            section {
                h2 { "Kernel" }
                dl {
                    @for name in ["ready", "queue", "listener"] { (value(name)) }
                    @if scenario.shows_limits { (value("files")) }
                }
            }
            section {
                h2 { "Server" }
                dl {
                    @for name in ["events", "run", "read"] { (value(name)) }
                    @if scenario.shows_limits { (value("clock")) }
                }
            }
        }
    }
}

/// The buffers and the state of the connection of a client.
fn connection(client: &str, scenario: &Scenario, recording: &Recording) -> Markup {
    let sizes = scenario.sizes;
    let key = |name: &str| format!("{client}.{name}");
    let is_used = |name: &str| {
        let changes = recording.steps.iter().flat_map(|step| &step.changes);
        let mut changes = changes.filter(|(of, _)| *of == key(name));
        changes.any(|(_, value)| !value.is_empty())
    };
    let buffer = |name: &str, label: &str, size: usize| {
        html! {
            div {
                dt { (label) }
                dd data-key=(key(name)) data-size=(size) {}
            }
        }
    };
    html! {
        section.connection #{ "of-" (client) } {
            h2 {
                "Client " (client) " "
                span.id data-key=(key("id")) {}
                span.does { span data-key=(key("client")) {} " " span data-key=(key("count")) {} }
            }
            dl.buffers {
                @if is_used("held") { (buffer("held", "client's kernel", 0)) }
                (buffer("receive", "receive buffer", sizes.receive_buffer))
                (buffer("output", "output buffer", sizes.read))
                (buffer("send", "send buffer", sizes.send_buffer))
            }
            dl.facts {
                @for name in ["in", "out", "pending", "deadline"] {
                    div {
                        dt { (label_in(&CONNECTION, name).unwrap_or_default()) }
                        dd data-key=(key(name)) {}
                    }
                }
            }
        }
    }
}

/// All steps, for readers without scripts.
fn table(recording: &Recording) -> Markup {
    let mut seen = BTreeSet::new();
    html! {
        p { "This page steps through the event loop with a script. Without scripts, this is the list of all steps." }
        div.scroll {
            table {
                thead { tr { th { "Step" } th { "Actor" } th { "What happens, and why" } th { "What changes" } } }
                tbody {
                    @for (number, step) in (1..).zip(&recording.steps) {
                        tr {
                            td { (number) }
                            td { (step.actor) }
                            td { strong { (step.title) } br; (with_code(&step.text)) }
                            td { (changes(step, &mut seen)) }
                        }
                    }
                }
            }
        }
    }
}

/// A sentence whose names of calls are between backticks.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The changes of a step in words. `seen` are the names that had a value before.
fn changes(step: &Step, seen: &mut BTreeSet<String>) -> String {
    let changes = step.changes.iter();
    let texts = changes.filter_map(|(name, value)| {
        let (client, label) = match name.split_once('.') {
            Some((client, name)) => (Some(client), label_in(&CONNECTION, name)?),
            None => (None, label_in(&GLOBAL, name)?),
        };
        let is_new = seen.insert(name.clone());
        if value.is_empty() && is_new {
            return None;
        }
        let value = value.replace(['*', '-'], "").replace('|', ", ");
        let value = value.replace(FIN, " FIN");
        let value = if value.is_empty() {
            "empty"
        } else {
            value.trim()
        };
        Some(match client {
            Some(client) => format!("{client}, {label}: {value}"),
            None => format!("{label}: {value}"),
        })
    });
    texts.collect::<Vec<_>>().join("; ")
}

fn label_in(labels: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let mut labels = labels.iter();
    labels.find_map(|(of, label)| (*of == name).then_some(*label))
}

fn terms() -> Markup {
    html! {
        details {
            summary { "Terms" }
            dl.terms { @for (term, meaning) in TERMS { dt { (term) } dd { (meaning) } } }
        }
    }
}

/// The steps for the script, as JSON that can be inside an element.
fn data(recording: &Recording) -> String {
    let steps = recording.steps.iter().map(|step| {
        let mut changes = BTreeMap::new();
        for (name, value) in &step.changes {
            changes.insert(name, value);
        }
        let place = |kind: char, line: Option<(usize, u32)>| {
            line.map(|(index, number)| format!("{kind}{index}-{number}"))
        };
        serde_json::json!([
            step.actor,
            step.title,
            step.text,
            place('L', Phase::line(step.phase)),
            place('C', step.line),
            changes,
        ])
    });
    let steps: Vec<serde_json::Value> = steps.collect();
    serde_json::Value::from(steps)
        .to_string()
        .replace('<', "\\u003c")
}
