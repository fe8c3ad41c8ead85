//! Runs an experiment in a child process, because it changes the limits of its process.

use super::{Outcome, Version};
use std::io;
use std::process::{Command, Stdio};

/// Runs this program with the hidden flag `--in-child`, which prints the outcome as one line.
pub(super) fn run(name: &str, version: Version) -> io::Result<Outcome> {
    let version = format!("--{}", version.name());
    let output = Command::new(std::env::current_exe()?)
        .args(["lab", "trap", name, &version, "--in-child"])
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let line = String::from_utf8_lossy(&output.stdout);
    Outcome::parse(line.trim_end())
        .ok_or_else(|| io::Error::other(format!("its child process ended with {}", output.status)))
}

impl Outcome {
    /// The outcome as a line for the parent process.
    #[must_use]
    pub fn line(&self) -> String {
        let predicted_of = self.predicted_of.map_or("neither", Version::name);
        format!("{predicted_of} {}\n", self.figures)
    }

    fn parse(line: &str) -> Option<Outcome> {
        let (predicted_of, figures) = line.split_once(' ')?;
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
            assert_eq!(Outcome::parse(outcome.line().trim_end()), Some(outcome));
        }
        assert_eq!(Outcome::parse("killed"), None);
    }
}
