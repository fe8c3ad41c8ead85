//! Rewrites the output of an example in its document, where `ECHOLOOP_UPDATE_DOCS=1` asks for it.

use std::env;
use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::documents::{Block, Document, Kind, blocks, project};

/// Whether examples that print something else than shown are to be rewritten.
pub(crate) fn is_wanted() -> bool {
    env::var("ECHOLOOP_UPDATE_DOCS").is_ok_and(|value| value == "1")
}

/// Replaces the output of an example by what its commands printed. Log lines go to no command: their positions are
/// chosen by hand.
pub(crate) fn update(block: &Block, outputs: &[String]) {
    // Tests of other examples may rewrite the same document.
    static LOCK: Mutex<()> = Mutex::new(());
    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, _) = block.place.rsplit_once(':').unwrap();
    let document = Document {
        path: path.to_owned(),
        text: fs::read_to_string(project(path)).unwrap(),
    };
    fs::write(project(path), updated(&document, block, outputs)).unwrap();
}

fn updated(document: &Document, block: &Block, outputs: &[String]) -> String {
    // Earlier updates may have moved it.
    let mut all = blocks(document).into_iter();
    let current = all.find(|other| other.commands == block.commands).unwrap();
    let (_, fence) = current.place.rsplit_once(':').unwrap();
    let lines: Vec<&str> = document.text.lines().collect();
    let mut start = fence.parse().unwrap();
    if block.kind == Kind::Script {
        let fences = lines[start..].iter();
        start += 1 + fences.clone().position(|line| *line == "```text").unwrap();
    }
    let length = lines[start..]
        .iter()
        .position(|line| *line == "```")
        .unwrap();
    let mut text: Vec<String> = lines[..start].iter().map(ToString::to_string).collect();
    for (at, output) in outputs.iter().enumerate() {
        if let Some(command) = block
            .commands
            .get(at)
            .filter(|_| block.kind == Kind::Console)
        {
            text.push(format!("$ {}", command.replace('\n', "\n> ")));
        }
        text.extend(output.lines().map(|line| line.trim_end().to_owned()));
    }
    text.extend(lines[start + length..].iter().map(ToString::to_string));
    text.join("\n") + "\n"
}

#[test]
fn output_of_console_and_script_is_replaced() {
    let text = "A\n```console\n$ a\n> b\nold\n$ c\n```\n```sh\nd\n```\nB\n```text\nold\n```\nC\n";
    let mut document = Document {
        path: "a.md".to_owned(),
        text: text.to_owned(),
    };
    let found = blocks(&document);
    let outputs = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    document.text = updated(&document, &found[0], &outputs(&["1\n2\n", "3", ""]));
    document.text = updated(&document, &found[1], &outputs(&["4\n"]));
    let expected =
        "A\n```console\n$ a\n> b\n1\n2\n$ c\n3\n```\n```sh\nd\n```\nB\n```text\n4\n```\nC\n";
    assert_eq!(document.text, expected);
}
