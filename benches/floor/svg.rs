//! The picture: what an idle connection needs, and what an echo costs, beside the rivals. One file, without scripts,
//! that is readable on light and on dark pages and says in words what it shows.

use crate::report::Report;
use crate::row::{COLUMNS, Row, Unit};
use std::fmt::Write;

const WIDTH: usize = 780;
const HEIGHT: usize = 262;

/// Where bars begin in a chart, and how long the longest is.
const BAR_LEFT: f64 = 80.0;
const BAR_LENGTH: f64 = 200.0;

/// The distance from one bar to the next, and how thick each is.
const BAR_STEP: f64 = 34.0;
const BAR_THICKNESS: f64 = 20.0;

/// How many characters of the machine's line stand on a line of the picture.
const LINE: usize = 124;

const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .surface { fill: #ffffff; stroke: #d1d9e0; }
  .axis { stroke: #d1d9e0; }
  .ours { fill: #2a78d6; }
  .theirs { fill: #a3abb3; }
  .title { font-size: 15px; font-weight: 600; }
  .strong { font-weight: 600; }
  .name { text-anchor: end; }
  .quiet { font-size: 12px; fill: #59636e; }
  .machine { font-size: 11px; fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .surface { fill: #0d1117; stroke: #3d444d; }
    .axis { stroke: #3d444d; }
    .ours { fill: #4493f8; }
    .theirs { fill: #656d76; }
    .quiet, .machine { fill: #9198a1; }
  }
";

/// One chart: a title, what its numbers are, and a row of the table.
struct Chart<'a> {
    title: &'static str,
    unit: &'static str,
    row: &'a Row,
}

/// Draws it, if both of its rows have been measured.
pub(crate) fn picture(report: &Report, machine: &str) -> Option<String> {
    let row = |part: &str, unit| {
        let mut rows = report.rows.iter();
        rows.find(|row| row.part == part && row.unit == unit)
    };
    let charts = [
        Chart {
            title: "Memory per idle connection",
            unit: "bytes of user memory (Pss); less is better",
            row: row("memory", Unit::Bytes)?,
        },
        Chart {
            title: "CPU time per echo",
            unit: "ns of the server, 128 B on 50 connections; less is better",
            row: row("pingpong", Unit::Nanoseconds)?,
        },
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">echoloop beside the smallest epoll loop and tokio</title>\n\
         <desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"surface\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        charts.iter().map(Chart::in_words).collect::<String>(),
        WIDTH - 1,
        HEIGHT - 1,
    );
    for (chart, left) in charts.iter().zip([24, 404]) {
        let _ = writeln!(svg, "<g transform=\"translate({left} 24)\">");
        chart.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    foot(&mut svg, machine);
    svg.push_str("</svg>\n");
    Some(svg)
}

impl Chart<'_> {
    /// For who hears the picture.
    fn in_words(&self) -> String {
        let cells = self.row.cells();
        let values = COLUMNS.iter().zip(cells);
        let values = values.map(|(name, value)| format!("{name} {value}"));
        let values = values.collect::<Vec<_>>().join(", ");
        format!("{} ({}): {values}. ", self.title, self.unit)
    }

    fn draw(&self, svg: &mut String) {
        let (title, unit) = (self.title, self.unit);
        let _ = writeln!(svg, "<text class=\"title\" x=\"0\" y=\"14\">{title}</text>");
        let _ = writeln!(svg, "<text class=\"quiet\" x=\"0\" y=\"34\">{unit}</text>");
        let most = (0..3).fold(0.0, |most: f64, rival| most.max(self.row.median(rival)));
        for (rival, value) in self.row.cells().iter().enumerate() {
            let length = BAR_LENGTH * (self.row.median(rival) / most).max(0.0);
            bar(svg, rival, length, 54.0 + BAR_STEP * as_f64(rival), value);
        }
        let (from, to) = (48.0, 54.0 + 2.0 * BAR_STEP + BAR_THICKNESS + 6.0);
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{BAR_LEFT}\" y1=\"{from}\" x2=\"{BAR_LEFT}\" y2=\"{to}\"/>"
        );
    }
}

/// A bar with its name before it and its value behind it, round where it ends and square where it begins.
fn bar(svg: &mut String, rival: usize, length: f64, top: f64, value: &str) {
    let (class, strong) = if rival == 0 {
        ("ours", " strong")
    } else {
        ("theirs", "")
    };
    let baseline = top + 14.5;
    let _ = writeln!(
        svg,
        "<text class=\"name{strong}\" x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>",
        BAR_LEFT - 8.0,
        COLUMNS[rival]
    );
    let round = f64::min(4.0, length);
    let straight = length - round;
    let side = BAR_THICKNESS - 2.0 * round;
    let _ = writeln!(
        svg,
        "<path class=\"{class}\" d=\"M{BAR_LEFT} {top:.1} h{straight:.1} q{round:.1} 0 {round:.1} {round:.1} v{side:.1} \
         q0 {round:.1} -{round:.1} {round:.1} h-{straight:.1} z\"/>"
    );
    let _ = writeln!(
        svg,
        "<text class=\"value{strong}\" x=\"{:.1}\" y=\"{baseline:.1}\">{value}</text>",
        BAR_LEFT + length + 8.0
    );
}

/// What the floor is, and where all this was measured, on as many lines as it takes.
fn foot(svg: &mut String, machine: &str) {
    let mut lines = vec![
        "floor: the smallest correct epoll loop, in C.".to_string(),
        String::new(),
    ];
    for word in machine.split(' ') {
        if lines
            .last()
            .is_some_and(|line| line.len() + word.len() > LINE)
        {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&escaped(word));
    }
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text class=\"machine\" x=\"24\" y=\"{}\">{line}</text>",
            208 + 16 * number
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[expect(clippy::cast_precision_loss, reason = "there are three rivals")]
fn as_f64(rival: usize) -> f64 {
    rival as f64
}
