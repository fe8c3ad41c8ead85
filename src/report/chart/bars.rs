//! A chart of bars: how many of something fell between two values.

use super::frame::{Frame, Style};
use super::svg::{At, Escaped};
use crate::numbers::grouped;
use crate::report::units::as_f64;
use std::fmt::Write;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Bar {
    pub(in crate::report) from: f64,
    pub(in crate::report) to: f64,
    pub(in crate::report) count: u64,
    /// What is shown while a pointer rests on it.
    pub(in crate::report) text: String,
}

/// Bars over a frame, as SVG.
pub(in crate::report) fn bars(frame: &Frame, bars: &[Bar]) -> String {
    let mut content = String::from("<g class=\"s1\">");
    let bottom = frame.down(frame.y.ends().0);
    for bar in bars.iter().filter(|bar| bar.count > 0) {
        let (from, to) = (frame.across(bar.from), frame.across(bar.to));
        // The least that can be seen: a single one among a million is there too.
        let height = (bottom - frame.down(as_f64(bar.count))).max(1.5);
        let width = (to - from - 1.0).max(0.5);
        let _ = writeln!(
            content,
            "<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: {}</title></rect>",
            At(from),
            At(bottom - height),
            At(width),
            At(height),
            Escaped(&bar.text),
            grouped(bar.count)
        );
    }
    content.push_str("</g>\n");
    frame.svg(&[] as &[(Style, &str)], &content)
}
