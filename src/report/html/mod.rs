//! A result as one HTML page, without scripts or other files: light and dark, on phones and on paper.
//!
//! First the key figures, then the problems, then the charts, then everything else. The templates escape all text,
//! since names and command lines in a saved result may contain anything.

mod charts;
mod compared;
mod details;
mod distributions;
mod find;
mod headline;
mod trouble;

use super::saved::printable;
use super::timeline::timeline;
use super::units::seconds;
use crate::load::{Saved, WallTime};
use crate::numbers::grouped;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// The page may load nothing, so that no content can.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub use compared::comparison_html;

/// Formats a result as a complete HTML document.
#[must_use]
pub fn html(saved: &Saved) -> String {
    let steps = timeline(saved);
    let charts = charts::figures(saved, &steps);
    let title = format!("echoloop load: {}", saved.result.target);
    let content = html! {
        (header(saved))
        main {
            (headline::tiles(saved))
            (trouble::section(&saved.result))
            @if !charts.is_empty() {
                section aria-label="Charts" {
                    h2 { "Charts" }
                    div.charts { @for chart in &charts { (chart) } }
                    @if let Some(find) = &saved.result.find { (find::table(find)) }
                    (details::steps(&steps))
                }
            }
            (details::sections(saved))
        }
    };
    document(&title, &content, &saved.version)
}

/// A complete document; `version` is that of the load tester.
fn document(title: &str, content: &Markup, version: &str) -> String {
    page(title, content, version, "")
}

/// A complete document of another module, with further lines of its style sheet.
pub(crate) fn page(title: &str, content: &Markup, version: &str, style: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body {
                (content)
                footer {
                    "Report by echoloop " (env!("CARGO_PKG_VERSION")) "; measured by echoloop " (version)
                    ". Times are accurate to 0.1 %."
                }
            }
        }
    };
    printable(&page.into_string()) + "\n"
}

fn header(saved: &Saved) -> Markup {
    let result = &saved.result;
    html! {
        header {
            h1 { (grouped(result.connections.asked)) " connections to " (result.target) }
            p.soft {
                (seconds((result.seconds * 10.0).round() / 10.0)) " from " time { (moment(&result.started)) } ", "
                @if !saved.parts.is_empty() { (saved.parts.len()) " loads merged, " }
                "measured on " (saved.host)
            }
            (find::sentence(result))
            (trouble::verdict(result))
        }
    }
}

/// An RFC 3339 time in UTC, to the second; other text as it is.
fn moment(text: &str) -> String {
    let Ok(time) = text.parse::<WallTime>() else {
        return text.to_owned();
    };
    let time = time.to_string().replace('T', " ");
    time.split('.').next().unwrap_or_default().to_owned() + " UTC"
}

#[cfg(test)]
mod tests;
