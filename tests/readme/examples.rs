//! Every example of the README, run as a reader would.

use crate::blocks::{Block, Kind, blocks, readme};
use crate::terminal::{self, Outcome};
use crate::tools::lacking;

/// Runs each of these examples.
#[track_caller]
fn run_all(blocks: &[Block]) {
    if let Err(why) = terminal::is_possible() {
        lacking(&why);
        return;
    }
    let mut failures = Vec::new();
    for block in blocks {
        match terminal::run(block) {
            Outcome::AsShown => {}
            Outcome::Lacking(what) => {
                lacking(&format!("line {} of the README: {what}", block.line));
            }
            Outcome::Otherwise(how) => failures.push(format!("line {}: {how}", block.line)),
        }
    }
    assert!(failures.is_empty(), "README.md, {}", failures.join("\n\n"));
}

fn runnable(is_wanted: impl Fn(&Block) -> bool) -> Vec<Block> {
    let all = blocks(&readme()).into_iter();
    let runnable = all.filter(|block| block.kind == Kind::Console || !block.is_cargo());
    let wanted: Vec<Block> = runnable.filter(is_wanted).collect();
    assert!(!wanted.is_empty(), "no examples are found");
    wanted
}

#[test]
fn examples_print_what_the_readme_shows() {
    run_all(&runnable(|block| {
        block.kind == Kind::Console && !block.is_measured
    }));
}

#[test]
fn measured_examples_print_what_the_readme_shows_but_for_their_figures() {
    run_all(&runnable(|block| {
        block.kind == Kind::Console && block.is_measured
    }));
}

#[test]
fn scripts_of_the_readme_succeed() {
    run_all(&runnable(|block| block.kind == Kind::Script));
}

#[test]
fn an_example_that_is_not_true_is_found() {
    if terminal::is_possible().is_err() {
        return;
    }
    let text = "```console\n$ printf 'hello\\n' | echoloop send\nhullo\n```\n```console\n$ false\n```\n```console\n$ no-such-program\n```\n";
    let outcomes: Vec<Outcome> = blocks(text).iter().map(terminal::run).collect();
    assert!(matches!(outcomes[0], Outcome::Otherwise(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Otherwise(_)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Outcome::Lacking(_)), "{outcomes:?}");
}
