//! The live page: the figures as a table, and with script also as charts that are updated every second.
//!
//! It is one document that loads nothing but `/status.json`. Its security policy permits the one script and the one style
//! sheet in it, by a number that is different in each response.

use super::Snapshot;
use super::status::value;
use crate::numbers::grouped;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use std::hash::{BuildHasher, Hasher, RandomState};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// An empty icon, so that the browser requests none.
const ICON: &str = "data:,";

/// The document, and its security policy.
#[must_use]
pub fn page(snapshot: &Snapshot) -> (String, String) {
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let status = value(snapshot);
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href=(ICON);
                title { "echoloop serve: " (snapshot.protocol) }
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                (header(snapshot))
                main {
                    (tiles(snapshot))
                    section.scripted aria-label="Charts" {
                        h2 { "Live" }
                        div #charts .charts {}
                    }
                    section aria-label="All figures" {
                        h2 { "All figures" }
                        div.columns { (table(&status)) }
                    }
                }
                footer {
                    "Also as " a href="metrics" { "metrics of Prometheus" } ", as "
                    a href="status.json" { "JSON" } ", and as " a href="healthz" { "health check" } "."
                }
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    };
    (document.into_string() + "\n", policy)
}

/// 128 random bits as hexadecimal digits: each hasher has random keys.
fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

fn header(snapshot: &Snapshot) -> Markup {
    let is_draining = snapshot.server.is_draining;
    html! {
        header {
            h1 { "echoloop serve " span.soft { (snapshot.protocol) } }
            p {
                span #state .state .bad[is_draining] { @if is_draining { "draining" } @else { "serving" } }
                " " span #age .soft { "version " (env!("CARGO_PKG_VERSION")) }
            }
            noscript { p.soft { "Without script these figures are not updated: load the page again." } }
        }
    }
}

/// The key figures. Rates need two readings, so the script fills them in.
fn tiles(snapshot: &Snapshot) -> Markup {
    let server = &snapshot.server;
    let tile = |id: &str, name: &str, figure: &str, note: &str| {
        html! {
            div {
                dt { (name) }
                dd.figure id=(id) { (figure) }
                dd.note id={ (id) "-note" } { (note) }
            }
        }
    };
    let limit = format!("of at most {}", grouped(server.max_connections as u64));
    html! {
        dl.tiles {
            (tile("open", "connections", &grouped(server.live as u64), &limit))
            (tile("opened", "opened/s", "\u{2013}", "accepted"))
            (tile("received", "received/s", "\u{2013}", "from clients"))
            (tile("sent", "sent/s", "\u{2013}", "to clients"))
            (tile("time", "iteration", "\u{2013}", "p99 of the last second"))
            (tile("buffered", "buffered", &bytes(server.buffered as u64), "pending output and partial messages"))
        }
    }
}

/// Bytes with a unit.
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let exponent = count.checked_ilog2().map_or(0, |bits| bits / 10);
    let unit = units.get(exponent as usize).unwrap_or(&"EiB");
    let tenths = u128::from(count) * 10 / (1_u128 << (10 * exponent));
    match exponent {
        0 => format!("{count} {unit}"),
        _ => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// A table for each group of figures; the script finds each cell by the path of its figure in the JSON.
fn table(status: &Value) -> Markup {
    let groups = [
        ("Connections", "connections"),
        ("Closed, by reason", "connections.closed"),
        ("Refused, by cause", "connections.refused"),
        ("Traffic", "traffic"),
        ("Buffers", "buffers"),
        ("Deadlines, armed", "deadlines"),
        ("Event loop", "event_loop"),
        ("TLS handshakes", "tls"),
        ("TLS handshakes, failed", "tls.failed"),
        ("Upgrades", "upgrades"),
        ("Process", "process"),
    ];
    html! {
        @for (title, path) in groups {
            @let pointer = format!("/{}", path.replace('.', "/"));
            @if let Some(Value::Object(group)) = status.pointer(&pointer) {
                div.card {
                    h3 { (title) }
                    table {
                        @for (key, figure) in group {
                            @if key != "start_time_seconds" && let Some(text) = shown(figure) {
                                tr {
                                    th scope="row" { (key.replace('_', " ")) }
                                    td data-path={ (path) "." (key) } { (text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A figure as text; `None` if it is none, or a group.
fn shown(figure: &Value) -> Option<String> {
    match figure {
        Value::Number(number) => Some(match number.as_u64() {
            Some(u64::MAX) => "unlimited".to_owned(),
            Some(number) => grouped(number),
            None => format!("{:.1}", number.as_f64().unwrap_or_default()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::snapshot::example;

    #[test]
    fn page_shows_the_figures_without_script() {
        let (document, _) = page(&example());
        for text in [
            "<td data-path=\"connections.opened\">1,009</td>",
            "<td data-path=\"connections.closed.peer_closed\">7</td>",
            "<td data-path=\"upgrades.failed\">1</td>",
            "<dd class=\"figure\" id=\"open\">1,000</dd>",
            "4.0 KiB",
            "of at most 20,000",
        ] {
            assert!(document.contains(text), "{text}: {document}");
        }
    }

    #[test]
    fn text_is_escaped_and_nothing_is_loaded_from_elsewhere() {
        let (document, policy) = page(&example());
        assert!(document.contains("name\n&lt;b&gt;"));
        assert!(!document.contains("<b>"));
        for scheme in ["http://", "https://", "//cdn"] {
            let without_namespace = document.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_namespace.contains(scheme), "{scheme}");
        }
        assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn policy_has_the_number_of_the_script_and_differs_each_time() {
        let (document, policy) = page(&example());
        let nonce = policy.split("'nonce-").nth(1).unwrap();
        let nonce = nonce.split('\'').next().unwrap();
        assert_eq!(nonce.len(), 32);
        let elements = format!("nonce=\"{nonce}\"");
        assert_eq!(document.matches(&elements).count(), 2);
        assert_ne!(policy, page(&example()).1);
    }

    #[test]
    fn bytes_have_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
