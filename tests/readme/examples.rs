//! Runs every example of the documents.

use std::sync::Mutex;
use std::thread;

use crate::documents::{Block, Document, Kind, all_blocks, blocks, documents, fences, project};
use crate::shell::{self, Outcome, Programs};
use crate::tools::lacking;
use crate::update;

/// How many examples run at the same time. Each has a network namespace of its own.
const AT_ONCE: usize = 4;

/// Runs these examples, `at_once` at a time.
#[track_caller]
fn run_all(blocks: &[Block], at_once: usize) {
    if let Err(why) = shell::is_possible() {
        lacking(&why);
        return;
    }
    let programs = Programs::install();
    let queue = Mutex::new(blocks.iter());
    let next = || queue.lock().unwrap().next();
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(block) = next() {
                    let outcome = shell::run(block, &programs);
                    outcomes.lock().unwrap().push((block, outcome));
                }
            });
        }
    });
    let mut failures = Vec::new();
    for (block, outcome) in outcomes.into_inner().unwrap() {
        match outcome {
            Outcome::AsShown => {}
            Outcome::Lacking(what) => {
                lacking(&format!("{}: {what}", block.place));
            }
            Outcome::Otherwise(how) => {
                if update::is_wanted() {
                    update::update(block, &shell::record(block, &programs));
                }
                failures.push(format!("{}: {how}", block.place));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn runnable(is_wanted: impl Fn(&Block) -> bool) -> Vec<Block> {
    let all = all_blocks().into_iter();
    let runnable = all.filter(|block| block.kind == Kind::Console || !block.is_of_the_project());
    let wanted: Vec<Block> = runnable.filter(is_wanted).collect();
    assert!(!wanted.is_empty(), "no examples found");
    wanted
}

#[test]
fn examples_print_what_the_documents_show() {
    let blocks = runnable(|block| block.kind == Kind::Console && !block.is_measured);
    run_all(&blocks, AT_ONCE);
}

#[test]
fn measured_examples_differ_in_figures_only() {
    let blocks = runnable(|block| block.kind == Kind::Console && block.is_measured);
    run_all(&blocks, 1);
}

#[test]
fn scripts_of_the_documents_succeed() {
    run_all(&runnable(|block| block.kind == Kind::Script), AT_ONCE);
}

/// The lines of some code without their indentation.
fn trimmed<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line.trim(), "\n"]).collect()
}

/// The programs in the documentation of the crate.
fn doctests() -> Vec<String> {
    let lib = std::fs::read_to_string(project("src/lib.rs")).unwrap();
    let lines = lib.lines().filter_map(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.map(str::trim).collect();
    let text = text.join("\n");
    let fences = text.split("\n```\n").skip(1).step_by(2);
    fences.map(|code| trimmed(code.lines())).collect()
}

#[test]
fn rust_code_is_part_of_an_example_or_the_doctest() {
    let entries = std::fs::read_dir(project("examples")).unwrap();
    let mut examples: Vec<String> = entries
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|text| trimmed(text.lines()))
        .collect();
    examples.extend(doctests());
    let mut count = 0;
    for document in documents() {
        let fences = fences(&document).into_iter();
        for fence in fences.filter(|fence| fence.language == "rust") {
            let code = trimmed(fence.lines.iter().copied());
            let is_there = examples.iter().any(|example| example.contains(&code));
            assert!(
                is_there,
                "{}: not in examples/ or lib.rs:\n{code}",
                document.path
            );
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn scripts_in_toml_compile() {
    let mut count = 0;
    for document in documents() {
        let fences = fences(&document).into_iter();
        for fence in fences.filter(|fence| fence.language == "toml") {
            let source = fence.lines.join("\n");
            let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
            let script = echoloop::load::Script::parse(&document.path, &source, read);
            assert!(script.is_ok(), "{}: {script:?}", document.path);
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn wrong_output_exit_code_and_program_are_found() {
    if shell::is_possible().is_err() {
        return;
    }
    let text = "```console\n$ printf 'hello\\n' | echoloop send\nhullo\n```\n```console\n$ false\n```\n```console\n$ no-such-program\n```\n";
    let document = Document {
        path: "a.md".to_owned(),
        text: text.to_owned(),
    };
    let programs = Programs::install();
    let run = |block| shell::run(block, &programs);
    let outcomes: Vec<Outcome> = blocks(&document).iter().map(run).collect();
    assert!(matches!(outcomes[0], Outcome::Otherwise(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Otherwise(_)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Outcome::Lacking(_)), "{outcomes:?}");
}
