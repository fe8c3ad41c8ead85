//! A result as one page: it needs no network and no script, and is legible in light and dark, on a phone and on paper.
//!
//! First the figures that matter, then what is wrong in words, then charts, then everything else. Whatever a file says is
//! written as text: names and command lines come from strangers.

mod charts;
mod details;
mod headline;
mod shapes;
mod trouble;

use super::chart::Escaped;
use super::timeline::timeline;
use super::units::seconds;
use crate::load::{Saved, WallTime};
use crate::numbers::grouped;
use std::fmt::Write;

/// The page's style; it names no other file.
const STYLE: &str = include_str!("style.css");

/// What the page may load: nothing. So nothing in it can, whatever it is made of.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page. Its text is complete: to be written to a file as it is.
#[must_use]
pub fn html(saved: &Saved) -> String {
    let mut page = String::new();
    let target = Escaped(&saved.result.target);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>echoloop load: {target}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    header(&mut page, saved);
    page.push_str("<main>\n");
    headline::tiles(&mut page, saved);
    trouble::section(&mut page, saved);
    figures(&mut page, saved);
    details::sections(&mut page, saved);
    page.push_str("</main>\n");
    let version = Escaped(&saved.version);
    let _ = write!(
        page,
        "<footer>Written by echoloop {}; measured by version {version}. Times are within a thousandth.</footer>\n\
         </body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    page
}

fn header(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let asked = grouped(result.connections.asked);
    let _ = writeln!(
        page,
        "<header>\n<h1>{asked} connections to {}</h1>\n<p class=\"soft\">{} from <time>{}</time>, {}</p>",
        Escaped(&result.target),
        seconds((result.seconds * 10.0).round() / 10.0),
        Escaped(&moment(&result.started)),
        match saved.parts.len() {
            0 => format!("measured on {}", Escaped(&saved.host)),
            parts => format!("{parts} loads merged, measured on {}", Escaped(&saved.host)),
        }
    );
    trouble::verdict(page, saved);
    page.push_str("</header>\n");
}

/// A time of day for people, to the second.
fn moment(text: &str) -> String {
    let time: Result<WallTime, _> = text.parse();
    let written = time.map(|time| time.to_string());
    match written.as_ref().map(|written| written.split_at_checked(19)) {
        Ok(Some((second, _))) => format!("{} UTC", second.replace('T', " ")),
        _ => text.to_owned(),
    }
}

fn figures(page: &mut String, saved: &Saved) {
    let steps = timeline(saved);
    let figures = charts::figures(saved, &steps);
    if !figures.is_empty() {
        page.push_str("<section aria-label=\"Charts\">\n<h2>Charts</h2>\n<div class=\"charts\">\n");
        for figure in &figures {
            let _ = write!(
                page,
                "<figure class=\"card\">\n<h3>{}</h3>\n{}<figcaption>{}</figcaption>\n</figure>\n",
                figure.title,
                figure.svg,
                Escaped(&figure.words)
            );
        }
        page.push_str("</div>\n");
        details::steps(page, &steps);
        page.push_str("</section>\n");
    }
}

#[cfg(test)]
mod tests;
