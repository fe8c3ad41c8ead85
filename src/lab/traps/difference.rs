//! The difference of `fn wrong` and `fn right`, from the source file of a trap.

/// A function: its documentation as one line, and the lines of its body without their common indentation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) summary: String,
    pub(super) body: Vec<&'a str>,
}

/// A line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Both(&'a str),
    Wrong(&'a str),
    Right(&'a str),
}

impl<'a> Function<'a> {
    /// The function `name` of a source file. Its last line is a brace without indentation.
    pub(super) fn find(source: &'a str, name: &str) -> Option<Function<'a>> {
        let signature = format!(" fn {name}(");
        let lines: Vec<&str> = source.lines().collect();
        let at = lines.iter().position(|line| line.contains(&signature))?;
        let above = lines[..at].iter().rev();
        let mut docs: Vec<&str> = above.map_while(|line| line.strip_prefix("/// ")).collect();
        docs.reverse();
        // The signature may have several lines.
        let brace = lines[at..].iter().position(|line| line.ends_with('{'))?;
        let body = &lines[at + brace + 1..];
        let end = body.iter().position(|line| *line == "}")?;
        let body = body[..end].iter();
        let body = body.map(|line| line.strip_prefix("    ").unwrap_or(line));
        Some(Function {
            summary: docs.join(" "),
            body: body.collect(),
        })
    }
}

/// Compares two versions line by line: the longest common subsequence is in both.
pub(super) fn compare<'a>(wrong: &[&'a str], right: &[&'a str]) -> Vec<Line<'a>> {
    // lengths[i][j]: the longest common subsequence of wrong[i..] and right[j..].
    let mut lengths = vec![vec![0; right.len() + 1]; wrong.len() + 1];
    for i in (0..wrong.len()).rev() {
        for j in (0..right.len()).rev() {
            lengths[i][j] = if wrong[i] == right[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut compared = Vec::new();
    while i < wrong.len() || j < right.len() {
        if i < wrong.len() && j < right.len() && wrong[i] == right[j] {
            compared.push(Line::Both(wrong[i]));
            i += 1;
            j += 1;
        } else if i < wrong.len() && (j == right.len() || lengths[i + 1][j] >= lengths[i][j + 1]) {
            compared.push(Line::Wrong(wrong[i]));
            i += 1;
        } else {
            compared.push(Line::Right(right[j]));
            j += 1;
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::Line::{Both, Right, Wrong};
    use super::*;

    const SOURCE: &str = "\
/// Reads
/// once.
pub(super) fn wrong(
    a: u8,
) {
    one();
    if two {
        three();
    }
}

pub(super) fn right() {
    one();
    four();
}
";

    #[test]
    fn functions_have_summary_and_body() {
        let wrong = Function::find(SOURCE, "wrong").unwrap();
        assert_eq!(wrong.summary, "Reads once.");
        assert_eq!(wrong.body, ["one();", "if two {", "    three();", "}"]);
        let right = Function::find(SOURCE, "right").unwrap();
        assert_eq!(right.summary, "");
        assert_eq!(Function::find(SOURCE, "left"), None);
        assert_eq!(
            compare(&wrong.body, &right.body),
            [
                Both("one();"),
                Wrong("if two {"),
                Wrong("    three();"),
                Wrong("}"),
                Right("four();")
            ]
        );
        assert_eq!(compare(&[], &["a"]), [Right("a")]);
        assert_eq!(compare(&["a", "b"], &["b"]), [Wrong("a"), Both("b")]);
    }
}
