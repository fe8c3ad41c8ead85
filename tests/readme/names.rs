//! What the README names is there: targets of cargo, files, and every flag of every subcommand.

use std::collections::BTreeSet;
use std::path::Path;

use crate::blocks::readme;
use crate::echoloop;
use crate::tools::run;

fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The words that come after `flag`, wherever that stands.
fn named_after(text: &str, flag: &str) -> BTreeSet<String> {
    let words = text.match_indices(flag).map(|(at, _)| {
        let rest = &text[at + flag.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    words.collect()
}

#[test]
fn targets_of_cargo_are_there() {
    let text = readme();
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
fn files_that_are_linked_or_named_are_there() {
    let text = readme();
    let linked = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let linked: Vec<&str> = linked
        .filter(|link| !link.starts_with("http") && !link.starts_with('#'))
        .collect();
    assert!(linked.len() > 5, "{linked:?}");
    let roots = ["src/", "tests/", "benches/", "docs/", "examples/"];
    let named = text
        .split('`')
        .filter(|word| roots.iter().any(|root| word.starts_with(root)));
    for path in linked.into_iter().chain(named) {
        let path = path.split([' ', '#']).next().unwrap();
        assert!(project(path).exists(), "{path}");
    }
}

/// The long flags in a piece of text, in no order.
fn flags(text: &str) -> BTreeSet<String> {
    let mut flags = named_after(text, "--");
    flags.retain(|flag| flag.starts_with(|c: char| c.is_ascii_lowercase()));
    flags
}

/// Each subcommand with its section of the README.
fn sections(text: &str) -> Vec<(String, String)> {
    let pieces = text.split("\n## ").skip(1);
    let sections = pieces.filter_map(|piece| {
        let (title, section) = piece.split_once('\n')?;
        let name = title.strip_prefix("`echoloop ")?.strip_suffix('`')?;
        Some((name.to_owned(), section.to_owned()))
    });
    sections.collect()
}

#[test]
fn each_subcommand_has_a_section_and_all_its_flags_in_a_table() {
    let text = readme();
    let sections = sections(&text);
    let help = |arguments: &[&str]| {
        let output = run(echoloop(arguments), b"");
        String::from_utf8(output.stdout).unwrap()
    };
    let program = help(&["--help"]);
    for (name, section) in &sections {
        assert!(program.contains(&format!("\n  {name} ")), "{name}");
        let table: Vec<&str> = section
            .lines()
            .filter(|line| line.starts_with('|'))
            .collect();
        let first_cells = table.iter().filter_map(|line| line.split(" | ").next());
        let explained: String = first_cells.collect::<Vec<_>>().join("\n");
        let help = help(&[name, "--help"]);
        let lines = help
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'));
        let mut has: BTreeSet<String> = BTreeSet::new();
        for line in lines {
            has.extend(flags(line.split("  ").next().unwrap()));
        }
        // Every program has these.
        for flag in ["help", "version", "verbose", "quiet"] {
            assert!(has.remove(flag), "{name} --{flag}");
        }
        let explained = flags(&explained);
        for flag in &explained {
            assert!(
                has.contains(flag),
                "the README explains {name} --{flag}, which is not there"
            );
        }
        let all = flags(section);
        for flag in &has {
            assert!(
                all.contains(flag),
                "the README does not name {name} --{flag}"
            );
        }
    }
    assert_eq!(sections.len(), 6, "{program}");
}
