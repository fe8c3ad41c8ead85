//! Names in the documents exist: targets of cargo, files, flags, messages, functions, figures.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::documents::{Block, all_blocks, document, documents, project};
use crate::echoloop;
use crate::tools::run;

/// The text of all documents.
fn all_text() -> String {
    documents()
        .into_iter()
        .map(|document| document.text)
        .collect()
}

/// The words after each occurrence of `flag`.
fn named_after(text: &str, flag: &str) -> BTreeSet<String> {
    let words = text.match_indices(flag).map(|(at, _)| {
        let rest = &text[at + flag.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    words.collect()
}

#[test]
fn readme_has_at_most_150_lines() {
    let lines = document("README.md").lines().count();
    assert!(lines <= 150, "{lines}");
}

#[test]
fn cargo_targets_exist() {
    let text = all_text();
    let folders = [
        ("--bench ", "benches"),
        ("--test ", "tests"),
        ("--example ", "examples"),
    ];
    for (flag, folder) in folders {
        let names = named_after(&text, flag);
        assert!(!names.is_empty(), "{flag}");
        for name in names {
            let is_there = [
                format!("{folder}/{name}.rs"),
                format!("{folder}/{name}/main.rs"),
            ]
            .iter()
            .any(|path| project(path).is_file());
            assert!(is_there, "{flag}{name}");
        }
    }
}

#[test]
fn named_files_exist() {
    let text = all_text();
    let roots = [
        ".ci/",
        "src/",
        "tests/",
        "benches/",
        "deploy/",
        "docs/",
        "examples/",
        "fuzz/",
    ];
    let named = text
        .split('`')
        .filter(|word| roots.iter().any(|root| word.starts_with(root)));
    let named: Vec<&str> = named
        .filter_map(|word| word.split([' ', '#']).next())
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for path in named {
        assert!(project(path).exists(), "{path}");
    }
}

#[test]
fn project_scripts_are_executable() {
    let blocks = all_blocks();
    let scripts: Vec<&str> = blocks.iter().flat_map(Block::project_scripts).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let metadata = fs::metadata(project(script)).unwrap_or_else(|_| panic!("{script}"));
        assert!(metadata.permissions().mode() & 0o100 != 0, "{script}");
    }
}

/// The long flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let mut flags = named_after(text, "--");
    flags.retain(|flag| flag.starts_with(|c: char| c.is_ascii_lowercase()));
    flags
}

/// Each subcommand with the section that explains it: under a heading of its name, up to the next of that level.
fn sections() -> Vec<(String, String)> {
    let mut sections = Vec::new();
    for document in documents() {
        for level in ["# ", "## "] {
            let text = format!("\n{}", document.text);
            let heading = format!("\n{level}");
            let pieces = text.split(&heading).skip(1);
            sections.extend(pieces.filter_map(|piece| {
                let (title, section) = piece.split_once('\n')?;
                let name = title.strip_prefix("`echoloop ")?.strip_suffix('`')?;
                Some((name.to_owned(), section.to_owned()))
            }));
        }
    }
    sections
}

/// The long flags that the help of a subcommand lists.
fn flags_of_help(name: &str) -> BTreeSet<String> {
    let help = help(&[name, "--help"]);
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let mut listed = BTreeSet::new();
    for line in lines {
        listed.extend(flags(line.split("  ").next().unwrap()));
    }
    for of_every_subcommand in ["help", "version", "verbose", "quiet"] {
        assert!(
            listed.remove(of_every_subcommand),
            "{name} --{of_every_subcommand}"
        );
    }
    listed
}

fn help(arguments: &[&str]) -> String {
    let output = run(echoloop(arguments), b"");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn subcommands_have_a_section_with_all_flags() {
    let sections = sections();
    let program = help(&["--help"]);
    for (name, section) in &sections {
        assert!(program.contains(&format!("\n  {name} ")), "{name}");
        let table = section.lines().filter(|line| line.starts_with('|'));
        let first_cells = table.filter_map(|line| line.split(" | ").next());
        let explained = flags(&first_cells.collect::<Vec<_>>().join("\n"));
        let listed = flags_of_help(name);
        for flag in &explained {
            assert!(listed.contains(flag), "{name} --{flag} does not exist");
        }
        let named = flags(section);
        for flag in &listed {
            assert!(named.contains(flag), "{name} --{flag} is not documented");
        }
    }
    assert_eq!(sections.len(), 6, "{program}");
}

/// All source files below `src`, with string literals that continue over lines joined.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut lines = text.split("\\\n");
            let mut joined = lines.next().unwrap().to_owned();
            lines.for_each(|line| joined.push_str(line.trim_start()));
            found.push(joined);
        }
    }
}

/// Whether the parts of a message between its variable parts, `...`, are near each other in a source file.
fn is_message_of(source: &str, message: &str) -> bool {
    let mut parts = message.split("...").map(|part| part.trim_matches(' '));
    let first = parts.find(|part| part.len() > 2).unwrap();
    source.match_indices(first).any(|(at, _)| {
        let mut rest = &source[at..];
        let mut parts = parts.clone().filter(|part| part.len() > 2);
        parts.all(|part| match rest.find(part) {
            Some(at) if at < 500 => {
                rest = &rest[at + part.len()..];
                true
            }
            _ => false,
        })
    })
}

#[test]
fn messages_of_troubleshooting_are_in_the_source() {
    let mut source = Vec::new();
    sources(&project("src"), &mut source);
    let text = document("docs/troubleshooting.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("### `"));
    let mut missing = Vec::new();
    let mut count = 0;
    for heading in headings {
        let message = heading.strip_suffix('`').unwrap();
        count += 1;
        if !source.iter().any(|source| is_message_of(source, message)) {
            missing.push(message);
        }
    }
    assert!(count >= 30, "{count} messages");
    assert!(
        missing.is_empty(),
        "no such message in src:\n{}",
        missing.join("\n")
    );
}

/// The numbers of a text with at least three digits.
fn large_numbers(text: &str) -> BTreeSet<String> {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != ',' && c != '.');
    let numbers = numbers.map(|number| number.trim_matches(['.', ',']));
    let numbers = numbers.filter(|number| number.bytes().filter(u8::is_ascii_digit).count() >= 3);
    numbers.map(str::to_owned).collect()
}

#[test]
fn measured_figures_of_readme_are_those_of_benchmarks() {
    let readme = document("README.md");
    let (_, section) = readme.split_once("## Measured\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let quoted = large_numbers(section);
    assert!(quoted.len() >= 3, "{quoted:?}");
    let all = large_numbers(&document("docs/benchmarks.md"));
    let unknown: Vec<&String> = quoted.difference(&all).collect();
    assert!(unknown.is_empty(), "not in docs/benchmarks.md: {unknown:?}");
}
