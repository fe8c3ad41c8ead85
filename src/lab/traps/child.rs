//! Runs an experiment in a child process, because it changes the limits of its process.

use super::{Outcome, Version};
use std::io;
use std::process::{Command, Stdio};

/// Runs the experiment in a child process.
pub(super) fn run(name: &str, version: Version) -> io::Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = add_arguments(&mut command, name, version)
        .stderr(Stdio::inherit())
        .output()?;
    Outcome::parse(&output.stdout)
        .ok_or_else(|| io::Error::other(format!("its child process ended with {}", output.status)))
}

/// Adds the arguments of this program for a child: the hidden flag `--in-child` prints the outcome as one line.
pub(super) fn add_arguments<'a>(
    command: &'a mut Command,
    name: &str,
    version: Version,
) -> &'a mut Command {
    let version = format!("--{}", version.name());
    command
        .args(["lab", "trap", name, &version, "--in-child"])
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
}

impl Outcome {
    /// The outcome as a line for the parent process.
    #[must_use]
    pub fn line(&self) -> String {
        let predicted_of = self.predicted_of.map_or("neither", Version::name);
        format!("{predicted_of} {}\n", self.figures)
    }

    /// Parses what the child has printed.
    pub(super) fn parse(output: &[u8]) -> Option<Outcome> {
        let line = String::from_utf8_lossy(output);
        let (predicted_of, figures) = line.trim_end().split_once(' ')?;
        let (is_wrong, is_right) = match predicted_of {
            "wrong" => (true, false),
            "right" => (false, true),
            "neither" => (false, false),
            _ => return None,
        };
        Some(Outcome::new(is_wrong, is_right, figures.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_parsed_to_the_same_outcome() {
        for (is_wrong, is_right) in [(true, false), (false, true), (false, false)] {
            let outcome = Outcome::new(is_wrong, is_right, "7 wake-ups".to_owned());
            assert_eq!(Outcome::parse(outcome.line().as_bytes()), Some(outcome));
        }
        assert_eq!(Outcome::parse(b"killed"), None);
    }
}
