//! The picture: memory per idle connection and CPU time per echo, compared with the rivals. One file without scripts,
//! readable on light and dark pages, with a description for screen readers.

use crate::report::Report;
use crate::row::{Against, COLUMNS, Row, Unit};
use std::fmt::Write;

const WIDTH: usize = 780;
const HEIGHT: usize = 312;

/// Where bars begin in a chart, and the length of the longest.
const BAR_LEFT: f64 = 80.0;
const BAR_LENGTH: f64 = 200.0;

/// The distance from one bar to the next, and the thickness of each.
const BAR_STEP: f64 = 34.0;
const BAR_THICKNESS: f64 = 20.0;

/// Where the lines below the charts begin.
const FOOT_TOP: usize = 242;

/// The length of a line below the charts, in characters.
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

/// One chart: a title, the unit of its figures, and a row of the table.
struct Chart<'a> {
    title: &'static str,
    unit: &'static str,
    row: &'a Row,
}

/// Draws the picture, if both of its rows have been measured.
pub(crate) fn picture(report: &Report, machine: &str) -> Option<String> {
    let row = |part: &str, unit| {
        let mut rows = report.rows.iter();
        rows.find(|row| row.part == part && row.unit == unit)
    };
    let charts = [
        Chart {
            title: "Memory per idle connection",
            unit: "bytes of user memory (PSS); less is better",
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
         <title id=\"title\">echoloop compared with a minimal epoll server, tokio and Go</title>\n\
         <desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"surface\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        charts.iter().map(Chart::description).collect::<String>(),
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
    /// The rivals that were measured: their names and columns. Of the tokio servers, only the better one is shown.
    fn rivals(&self) -> Vec<(&'static str, usize)> {
        let others = Against::COLUMNS.map(|against| self.row.best(against));
        let [baseline, tokio, go] = others;
        let rivals = [
            (COLUMNS[0], 0),
            (COLUMNS[baseline], baseline),
            ("tokio", tokio),
            (COLUMNS[go], go),
        ];
        let measured = rivals.into_iter();
        measured
            .filter(|(_, rival)| !self.row.median(*rival).is_nan())
            .collect()
    }

    /// The text for screen readers.
    fn description(&self) -> String {
        let cells = self.row.cells();
        let values = self.rivals().into_iter();
        let values = values.map(|(name, rival)| format!("{name} {}", cells[rival]));
        let values = values.collect::<Vec<_>>().join(", ");
        format!("{} ({}): {values}. ", self.title, self.unit)
    }

    fn draw(&self, svg: &mut String) {
        let (title, unit) = (self.title, self.unit);
        let _ = writeln!(svg, "<text class=\"title\" x=\"0\" y=\"14\">{title}</text>");
        let _ = writeln!(svg, "<text class=\"quiet\" x=\"0\" y=\"34\">{unit}</text>");
        let rivals = self.rivals();
        let medians = rivals.iter().map(|(_, rival)| self.row.median(*rival));
        let most = medians.fold(0.0, f64::max);
        let cells = self.row.cells();
        let mut top = 54.0;
        for (name, rival) in rivals {
            let length = BAR_LENGTH * (self.row.median(rival) / most).max(0.0);
            bar(svg, (name, &cells[rival]), rival == 0, length, top);
            top += BAR_STEP;
        }
        let (from, to) = (48.0, top - BAR_STEP + BAR_THICKNESS + 6.0);
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{BAR_LEFT}\" y1=\"{from}\" x2=\"{BAR_LEFT}\" y2=\"{to}\"/>"
        );
    }
}

/// A bar with its name on the left and its value on the right, rounded at its end.
fn bar(svg: &mut String, (name, value): (&str, &str), is_ours: bool, length: f64, top: f64) {
    let (class, strong) = if is_ours {
        ("ours", " strong")
    } else {
        ("theirs", "")
    };
    let baseline = top + 14.5;
    let _ = writeln!(
        svg,
        "<text class=\"name{strong}\" x=\"{:.1}\" y=\"{baseline:.1}\">{name}</text>",
        BAR_LEFT - 8.0,
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

/// What the rivals are, and the machine, in as many lines as necessary.
fn foot(svg: &mut String, machine: &str) {
    let rivals = "baseline: a minimal epoll server in C. tokio: the better of one buffer per thread and 4 KiB per \
                  connection. Go: a goroutine and 4 KiB per connection.";
    let lines = [rivals, machine].into_iter().flat_map(wrapped);
    for (number, line) in lines.enumerate() {
        let _ = writeln!(
            svg,
            "<text class=\"machine\" x=\"24\" y=\"{}\">{}</text>",
            FOOT_TOP + 16 * number,
            escaped(&line)
        );
    }
}

/// The lines of a text.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + word.len() < LINE {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
