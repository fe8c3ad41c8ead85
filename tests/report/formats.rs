//! The seconds as CSV, and the response times as a percentile distribution.

use crate::tools::run as run_to_exit;
use crate::{echoloop, run};
use echoloop::load::Saved;
use std::fs;

fn report(arguments: &[&str]) -> String {
    let output = run_to_exit(echoloop(&[&["report"], arguments].concat()), b"");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn saved(name: &str) -> Saved {
    serde_json::from_slice(&fs::read(run(name)).unwrap()).unwrap()
}

#[test]
fn csv_has_a_line_per_second_with_the_figures_of_the_json() {
    let text = report(&[&run("together-1"), "-o", "csv"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let intervals = saved("together-1").result.intervals;
    assert_eq!(rows.len(), 1 + intervals.len());
    let columns = &rows[0];
    let cell = |row: &[&str], name: &str| -> f64 {
        let at = columns.iter().position(|column| *column == name).unwrap();
        row[at].parse().unwrap()
    };
    for (row, interval) in rows[1..].iter().zip(&intervals) {
        assert_eq!(row.len(), columns.len());
        assert!((cell(row, "at") - interval.at).abs() < 0.001);
        for (name, value) in [
            ("echoes", interval.echoes),
            ("asked", interval.asked),
            ("p50_us", interval.p50_us),
            ("p99_us", interval.p99_us),
            ("max_us", interval.max_us),
            ("held", interval.held),
            ("lost", interval.lost),
        ] {
            assert_eq!(cell(row, name).to_string(), value.to_string(), "{name}");
        }
    }
}

#[test]
fn csv_of_merged_results_adds_their_seconds() {
    let text = report(&[&run("together-1"), &run("together-2"), "-o", "csv"]);
    let second: Vec<&str> = text.lines().nth(2).unwrap().split(',').collect();
    let echoes = ["together-1", "together-2"].map(|name| saved(name).result.intervals[1].echoes);
    assert_eq!(second[1], echoes.iter().sum::<u64>().to_string());
}

#[test]
fn hgrm_file_has_the_percentiles_in_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.hgrm");
    report(&[&run("together-1"), "--hgrm", path.to_str().unwrap()]);
    let text = fs::read_to_string(&path).unwrap();
    let times = saved("together-1").result.echo.response_time_us;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    );
    let milliseconds = |us: u64| format!("{}.{:03}", us / 1000, us % 1000);
    let at = |percentile: &str| {
        let line = lines.iter().find(|line| line.get(1) == Some(&percentile));
        line.unwrap()[0]
    };
    assert_eq!(at("0.500000000000"), milliseconds(times.p50));
    assert_eq!(at("0.900000000000"), milliseconds(times.p90));
    assert_eq!(at("1.000000000000"), milliseconds(times.max));
    let total = text.lines().find(|line| line.starts_with("#[Max")).unwrap();
    assert!(
        total.contains(&format!("Total count    = {:12}]", times.count)),
        "{total}"
    );
}

#[test]
fn hgrm_file_that_cannot_be_written_is_named() {
    let arguments = ["report", &run("idle"), "--hgrm", "/nonexistent/run.hgrm"];
    let output = run_to_exit(echoloop(&arguments), b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/nonexistent/run.hgrm"), "{stderr}");
}
