//! The examples of the README, taken out of it.
//!
//! A `console` block is a terminal: `$ ` begins a command, `> ` goes on with it, and the rest is what came of it. An `sh`
//! block is a script; what it prints may come in a `text` block after it. `<!-- measured -->` in the line above a block, which readers do not see, says that its
//! figures are of one machine on one day.

use std::fs;
use std::path::Path;

/// What is typed at a prompt, or a whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the README in which its fence is, counted from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) is_measured: bool,
    pub(crate) commands: Vec<String>,
    /// What is printed by all commands together.
    pub(crate) output: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Console,
    Script,
}

impl Block {
    fn new(line: usize, kind: Kind, above: &str, lines: &[&str]) -> Block {
        let mut block = Block {
            line,
            kind,
            is_measured: above.trim() == "<!-- measured -->",
            commands: Vec::new(),
            output: Vec::new(),
        };
        if kind == Kind::Script {
            block.commands.push(lines.join("\n"));
            return block;
        }
        let mut is_command = false;
        for line in lines {
            if let Some(command) = line.strip_prefix("$ ") {
                block.commands.push(command.to_owned());
                is_command = true;
            } else if let Some(more) = line.strip_prefix("> ").filter(|_| is_command) {
                let command = block.commands.last_mut().unwrap();
                command.push('\n');
                command.push_str(more);
            } else {
                is_command = false;
                block.output.push((*line).to_owned());
            }
        }
        assert!(
            !block.commands.is_empty(),
            "line {}: a console without a command",
            block.line
        );
        block
    }

    /// Whether it only names what cargo is to build and run, which a test does not do again.
    pub(crate) fn is_cargo(&self) -> bool {
        let mut lines = self.commands.iter().flat_map(|command| command.lines());
        lines.all(|line| line.starts_with("cargo ") || line.starts_with("git "))
    }
}

pub(crate) fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// All blocks that can be run.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let inside = &lines[at + 1..];
        let length = inside.iter().position(|line| line.starts_with("```"));
        let length = length.unwrap_or_else(|| panic!("line {}: the fence is open", at + 1));
        if language == "text" {
            let script = found.last_mut();
            let script = script.filter(|block: &&mut Block| block.kind == Kind::Script);
            let script = script.unwrap_or_else(|| panic!("line {}: of what?", at + 1));
            script.output = inside[..length].iter().map(ToString::to_string).collect();
        }
        let kind = match language {
            "console" => Some(Kind::Console),
            "sh" => Some(Kind::Script),
            "rust" | "text" => None,
            other => panic!("line {}: is {other:?} to be run or not?", at + 1),
        };
        let above = if at > 0 { lines[at - 1] } else { "" };
        found.extend(kind.map(|kind| Block::new(at + 1, kind, above, &inside[..length])));
        at += length + 2;
    }
    found
}

#[test]
fn a_console_is_commands_and_what_came_of_them() {
    let text = "One\n```sh\na\nb\n```\n<!-- measured -->\n```console\n$ c 'd\n> e'\nf\n> g\n$ h &\n```\n```rust\n$ i\n```\n\
        ```sh\nj\n```\nprints\n```text\nk\n```\n";
    let block = |line, kind, is_measured, commands: &[&str], output: &[&str]| Block {
        line,
        kind,
        is_measured,
        commands: commands.iter().map(ToString::to_string).collect(),
        output: output.iter().map(ToString::to_string).collect(),
    };
    let expected = [
        block(2, Kind::Script, false, &["a\nb"], &[]),
        block(7, Kind::Console, true, &["c 'd\ne'", "h &"], &["f", "> g"]),
        block(17, Kind::Script, false, &["j"], &["k"]),
    ];
    assert_eq!(blocks(text), expected);
}
