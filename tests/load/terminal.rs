//! The progress bars on a terminal.

use crate::run::echoloop;
use crate::screen::{Screen, Terminal};
use echoloop::load::LoadResult;
use std::process::Command;

/// The position of each bar drawn.
fn bars(screen: &Screen) -> Vec<&str> {
    let bars = screen
        .past
        .iter()
        .filter(|line| line.starts_with("opening "));
    bars.map(|line| line.trim().rsplit_once(" of 40, ").unwrap().0)
        .map(|line| line.rsplit_once(' ').unwrap().1)
        .collect()
}

/// Runs a command with a terminal of 80 columns as its stderr.
#[track_caller]
fn at_a_terminal(command: Command) -> (Screen, String) {
    Terminal::start(command, 80).finish()
}

/// A load that needs 0.8 s to open its connections.
fn slow_opening(flags: &[&str]) -> Command {
    let mut command = echoloop(&["load", "--idle", "40", "--ramp", "50"]);
    command.args(["--duration", "100ms", "--warmup", "0", "-o", "json"]);
    command.args(flags).env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

#[track_caller]
fn assert_intact(stdout: &str) {
    let result: LoadResult = serde_json::from_str(stdout).unwrap();
    assert_eq!(result.connections.opened, 40, "{result:#?}");
}

#[test]
fn bar_grows_while_connecting_and_is_erased() {
    let (screen, stdout) = at_a_terminal(slow_opening(&[]));
    let mut bars = bars(&screen);
    bars.dedup();
    assert!(bars.len() >= 3, "{screen:#?}");
    let counts: Vec<u32> = bars.iter().map(|bar| bar.parse().unwrap()).collect();
    assert!(
        counts.is_sorted() && counts.iter().all(|count| *count <= 40),
        "{counts:?}"
    );
    let left = screen.text();
    assert_eq!(left.len(), 1, "{screen:#?}");
    assert_eq!(
        left[0], "measured        0.1 s, 40 held, 0 lost",
        "{screen:#?}"
    );
    assert_intact(&stdout);
}

#[test]
fn no_color_disables_colours() {
    let mut command = slow_opening(&[]);
    command.env("NO_COLOR", "1");
    let (screen, stdout) = at_a_terminal(command);
    assert!(!bars(&screen).is_empty(), "{screen:#?}");
    assert_eq!(screen.colours, 0, "{screen:#?}");
    assert_intact(&stdout);
}

#[test]
fn quiet_disables_the_bar() {
    let (screen, stdout) = at_a_terminal(slow_opening(&["-q"]));
    assert!(
        screen.past.is_empty() && screen.text().is_empty(),
        "{screen:#?}"
    );
    assert_intact(&stdout);
}

#[test]
fn stderr_without_a_terminal_gets_no_bar() {
    let output = slow_opening(&[]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains(['\u{1b}', '\r']), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert_intact(&String::from_utf8(output.stdout).unwrap());
}
