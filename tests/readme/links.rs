//! Links between the documents lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use crate::documents::{Document, documents, project};

/// The text outside of fenced blocks.
fn prose(document: &Document) -> String {
    let mut is_code = false;
    let lines = document.text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The targets of all links and images.
fn targets(document: &Document) -> Vec<String> {
    let prose = prose(document);
    let pieces = prose.split("](").skip(1);
    let targets = pieces.filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// The anchors of all headings, as GitHub makes them: lower case, spaces as hyphens, other punctuation dropped, and a
/// number after repeated ones.
fn anchors(document: &Document) -> BTreeSet<String> {
    let prose = prose(document);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let mut anchors = BTreeSet::new();
    for heading in headings {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let letters = title.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        });
        let anchor: String = letters.collect();
        let repeated = (1..).map(|count| format!("{anchor}-{count}"));
        let mut candidates = std::iter::once(anchor.clone()).chain(repeated);
        let free = candidates.find(|candidate| !anchors.contains(candidate));
        anchors.extend(free);
    }
    anchors
}

/// The path of a link below the project, and its anchor.
fn resolve(document: &Document, target: &str) -> (String, Option<String>) {
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor.to_owned())),
        None => (target, None),
    };
    if file.is_empty() {
        return (document.path.clone(), anchor);
    }
    let folder = Path::new(&document.path).parent().unwrap();
    let mut path = folder.to_path_buf();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => assert!(path.pop(), "{}: {target}", document.path),
            part => path.push(part),
        }
    }
    (path.to_str().unwrap().to_owned(), anchor)
}

/// The links that lead nowhere.
fn broken(documents: &[Document]) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents {
        let relative = targets(document).into_iter();
        for target in relative.filter(|target| !target.contains("://")) {
            let (path, anchor) = resolve(document, &target);
            let linked = documents.iter().find(|document| document.path == path);
            let has_anchor = match (anchor, linked) {
                (None, _) => true,
                (Some(anchor), Some(linked)) => anchors(linked).contains(&anchor),
                (Some(_), None) => false,
            };
            if !has_anchor || (linked.is_none() && !project(&path).exists()) {
                broken.push(format!("{}: {target}", document.path));
            }
        }
    }
    broken
}

#[test]
fn relative_links_and_anchors_exist() {
    let documents = documents();
    let count: usize = documents
        .iter()
        .map(|document| targets(document).len())
        .sum();
    assert!(count > 40, "{count} links");
    let broken = broken(&documents);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn missing_files_and_anchors_are_found() {
    let text = "# One `two`, three!\n## Four\n## Four\n[](#one-two-three) [](#four-1) [](a.md#four) [](../src/lib.rs)\n\
        [](#four-2) [](b.md) [](a.md#five) [](../src#four)\n```sh\n[](no.md)\n```\n";
    let document = Document {
        path: "docs/a.md".to_owned(),
        text: text.to_owned(),
    };
    let expected = ["#four-2", "b.md", "a.md#five", "../src#four"];
    let expected = expected.map(|target| format!("docs/a.md: {target}"));
    assert_eq!(broken(&[document]), expected);
}

#[test]
fn readme_links_to_every_document() {
    let documents = documents();
    let readme = documents
        .iter()
        .find(|document| document.path == "README.md");
    let targets = targets(readme.unwrap());
    for document in documents
        .iter()
        .filter(|document| document.path != "README.md")
    {
        assert!(targets.contains(&document.path), "{}", document.path);
    }
}
