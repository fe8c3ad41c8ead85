//! Text in lines of at most 80 columns.

/// The length of a line in characters.
pub const WIDTH: usize = 80;

/// Where a line that is too long is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Between any two words.
    Words,
    /// After a comma or semicolon if there is one, else between words.
    Clauses,
}

/// Breaks `text` into lines of at most [`WIDTH`], each with its newline: the first begins with `first`, further ones
/// with `indent`. A word that is longer than a line is alone on its line.
#[must_use]
pub fn wrapped(first: &str, indent: &str, text: &str, at: Break) -> String {
    let mut lines = String::new();
    let mut prefix = first;
    let mut line = String::new();
    for word in text.split(' ') {
        let is_full = width(prefix) + width(&line) + 1 + width(word) > WIDTH;
        if !line.is_empty() && is_full {
            let rest = match at {
                Break::Words => None,
                Break::Clauses => last_clause(&line)
                    .filter(|rest| width(indent) + width(rest) + 1 + width(word) <= WIDTH),
            };
            let rest = rest.unwrap_or_default().to_owned();
            let shown = line[..line.len() - rest.len()].trim_end();
            lines.extend([prefix, shown, "\n"]);
            prefix = indent;
            line = rest;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.extend([prefix, &line, "\n"]);
    lines
}

/// What follows the last comma or semicolon.
fn last_clause(line: &str) -> Option<&str> {
    let end = [", ", "; "].map(|sign| line.rfind(sign)).into_iter().max();
    end.flatten().map(|end| &line[end + 2..])
}

#[inline(never)]
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clauses_stay_together_and_words_fill_the_line() {
        let text = "29 % of a CPU; 4740 KiB resident (4192 KiB before), 56 bytes per connection";
        assert_eq!(
            wrapped("server    ", "          ", text, Break::Clauses),
            "server    29 % of a CPU; 4740 KiB resident (4192 KiB before),\n          \
             56 bytes per connection\n"
        );
        assert_eq!(
            wrapped("server    ", "          ", text, Break::Words),
            "server    29 % of a CPU; 4740 KiB resident (4192 KiB before), 56 bytes per\n          \
             connection\n"
        );
        assert_eq!(wrapped("a ", "  ", "b", Break::Words), "a b\n");
        assert_eq!(wrapped("", "", "", Break::Words), "\n");
    }

    proptest! {
        #[test]
        fn lines_fit_and_no_word_is_lost(words in "([a-zé]{1,60}[,;]? ){0,30}", by_clause: bool) {
            let at = if by_clause { Break::Clauses } else { Break::Words };
            let lines = wrapped("!! ", "   ", words.trim_end(), at);
            prop_assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
            let expected: Vec<&str> = words.split_whitespace().collect();
            let found: Vec<&str> = lines[3..].split_whitespace().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
