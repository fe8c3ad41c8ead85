//! `report --parts`: the parts of one load, of which none may be missing; and results on the lines of one file.

use crate::tools::run as run_to_exit;
use crate::{echoloop, run};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Files of parts of one load, in a folder.
struct Parts(TempDir);

impl Parts {
    fn new() -> Parts {
        Parts(TempDir::new().unwrap())
    }

    /// The saved result of this number as a line, with its part of `of`.
    fn line(number: u32, of: u32) -> String {
        let text = fs::read(run(&format!("together-{number}"))).unwrap();
        let mut saved: Value = serde_json::from_slice(&text).unwrap();
        saved["part"] = json!({"number": number, "of": of});
        format!("{saved}\n")
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[derive(Debug)]
struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn report_of(input: &str, arguments: &[&str]) -> Output {
    let command = echoloop(&[&["report"], arguments].concat());
    let output = run_to_exit(command, input.as_bytes());
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn report(arguments: &[&str]) -> Output {
    report_of("", arguments)
}

/// Checks that nothing was merged, for a reason in one line on stderr.
#[track_caller]
fn assert_rejected(output: &Output, words: &[&str]) {
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stdout, "", "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word}: {output:#?}");
    }
}

#[test]
fn all_parts_are_merged() {
    let parts = Parts::new();
    let one = parts.write("one.json", &Parts::line(1, 2));
    let two = parts.write("two.json", &Parts::line(2, 2));
    let by_files = report(&[&one, &two, "--parts", "2", "-o", "json"]);
    assert_eq!(by_files.code, Some(0), "{by_files:#?}");
    let lines = format!("{}\n{}", Parts::line(2, 2), Parts::line(1, 2));
    let by_lines = report_of(&lines, &["-", "--parts", "2", "-o", "json"]);
    assert_eq!(by_lines.stdout, by_files.stdout);
    let one_file = parts.write("all.json", &lines);
    let by_file = report(&[&one_file, "-o", "json"]);
    assert_eq!(by_file.stdout, by_files.stdout);
    let result: Value = serde_json::from_str(&by_file.stdout).unwrap();
    assert_eq!(result["connections"]["asked"], 408);
}

#[test]
fn missing_part_is_named_first_with_exit_code_1() {
    let parts = Parts::new();
    let one = parts.write("one.json", &Parts::line(1, 3));
    let two = parts.write("two.json", &Parts::line(2, 3));
    let both = parts.path("both.json");
    let both = both.to_str().unwrap();
    // With and without the flag; an expectation that is missed, too, changes nothing.
    for flags in [&["--parts", "3"][..], &[], &["--expect", "p99<1us"]] {
        let output = report(&[&[one.as_str(), &two, "--save", both], flags].concat());
        assert_eq!(output.code, Some(1), "{output:#?}");
        let first = "!! part 3 of 3 is missing";
        assert!(output.stdout.starts_with(first), "{output:#?}");
        assert!(output.stdout.contains("408 requested"), "{output:#?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        assert!(
            output
                .stderr
                .starts_with("echoloop: part 3 of 3 is missing")
        );
    }
    // The saved sum has the numbers of its parts.
    let again = report(&[both, "-o", "json"]);
    assert_eq!(again.code, Some(1), "{again:#?}");
    let result: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(result["warning_details"][0]["kind"], "parts_missing");
    assert_eq!(result["warning_details"][0]["figures"], json!(["3", 3]));
    let warnings = result["warnings"].as_array().unwrap();
    let of_parts = warnings
        .iter()
        .filter(|text| text.to_string().contains("missing:"));
    assert_eq!(of_parts.count(), 1, "{warnings:#?}");
    let twice = report(&[both, &one]);
    assert_rejected(&twice, &["both.json", "one.json", "part 1 of 3"]);
}

#[test]
fn part_that_is_there_twice_or_of_another_load_is_rejected() {
    let parts = Parts::new();
    let one = parts.write("one.json", &Parts::line(1, 2));
    let two = parts.write("two.json", &Parts::line(2, 2));
    let copy = Parts::line(2, 2).replace("\"number\":2", "\"number\":1");
    let copy = parts.write("copy.json", &copy);
    let other = parts.write("other.json", &Parts::line(2, 3));
    let none = run("together-2");
    for (files, flags, words) in [
        (
            [&one, &copy],
            &[][..],
            &["one.json", "copy.json", "both are part 1 of 2"][..],
        ),
        (
            [&one, &other],
            &[],
            &["one.json", "other.json", "part 2 of 3"],
        ),
        ([&one, &two], &["--parts", "3"], &["one.json", "not of 3"]),
        (
            [&one, &none],
            &["--parts", "2"],
            &["together-2.json is no part"],
        ),
    ] {
        let [first, second] = files;
        let output = report(&[&[first.as_str(), second], flags].concat());
        assert_rejected(&output, words);
    }
    // The numbers may be wrong in a file from elsewhere.
    let wrong = parts.write("wrong.json", &Parts::line(2, 1));
    assert_rejected(&report(&[&wrong]), &["wrong.json", "part 2 of 1"]);
}

#[test]
fn empty_file_of_a_killed_load_leads_to_its_part() {
    let parts = Parts::new();
    let one = parts.write("one.json", &Parts::line(1, 2));
    let two = parts.write("two.json", "");
    for flags in [&["--parts", "2"][..], &[]] {
        let output = report(&[&[one.as_str(), &two], flags].concat());
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stdout.starts_with("!! part 2 of 2 is missing"));
        assert!(output.stderr.contains("two.json is empty"), "{output:#?}");
    }
    assert_rejected(
        &report(&[&two, "--parts", "2"]),
        &["parts 1-2 of 2", "two.json"],
    );
    let unknown = run("together-1");
    assert_rejected(&report(&[&unknown, &two]), &["two.json", "it is empty"]);
    assert_rejected(&report_of("", &["-"]), &["stdin", "it is empty"]);
}

#[test]
fn torn_line_is_an_error_with_its_number() {
    let (one, two) = (Parts::line(1, 2), Parts::line(2, 2));
    let torn = format!("{one}{}\n{}", &two[..4096], &two[4096..]);
    let output = report_of(&torn, &["-"]);
    assert_rejected(&output, &["line 2 of stdin", "not JSON"]);
    let labelled = format!("0: {one}1: {two}");
    assert_rejected(&report_of(&labelled, &["-"]), &["line 1 of stdin"]);
    let foreign = format!("{one}{{\"a\": 1}}\n");
    let output = report_of(&foreign, &["-"]);
    assert_rejected(&output, &["line 2 of stdin", "not a saved result"]);
}

#[test]
fn merged_line_on_stdout_can_be_merged_again() {
    let lines = [Parts::line(1, 2), Parts::line(2, 2)].concat();
    let output = report_of(&lines, &["-", "--save", "-"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(output.stderr.contains("408 requested"), "{output:#?}");
    let again = report_of(&output.stdout, &["-", "--parts", "2"]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert_eq!(again.stdout, output.stderr);
}

#[test]
fn contradictory_flags_are_exit_code_2() {
    let (one, two) = (run("together-1"), run("together-2"));
    for flags in [
        &["--parts", "0"][..],
        &["--save", "-", "-o", "json"],
        &["--compare", "--parts", "2"],
    ] {
        let output = report(&[&[one.as_str(), &two], flags].concat());
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(flags[0]), "{output:#?}");
    }
}
