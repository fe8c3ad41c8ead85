//! The table: one line per row, with the bars and whether they are met.

use crate::row::{Against, COLUMNS, Row};
use std::fmt::Write;
use std::process::ExitCode;

/// Prints each row when it is complete, and keeps all of them.
pub(crate) struct Report {
    quick: bool,
    pub(crate) rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Report {
        Report {
            quick,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Prints the description of the machine, what the rivals are, and the names of the columns.
    pub(crate) fn print_header(machine: &str, legend: &str) {
        println!("{machine}");
        println!("{legend}");
        let ratios = Against::COLUMNS.map(|against| format!("ratio to {}", against.name()));
        print_line("", &COLUMNS.map(String::from), &ratios, "bar");
    }

    /// Adds a complete row.
    pub(crate) fn add(&mut self, row: Row) {
        let what = format!("{}: {}", row.part, row.what);
        print_line(&what, &row.cells(), &row.ratios(), &row.verdict(self.quick));
        let missed = row
            .bars
            .iter()
            .filter(|bar| bar.counts(self.quick) && !bar.met);
        let missed: Vec<String> = missed.map(|bar| format!("{what}: {}", bar.text)).collect();
        self.failures.extend(missed);
        self.rows.push(row);
    }

    /// Something failed or could not be measured.
    pub(crate) fn failure(&mut self, what: String) {
        println!("{what}");
        self.failures.push(what);
    }

    /// Prints the missed bars, and returns the exit code of the bench.
    pub(crate) fn verdict(&self) -> ExitCode {
        if self.failures.is_empty() {
            let which = if self.quick {
                " that count in --quick"
            } else {
                ""
            };
            println!("\nall bars{which} are met");
            return ExitCode::SUCCESS;
        }
        println!("\nmissed:");
        for failure in &self.failures {
            println!("  {failure}");
        }
        ExitCode::FAILURE
    }

    /// The table as Markdown, for the documentation.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let columns = COLUMNS.join(" | ");
        let ratios = Against::COLUMNS.map(|against| format!("ratio to {}", against.name()));
        let ratios = ratios.join(" | ");
        let mut text = format!("| what | {columns} | {ratios} | bar |\n|---|");
        text.push_str(&"---:|".repeat(COLUMNS.len()));
        text.push_str(&"---|".repeat(Against::COLUMNS.len() + 1));
        text.push('\n');
        for row in &self.rows {
            let mut line = vec![row.what.clone()];
            line.extend(row.cells());
            line.extend(row.ratios());
            line.push(row.verdict(self.quick));
            let line: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", line.join(" | "));
        }
        let _ = writeln!(text, "\n{machine}.");
        text
    }

    /// Everything, with the figures of every round, as JSON.
    pub(crate) fn json(&self, machine: &str) -> String {
        let rows: Vec<String> = self.rows.iter().map(Row::json).collect();
        let quick = self.quick;
        let rows = rows.join(",\n  ");
        format!("{{\"machine\":{machine:?},\"quick\":{quick},\"rows\":[\n  {rows}\n]}}\n")
    }
}

fn print_line(what: &str, cells: &[String], ratios: &[String], bars: &str) {
    let mut line = format!("{what:<60}");
    for cell in cells {
        let _ = write!(line, " {cell:>12}");
    }
    line.push(' ');
    for ratio in ratios {
        let _ = write!(line, " {ratio:<21}");
    }
    println!("{line} {bars}");
}
