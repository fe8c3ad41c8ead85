//! What stands below the flags in the help of a subcommand: examples, and then notes.
//!
//! The help is written once, as text. Here it is taken apart again for the manual, and for the test that keeps it true.

/// A command of the help, with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) command: String,
    pub(super) meaning: String,
}

/// The examples of a help text, and the paragraphs that follow them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Afterword {
    pub(super) examples: Vec<Example>,
    pub(super) notes: Vec<String>,
}

impl Afterword {
    /// Takes apart what [`clap::Command::after_help`] holds.
    ///
    /// A line of the examples is a command, two spaces or more, and what it does; a line that is indented deeper says what
    /// the command above it does. The first empty line ends the examples.
    pub(super) fn of(text: &str) -> Afterword {
        let mut paragraphs = text.split("\n\n");
        let mut afterword = Afterword::default();
        if let Some(lines) = text.strip_prefix("Examples:\n") {
            let lines = lines.split("\n\n").next().unwrap_or_default();
            lines.lines().for_each(|line| afterword.line(line));
            paragraphs.next();
        }
        let notes = paragraphs.map(|paragraph| paragraph.replace('\n', " "));
        afterword.notes = notes.filter(|note| !note.is_empty()).collect();
        afterword
    }

    fn line(&mut self, line: &str) {
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
    use clap::{CommandFactory, Parser};

    /// What the examples may run beside the program itself.
    const OTHERS: [&str; 4] = ["printf", "nc", "ssh", "man"];

    fn example(command: &str, meaning: &str) -> Example {
        Example {
            command: command.to_owned(),
            meaning: meaning.to_owned(),
        }
    }

    /// The commands of a pipeline as their words, as a shell has them; what is redirected is left out.
    fn pipeline(line: &str) -> Vec<Vec<String>> {
        let mut commands = vec![Vec::new()];
        let mut word: Option<String> = None;
        let mut quoted = false;
        let mut goes_to_a_file = false;
        for c in line.chars().chain([' ']) {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' | '|' | '<' | '>' if !quoted => {
                    if let Some(word) = word.take()
                        && !std::mem::take(&mut goes_to_a_file)
                    {
                        commands.last_mut().unwrap().push(word);
                    }
                    goes_to_a_file |= c == '<' || c == '>';
                    if c == '|' {
                        commands.push(Vec::new());
                    }
                }
                _ => word.get_or_insert_default().push(c),
            }
        }
        assert!(!quoted, "a quotation is not closed: {line}");
        commands
    }

    #[test]
    fn a_pipeline_is_taken_apart_as_a_shell_does() {
        let words = pipeline("printf 'a | b' | echoloop send -m '' <in >> out -6");
        let expected: [&[&str]; 2] = [&["printf", "a | b"], &["echoloop", "send", "-m", "", "-6"]];
        assert_eq!(words, expected);
    }

    #[test]
    fn an_afterword_is_taken_apart() {
        let text = "Examples:\n  a b 'c'   does this\n  d\n       does that,\n       and more\n\nOne\nnote.\n\nAnother.";
        let afterword = Afterword::of(text);
        let expected = [
            example("a b 'c'", "does this"),
            example("d", "does that, and more"),
        ];
        assert_eq!(afterword.examples, expected);
        assert_eq!(afterword.notes, ["One note.", "Another."]);
        let without = Afterword::of("A note.\n\nAnother.");
        assert_eq!(without.examples, []);
        assert_eq!(without.notes, ["A note.", "Another."]);
    }

    #[test]
    fn every_subcommand_has_examples_and_each_says_what_it_does() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name}"));
            let examples = Afterword::of(&help.to_string()).examples;
            let own = format!("echoloop {name}");
            let shown = examples
                .iter()
                .filter(|example| example.command.contains(&own));
            assert!(shown.count() >= 2, "{name} has two examples at least");
            for example in examples {
                assert!(!example.meaning.is_empty(), "{example:?}");
            }
        }
    }

    #[test]
    fn every_example_of_the_help_is_right_usage() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            for example in Afterword::of(&help).examples {
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
