//! The page about the architecture describes the source as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::documents::{document, project};

/// A section of the page.
fn section(title: &str) -> String {
    let text = document("docs/architecture.md");
    let (_, section) = text.split_once(&format!("## {title}\n")).unwrap();
    section.split("\n## ").next().unwrap().to_owned()
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The number of lines of a function, without the comments and attributes before it.
fn length_of(source: &str, function: &str) -> Option<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let is_start = |line: &&str| {
        let after = line.split_once("fn ").map(|(_, after)| after);
        let rest = after.and_then(|after| after.strip_prefix(function));
        rest.is_some_and(|rest| rest.starts_with(['(', '<']))
    };
    let start = lines.iter().position(is_start)?;
    let indentation = lines[start].len() - lines[start].trim_start().len();
    let end = format!("{}}}", " ".repeat(indentation));
    let length = lines[start..].iter().position(|line| *line == end)?;
    Some(length + 1)
}

#[test]
fn reading_path_names_about_300_lines_of_source() {
    let path = section("Reading path");
    let rows = path
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("`src/"));
    let mut total = 0;
    for row in rows {
        let quoted = quoted(row);
        let source = fs::read_to_string(project(quoted[0])).unwrap();
        let is_function = |name: &&&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for function in quoted[1..].iter().filter(is_function) {
            let length = length_of(&source, function);
            total += length.unwrap_or_else(|| panic!("{}: no fn {function}", quoted[0]));
        }
    }
    assert!((250..=350).contains(&total), "{total} lines");
}

/// The source files of a module.
fn sources(module: &str) -> Vec<PathBuf> {
    fn collect(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            entries.for_each(|entry| collect(&entry.unwrap().path(), found));
        } else if path.exists() {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    collect(&project(&format!("src/{module}.rs")), &mut found);
    collect(&project(&format!("src/{module}")), &mut found);
    assert!(!found.is_empty(), "{module} is no module");
    found
}

/// The other modules that a module imports, outside of comments.
fn imports(module: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for path in sources(module) {
        let text = fs::read_to_string(path).unwrap();
        let code = text.lines().filter(|line| !line.trim().starts_with("//"));
        for piece in code.flat_map(|line| line.split("crate::").skip(1)) {
            let end = piece.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            imports.insert(piece[..end.unwrap_or(piece.len())].to_owned());
        }
    }
    imports.remove(module);
    imports
}

#[test]
fn table_of_modules_has_all_modules_and_their_imports() {
    let modules = section("Modules");
    let rows = modules.lines().filter(|line| line.starts_with("| `"));
    let mut named = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let module = quoted(cells[0])[0];
        let shown: BTreeSet<String> = quoted(cells[2]).iter().map(ToString::to_string).collect();
        assert_eq!(shown, imports(module), "imports of {module}");
        named.insert(module.to_owned());
    }
    let lib = fs::read_to_string(project("src/lib.rs")).unwrap();
    let all = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_eq!(named, all.map(str::to_owned).collect());
}
