//! The documents and their examples.
//!
//! A `console` block is a terminal session: `$ ` starts a command, `> ` continues it, other lines are the output. An
//! `sh` block is a script; its output is in a `text` block after it. `<!-- measured -->` in the line above a block
//! (not rendered) marks output whose figures depend on the machine.

use std::fs;
use std::path::{Path, PathBuf};

/// A document with its path below the project.
pub(crate) struct Document {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A terminal session or a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The document and the line of the opening fence, as `README.md:12`.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) is_measured: bool,
    pub(crate) commands: Vec<String>,
    /// The output of all commands together.
    pub(crate) output: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Console,
    Script,
}

impl Block {
    fn new(place: String, kind: Kind, above: &str, lines: &[&str]) -> Block {
        let mut block = Block {
            place,
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
        let place = &block.place;
        assert!(
            !block.commands.is_empty(),
            "{place}: a console without a command"
        );
        block
    }

    /// Whether all its lines build, test, measure or deploy the project itself, which a test does not repeat.
    pub(crate) fn is_of_the_project(&self) -> bool {
        let mut lines = self.commands.iter().flat_map(|command| command.lines());
        lines.all(|line| {
            let program = program_of(line);
            NOT_RUN.contains(&program) || is_project_script(program)
        })
    }

    /// The scripts of the project that it runs.
    pub(crate) fn project_scripts(&self) -> impl Iterator<Item = &str> {
        let lines = self.commands.iter().flat_map(|command| command.lines());
        let programs = lines.map(program_of);
        programs.filter(|program| is_project_script(program))
    }
}

/// Programs that build the project, or run it on other machines.
const NOT_RUN: [&str; 5] = ["cargo", "git", "sbatch", "kubectl", "docker"];

/// The program of a command line, after assignments such as `NAME=value`.
fn program_of(line: &str) -> &str {
    let mut words = line.split_whitespace();
    let program = words.find(|word| !word.contains('='));
    program.unwrap_or_default()
}

fn is_project_script(program: &str) -> bool {
    let folders = [".ci/", "benches/", "deploy/", "tests/"];
    folders.iter().any(|folder| program.starts_with(folder))
}

/// A path below the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All documents for users and contributors.
pub(crate) fn documents() -> Vec<Document> {
    let mut paths: Vec<String> = ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY"]
        .map(|name| format!("{name}.md"))
        .to_vec();
    let entries = fs::read_dir(project("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter_map(|name| Some(format!("docs/{}.md", name.strip_suffix(".md")?)));
    paths.extend(pages);
    paths.push("deploy/README.md".to_owned());
    paths.extend(["kubernetes", "slurm", "ssh"].map(|name| format!("deploy/{name}/README.md")));
    paths.sort();
    let read = |path: String| {
        let text = fs::read_to_string(project(&path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        Document { path, text }
    };
    paths.into_iter().map(read).collect()
}

/// The text of one document.
pub(crate) fn document(path: &str) -> String {
    let mut documents = documents().into_iter();
    documents
        .find(|document| document.path == path)
        .unwrap()
        .text
}

/// All examples of all documents.
pub(crate) fn all_blocks() -> Vec<Block> {
    documents().iter().flat_map(blocks).collect()
}

/// A fenced block: its language, the line above it, the number of its line from 1, and its content.
pub(crate) struct Fence<'a> {
    pub(crate) language: &'a str,
    above: &'a str,
    line: usize,
    pub(crate) lines: Vec<&'a str>,
}

/// All fenced blocks of a document.
pub(crate) fn fences(document: &Document) -> Vec<Fence<'_>> {
    let lines: Vec<&str> = document.text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let inside = &lines[at + 1..];
        let length = inside.iter().position(|line| line.starts_with("```"));
        let length = length.unwrap_or_else(|| panic!("{}:{}: open fence", document.path, at + 1));
        found.push(Fence {
            language,
            above: if at > 0 { lines[at - 1] } else { "" },
            line: at + 1,
            lines: inside[..length].to_vec(),
        });
        at += length + 2;
    }
    found
}

/// The examples of a document.
pub(crate) fn blocks(document: &Document) -> Vec<Block> {
    let mut found = Vec::new();
    for fence in fences(document) {
        let place = format!("{}:{}", document.path, fence.line);
        let has_prompt = || fence.lines.iter().any(|line| line.starts_with("$ "));
        match fence.language {
            "console" => {
                found.push(Block::new(place, Kind::Console, fence.above, &fence.lines));
            }
            "sh" => found.push(Block::new(place, Kind::Script, fence.above, &fence.lines)),
            "text" => {
                let script = found.last_mut();
                let script = script.filter(|block: &&mut Block| block.kind == Kind::Script);
                let script = script.unwrap_or_else(|| panic!("{place}: no script before it"));
                script.output = fence.lines.iter().map(ToString::to_string).collect();
            }
            "ini" => found.push(unit(place, &fence.lines)),
            // A script of `load`, which another test compiles.
            "toml" => {}
            // A diagram; or a part of an example program, which another test looks up.
            "" | "rust" if !has_prompt() => {}
            other => panic!("{place}: {other:?} is not run: choose another language"),
        }
    }
    found
}

/// A systemd unit as an example: its command serves.
fn unit(place: String, lines: &[&str]) -> Block {
    let mut lines = lines.iter();
    let command = lines.find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/"));
    let command = command.unwrap_or_else(|| panic!("{place}: no command of the unit"));
    Block {
        place,
        kind: Kind::Console,
        is_measured: false,
        commands: vec![
            format!("{command} -q &"),
            "echoloop ping -q -c 1 >/dev/null".into(),
        ],
        output: Vec::new(),
    }
}

#[test]
fn console_is_split_into_commands_and_output() {
    let text = "One\n```sh\na\nb\n```\n<!-- measured -->\n```console\n$ c 'd\n> e'\nf\n> g\n$ h &\n```\n```rust\n$i\n```\n\
        ```sh\nj\n```\nprints\n```text\nk\n```\n";
    let document = Document {
        path: "a.md".to_owned(),
        text: text.to_owned(),
    };
    let block = |line, kind, is_measured, commands: &[&str], output: &[&str]| Block {
        place: format!("a.md:{line}"),
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
    assert_eq!(blocks(&document), expected);
}

#[test]
fn only_builds_and_scripts_of_the_project_are_not_run() {
    let script = |text: &str| Block::new("a.md:1".into(), Kind::Script, "", &[text]);
    for text in ["cargo test", "A=1 cargo test", "tests/a/run 7", ".ci/run"] {
        assert!(script(text).is_of_the_project(), "{text}");
    }
    for text in [
        "echoloop serve",
        "A=1 echoloop serve",
        "cargo test\nls",
        "ls benches/",
    ] {
        assert!(!script(text).is_of_the_project(), "{text}");
    }
}
