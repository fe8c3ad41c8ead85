//! A trap as text: the list, the prediction, the results, the explanation.

use super::difference::{Function, Line, compare};
use super::{Outcome, TRAPS, Trap, Version};
use crate::wrap::{Break, wrapped};

/// The column of the text beside the labels.
const INDENT: &str = "            ";

/// All traps, one per line.
#[must_use]
pub fn list() -> String {
    let lines = TRAPS.map(|trap| format!("{:15}{}\n", trap.name, trap.sentence));
    lines.concat()
}

/// What is known before the experiment runs.
#[must_use]
pub fn prediction(trap: &Trap, versions: &[Version]) -> String {
    let mut text = format!("{}: {}\n\n", trap.name, trap.sentence);
    text += &labelled("experiment", trap.experiment);
    for version in versions {
        let predicted = trap.predicted(*version);
        text += &of_version("predicted", *version, versions, predicted);
    }
    text
}

/// The result of one version.
#[must_use]
pub fn result(version: Version, versions: &[Version], outcome: &Outcome) -> String {
    of_version("result", version, versions, &figures(version, outcome))
}

/// A result, with a remark if it is not as predicted.
pub(super) fn figures(version: Version, outcome: &Outcome) -> String {
    let remark = if outcome.is_as_predicted(version) {
        ""
    } else {
        " (NOT as predicted)"
    };
    format!("{}{remark}", outcome.figures)
}

/// With both versions: why it is so, the lines that differ, and the place in echoloop that gets it right. With one
/// version: its code, without the solution.
#[must_use]
pub fn explanation(trap: &Trap, versions: &[Version]) -> String {
    let functions: Vec<Function<'_>> = versions
        .iter()
        .filter_map(|version| Function::find(trap.source.text, version.name()))
        .collect();
    match functions.as_slice() {
        [function] => {
            let command = where_the_reason_is(trap);
            let lines: Vec<Line<'_>> = function.body.iter().map(|line| Line::Both(line)).collect();
            [
                labelled("code", trap.source.path),
                code(&lines),
                labelled("why", &command),
            ]
            .concat()
        }
        [wrong, right] => {
            let place = &trap.in_echoloop;
            let place = format!("{}, `{}`: {}", place.path, place.item, place.how);
            [
                labelled("why", trap.why),
                labelled("code", trap.source.path),
                summary("- wrong: ", wrong),
                summary("+ right: ", right),
                code(&compare(&wrong.body, &right.body)),
                labelled("echoloop", &place),
            ]
            .concat()
        }
        _ => String::new(),
    }
}

/// With one version only, the reason is left to the reader.
pub(super) fn where_the_reason_is(trap: &Trap) -> String {
    format!("`echoloop lab trap {}` shows the reason.", trap.name)
}

/// The documentation of a version.
fn summary(mark: &str, function: &Function<'_>) -> String {
    let first = format!("{INDENT}{mark}");
    let indent = format!("{INDENT}         ");
    wrapped(&first, &indent, &function.summary, Break::Words)
}

/// Lines of code with their marks, between empty lines.
fn code(lines: &[Line<'_>]) -> String {
    let mut text = String::from("\n");
    for line in lines {
        let (mark, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Wrong(line) => ('-', line),
            Line::Right(line) => ('+', line),
        };
        text += format!("  {mark} {line}").trim_end();
        text.push('\n');
    }
    text.push('\n');
    text
}

fn labelled(label: &str, text: &str) -> String {
    wrapped(&format!("{label:12}"), INDENT, text, Break::Words)
}

/// A line about one version; the label is on the first line only.
fn of_version(label: &str, version: Version, versions: &[Version], text: &str) -> String {
    let label = if versions.first() == Some(&version) {
        label
    } else {
        ""
    };
    let first = format!("{label:12}{}: ", version.name());
    let indent = format!("{INDENT}       ");
    wrapped(&first, &indent, text, Break::Words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const BOTH: [Version; 2] = [Version::Wrong, Version::Right];

    fn project(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn text_of_every_trap_fits_80_columns() {
        for trap in TRAPS {
            let one = explanation(trap, &[Version::Wrong]);
            let text = prediction(trap, &BOTH) + &explanation(trap, &BOTH) + &one + &list();
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", trap.name);
            }
        }
    }

    #[test]
    fn source_of_every_trap_is_its_file_and_has_both_versions() {
        for trap in TRAPS {
            assert_eq!(project(trap.source.path), trap.source.text);
            let body = |name| Function::find(trap.source.text, name).unwrap();
            let (wrong, right) = (body("wrong"), body("right"));
            for function in [&wrong, &right] {
                assert!(!function.summary.is_empty(), "{}", trap.name);
                assert!(function.body.len() <= 22, "{} is too long", trap.name);
            }
            let compared = compare(&wrong.body, &right.body);
            let differ = |line: &Line<'_>| !matches!(line, Line::Both(_));
            assert!(compared.iter().any(differ), "{}", trap.name);
        }
    }

    #[test]
    fn place_in_echoloop_exists() {
        for trap in TRAPS {
            let place = &trap.in_echoloop;
            let is_there = project(place.path).contains(place.item);
            assert!(
                is_there,
                "{}: no {} in {}",
                trap.name, place.item, place.path
            );
        }
    }

    #[test]
    fn result_that_differs_from_the_prediction_is_marked() {
        let outcome = Outcome::new(false, true, "all".to_owned());
        let text = result(Version::Wrong, &BOTH, &outcome);
        assert!(
            text.starts_with("result      wrong: all (NOT as predicted"),
            "{text}"
        );
        let text = result(Version::Right, &BOTH, &outcome);
        assert_eq!(text, "            right: all\n");
    }
}
