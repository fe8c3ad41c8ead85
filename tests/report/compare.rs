//! `echoloop report --compare`: two runs side by side, from saved files and from real runs.

use crate::tools::run as run_to_exit;
use crate::{echoloop, run};
use echoloop::load::{Counts, Distribution, Interval, Saved};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;

fn report(arguments: &[&str]) -> Output {
    run_to_exit(echoloop(&[&["report"], arguments].concat()), b"")
}

fn compare(base: &str, new: &str, arguments: &[&str]) -> Output {
    report(&[&["--compare", base, new], arguments].concat())
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "stderr: {stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The single line of an error with this exit code.
#[track_caller]
fn error(code: i32, arguments: &[&str]) -> String {
    let output = report(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
    assert!(output.stdout.is_empty(), "something is on stdout");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    stderr
}

fn counts(times: &[u64]) -> Counts {
    let mut distribution = Distribution::new();
    for time in times {
        distribution.record(Duration::from_micros(*time));
    }
    distribution.counts()
}

/// Saved runs with given seconds, in a folder that is removed at the end.
struct Runs(TempDir);

impl Runs {
    fn new() -> Runs {
        Runs(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Writes a run of `seconds`, each with `rate` replies; every second has its noise of some percent.
    fn write(&self, name: &str, seconds: u32, rate: u64, time: u64) -> String {
        self.write_changed(name, seconds, rate, time, |_| {})
    }

    fn write_changed(
        &self,
        name: &str,
        seconds: u32,
        rate: u64,
        time: u64,
        change: impl FnOnce(&mut Saved),
    ) -> String {
        let mut saved: Saved =
            serde_json::from_slice(&fs::read(run("together-1")).unwrap()).unwrap();
        // Another load than those of other names.
        saved.command.push(name.to_owned());
        saved.result.warnings.clear();
        saved.result.seconds = f64::from(seconds);
        let noise = |second: u32| u64::from(second % 3);
        let of = |second: u32| {
            let replies = rate + noise(second) * rate / 100;
            let level = time + noise(second + 1) * time / 50;
            let times: Vec<u64> = (0..replies).map(|index| level + index % 7).collect();
            counts(&times)
        };
        let each: Vec<Counts> = (0..seconds).map(of).collect();
        let mut whole = Distribution::new();
        for counts in &each {
            whole.add(counts);
        }
        let interval = |(second, counts): (u32, &Counts)| {
            let replies = counts.0.iter().map(|(_, count)| count).sum();
            Interval {
                at: f64::from(second + 1),
                echoes: replies,
                asked: replies,
                held: 204,
                ..Interval::default()
            }
        };
        saved.result.intervals = (0..seconds).zip(&each).map(interval).collect();
        saved.result.echo.received = whole.count();
        let count = f64::from(u32::try_from(whole.count()).unwrap());
        saved.result.echo.per_second = count / f64::from(seconds);
        saved.histograms.response_us = whole.counts();
        saved.histograms.service_us = whole.counts();
        saved.interval_response_us = each;
        change(&mut saved);
        let path = self.path(name);
        fs::write(&path, serde_json::to_vec(&saved).unwrap()).unwrap();
        path
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[test]
fn slower_server_differs_and_the_same_server_does_not() {
    let runs = Runs::new();
    let base = runs.write("base.json", 10, 2000, 200);
    let same = runs.write("same.json", 10, 2006, 201);
    let slower = runs.write("slower.json", 10, 1666, 240);
    let found = json(&compare(&base, &same, &["-o", "json"]));
    assert_eq!(found["verdict"], "no significant difference");
    let rate = &found["compare"]["rate"];
    assert_eq!(rate["significant"], false);
    assert_eq!(rate["verdict"], "noise");
    let found = json(&compare(&base, &slower, &["-o", "json"]));
    for figure in ["rate", "mean_us", "p50_us", "p90_us", "p99_us"] {
        assert_eq!(
            found["compare"][figure]["significant"], true,
            "{figure}: {found}"
        );
    }
    let rate = &found["compare"]["rate"];
    let change = rate["change_percent"].as_f64().unwrap();
    let [base, new] = ["base", "new"].map(|side| rate[side].as_f64().unwrap());
    assert!(
        (change - 100.0 * (new - base) / base).abs() < 1e-9,
        "{rate}"
    );
    assert!((-17.5..-16.0).contains(&change), "{rate}");
    assert_eq!(found["base"]["target"], found["new"]["target"]);
}

#[test]
fn text_of_a_comparison_fits_80_columns_and_names_noise() {
    let runs = Runs::new();
    let base = runs.write("base.json", 10, 2000, 200);
    let slower = runs.write("slower.json", 10, 1666, 240);
    let text = stdout(&compare(&base, &slower, &[]));
    // A path may be longer.
    let lines = || text.lines().filter(|line| !line.contains(".json"));
    assert!(lines().all(|line| line.len() <= 80), "{text}");
    assert!(text.is_ascii(), "{text}");
    let row = |name: &str| lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("rate ").ends_with("significant"), "{text}");
    assert!(row("rate ").contains("-16."), "{text}");
    assert!(
        text.contains("result          significant difference: rate, mean"),
        "{text}"
    );
    let same = runs.write("same.json", 10, 2006, 201);
    let text = stdout(&compare(&base, &same, &[]));
    assert!(text.contains("no significant difference"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("rate ") && line.ends_with("noise")),
        "{text}"
    );
}

#[test]
fn three_seconds_are_too_few_to_compare() {
    let text = stdout(&compare(&run("together-1"), &run("together-2"), &[]));
    assert!(
        text.contains("too few seconds to compare: 3 and 3, each run needs at least 7"),
        "{text}"
    );
    assert!(!text.contains("  significant\n"), "{text}");
}

#[test]
fn relative_expectation_that_is_missed_exits_with_3() {
    let runs = Runs::new();
    let base = runs.write("base.json", 10, 2000, 200);
    let slower = runs.write("slower.json", 10, 1666, 240);
    let met = compare(
        &base,
        &slower,
        &["--expect", "p99<+30%", "--expect", "rate>-20%"],
    );
    let text = stdout(&met);
    assert!(text.contains("p99<+30%: met (1"), "{text}");
    let missed = compare(
        &base,
        &slower,
        &["--expect", "p99<+10%", "--expect", "rate>1600"],
    );
    assert_eq!(missed.status.code(), Some(3));
    let text = String::from_utf8(missed.stdout).unwrap();
    assert!(text.contains("p99<+10%: MISSED (1"), "{text}");
    assert!(text.contains("rate>1600: met (16"), "{text}");
    let json = compare(&base, &slower, &["-o", "json", "--expect", "rate>-5%"]);
    assert_eq!(json.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["expect"][0]["met"], false, "{json}");
}

#[test]
fn different_loads_are_compared_with_a_warning() {
    let runs = Runs::new();
    let base = runs.write("base.json", 8, 1000, 200);
    let other = runs.write_changed("other.json", 8, 1000, 200, |saved| {
        saved.configuration.size_bytes = 1024;
        saved.configuration.rate = None;
    });
    let text = stdout(&compare(&base, &other, &[]));
    assert!(
        text.starts_with("!! different loads: --rate 500 and max\n"),
        "{text}"
    );
    assert!(
        text.contains("!! different loads: --size 128 and 1024\n"),
        "{text}"
    );
    let found = json(&compare(&base, &other, &["-o", "json"]));
    assert_eq!(found["warnings"].as_array().unwrap().len(), 2, "{found}");
}

#[test]
fn merged_results_are_compared() {
    let runs = Runs::new();
    let both = runs.path("both.json");
    stdout(&report(&[
        &run("together-1"),
        &run("together-2"),
        "--save",
        &both,
    ]));
    let base = runs.write("base.json", 8, 500, 200);
    let found = json(&compare(&base, &both, &["-o", "json"]));
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("loads merged 1 and 2"), "{warnings}");
    // The same load is in both.
    let line = error(1, &["--compare", &run("together-1"), &both]);
    assert!(line.contains("same load"), "{line}");
}

#[test]
fn comparison_of_other_than_two_files_is_a_usage_error() {
    let (one, other) = (run("together-1"), run("together-2"));
    for arguments in [
        &["--compare", &one][..],
        &["--compare", &one, &other, &one],
        &["--compare", &one, &other, "--save", "x.json"],
        &["--compare", &one, &other, "--hgrm", "x.hgrm"],
        &["--compare", &one, &other, "--across-targets"],
        &["--compare", &one, &other, "-o", "csv"],
        &[&one, "--expect", "p99<+10%"],
    ] {
        let line = error(2, arguments);
        assert!(line.contains("--compare"), "{line}");
    }
    let invalid = report(&["--compare", &one, &other, "--expect", "p98<+10%"]);
    assert_eq!(invalid.status.code(), Some(2));
}

#[test]
fn same_file_twice_is_rejected() {
    let line = error(1, &["--compare", &run("together-1"), &run("together-1")]);
    assert!(line.contains("same load"), "{line}");
}

#[test]
fn page_has_both_runs_in_each_chart() {
    let runs = Runs::new();
    let base = runs.write("base.json", 10, 2000, 200);
    let slower = runs.write("slower.json", 10, 1666, 240);
    let path = runs.path("page.html");
    stdout(&compare(&base, &slower, &["--report", &path]));
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("<h1>Significant difference: rate"), "{page}");
    assert_eq!(page.matches("<svg role=\"img\"").count(), 3);
    assert_eq!(page.matches(">base</text>").count(), 3);
    assert_eq!(page.matches(">new</text>").count(), 3);
    assert_eq!(stdout(&compare(&base, &slower, &["-o", "html"])), page);
}

/// Two short real runs: whatever the figures are, three seconds decide nothing.
#[test]
fn real_runs_are_compared() {
    let runs = Runs::new();
    let paths = ["one.json", "two.json"].map(|name| runs.path(name));
    for path in &paths {
        let load = [
            "load",
            "--active",
            "2",
            "--duration",
            "1s",
            "--warmup",
            "0",
            "-q",
            "--save",
            path,
        ];
        let output = run_to_exit(echoloop(&load), b"");
        assert!(output.status.success(), "{output:?}");
    }
    let found = json(&compare(&paths[0], &paths[1], &["-o", "json"]));
    let verdict = found["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("too few seconds"), "{found}");
    assert!(
        found["compare"]["rate"]["base"].as_f64().unwrap() > 0.0,
        "{found}"
    );
    assert!(
        found["compare"]["rss_bytes_per_connection"]["base"].is_number(),
        "{found}"
    );
    assert_eq!(found["compare"]["lost"]["new"], 0.0);
}
