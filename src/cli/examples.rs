//! Parses the text below the flags of a subcommand's help: examples, then notes.
//!
//! The help is written once, as text. The man pages need its parts, and a test checks each example.

/// An example command and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) command: String,
    pub(super) meaning: String,
}

/// The examples of a help text and the paragraphs after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Afterword {
    pub(super) examples: Vec<Example>,
    pub(super) notes: Vec<String>,
}

impl Afterword {
    /// Parses the text of [`clap::Command::after_help`].
    ///
    /// A line of the examples is a command, at least two spaces, and its explanation; a line with a deeper indent
    /// continues the explanation of the command above it. The first empty line ends the examples.
    pub(super) fn parse(text: &str) -> Afterword {
        let mut paragraphs = text.split("\n\n");
        let mut afterword = Afterword::default();
        if let Some(lines) = text.strip_prefix("Examples:\n") {
            let lines = lines.split("\n\n").next().unwrap_or_default();
            lines.lines().for_each(|line| afterword.push_line(line));
            paragraphs.next();
        }
        let notes = paragraphs.map(|paragraph| paragraph.replace('\n', " "));
        afterword.notes = notes.filter(|note| !note.is_empty()).collect();
        afterword
    }

    fn push_line(&mut self, line: &str) {
        let inner = line.trim_start();
        let indent = line.len() - inner.len();
        match self.examples.last_mut() {
            Some(above) if indent > 2 => {
                let space = if above.meaning.is_empty() { "" } else { " " };
                above.meaning = format!("{}{space}{inner}", above.meaning);
            }
            _ => {
                let (command, meaning) = inner.split_once("  ").unwrap_or((inner, ""));
                self.examples.push(Example {
                    command: command.to_owned(),
                    meaning: meaning.trim().to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    /// The other programs that examples run.
    const OTHERS: [&str; 4] = ["printf", "nc", "ssh", "man"];

    fn example(command: &str, meaning: &str) -> Example {
        Example {
            command: command.to_owned(),
            meaning: meaning.to_owned(),
        }
    }

    /// The commands of a pipeline as words, split as a shell does, without redirections.
    fn pipeline(line: &str) -> Vec<Vec<String>> {
        let mut commands = vec![Vec::new()];
        let mut word: Option<String> = None;
        let mut quoted = false;
        let mut is_redirection = false;
        for c in line.chars().chain([' ']) {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' | '|' | '<' | '>' if !quoted => {
                    if let Some(word) = word.take()
                        && !std::mem::take(&mut is_redirection)
                    {
                        commands.last_mut().unwrap().push(word);
                    }
                    is_redirection |= c == '<' || c == '>';
                    if c == '|' {
                        commands.push(Vec::new());
                    }
                }
                _ => word.get_or_insert_default().push(c),
            }
        }
        assert!(!quoted, "unbalanced quote: {line}");
        commands
    }

    #[test]
    fn pipeline_is_split_into_commands_and_words() {
        let words = pipeline("printf 'a | b' | echoloop send -m '' <in >> out -6");
        let expected: [&[&str]; 2] = [&["printf", "a | b"], &["echoloop", "send", "-m", "", "-6"]];
        assert_eq!(words, expected);
    }

    #[test]
    fn afterword_is_split_into_examples_and_notes() {
        let text = "Examples:\n  a b 'c'   does this\n  d\n       does that,\n       and more\n\nOne\nnote.\n\nAnother.";
        let afterword = Afterword::parse(text);
        let expected = [
            example("a b 'c'", "does this"),
            example("d", "does that, and more"),
        ];
        assert_eq!(afterword.examples, expected);
        assert_eq!(afterword.notes, ["One note.", "Another."]);
        let without = Afterword::parse("A note.\n\nAnother.");
        assert_eq!(without.examples, []);
        assert_eq!(without.notes, ["A note.", "Another."]);
    }

    #[test]
    fn every_subcommand_has_two_explained_examples() {
        for command in crate::cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name}"));
            let examples = Afterword::parse(&help.to_string()).examples;
            let own = format!("echoloop {name}");
            let shown = examples
                .iter()
                .filter(|example| example.command.contains(&own));
            assert!(shown.count() >= 2, "{name} needs two examples");
            for example in examples {
                assert!(!example.meaning.is_empty(), "{example:?}");
            }
        }
    }

    #[test]
    fn every_example_parses() {
        for command in crate::cli::command().get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            for example in Afterword::parse(&help).examples {
                for words in pipeline(&example.command) {
                    if words[0] == "echoloop" {
                        let parsed = Cli::try_parse_from(&words);
                        assert!(parsed.is_ok(), "{example:?}: {}", parsed.unwrap_err());
                        assert_eq!(parsed.unwrap().check(), Ok(()), "{example:?}");
                    } else {
                        assert!(OTHERS.contains(&words[0].as_str()), "{example:?}");
                    }
                }
            }
        }
    }
}
