//! The table: what was measured, line by line, each beside the bars that it is to clear.

use crate::row::{COLUMNS, Row};
use std::fmt::Write;
use std::process::ExitCode;

/// Prints rows as they come, and remembers them.
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

    /// Begins the table.
    pub(crate) fn head(machine: &str) {
        println!("{machine}");
        let [echoloop, floor, tokio] = COLUMNS;
        println!(
            "{:<60} {echoloop:>10} {floor:>10} {tokio:>10}  {:<21} {:<21} bar",
            "", "ratio to floor [95 %]", "ratio to tokio [95 %]"
        );
    }

    /// A row is complete.
    pub(crate) fn add(&mut self, row: Row) {
        let [echoloop, floor, tokio] = row.cells();
        let [to_floor, to_tokio] = row.ratios();
        let what = format!("{}: {}", row.part, row.what);
        println!(
            "{what:<60} {echoloop:>10} {floor:>10} {tokio:>10}  {to_floor:<21} {to_tokio:<21} {}",
            row.verdict(self.quick)
        );
        let missed = row
            .bars
            .iter()
            .filter(|bar| bar.counts(self.quick) && !bar.met);
        let missed: Vec<String> = missed.map(|bar| format!("{what}: {}", bar.text)).collect();
        self.failures.extend(missed);
        self.rows.push(row);
    }

    /// Something could not be measured, or went wrong.
    pub(crate) fn failure(&mut self, what: String) {
        println!("{what}");
        self.failures.push(what);
    }

    /// The end of the bench: which bars were missed.
    pub(crate) fn verdict(&self) -> ExitCode {
        if self.failures.is_empty() {
            let whose = if self.quick {
                " that count in --quick"
            } else {
                ""
            };
            println!("\nall bars{whose} are met");
            return ExitCode::SUCCESS;
        }
        println!("\nmissed:");
        for failure in &self.failures {
            println!("  {failure}");
        }
        ExitCode::FAILURE
    }

    /// The table as Markdown, for the README.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let mut text = String::from(
            "| what | echoloop | floor | tokio | ratio to floor | ratio to tokio | bar |\n\
             |---|---:|---:|---:|---|---|---|\n",
        );
        for row in &self.rows {
            let [echoloop, floor, tokio] = row.cells();
            let [to_floor, to_tokio] = row.ratios();
            let verdict = row.verdict(self.quick);
            let what = &row.what;
            let line = [
                what, &echoloop, &floor, &tokio, &to_floor, &to_tokio, &verdict,
            ];
            let line = line.map(|cell| cell.replace('|', "\\|")).join(" | ");
            let _ = writeln!(text, "| {line} |");
        }
        let _ = writeln!(text, "\n{machine}.");
        text
    }

    /// Everything, every round included, as JSON.
    pub(crate) fn json(&self, machine: &str) -> String {
        let rows: Vec<String> = self.rows.iter().map(Row::json).collect();
        let quick = self.quick;
        let rows = rows.join(",\n  ");
        format!("{{\"machine\":{machine:?},\"quick\":{quick},\"rows\":[\n  {rows}\n]}}\n")
    }
}
