//! The block on a terminal: updated in place in the measured part, plain lines elsewhere.

use crate::run::{echoloop, load};
use crate::screen::{Screen, Terminal};
use crate::servers::{Fate, serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Command;

/// A load with a result on a pipe, for a terminal with these flags.
fn measured(flags: &[&str]) -> Command {
    let mut command = echoloop(&["load", "--warmup", "0", "-o", "json", "--rate", "20"]);
    command.args(flags);
    command
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

const TWO_SECONDS: [&str; 6] = ["--idle", "40", "-c", "2", "-d", "2200ms"];

/// The frames of the measured part.
fn frames(screen: &Screen) -> Vec<&Vec<String>> {
    let frames = screen.frames.iter();
    frames
        .filter(|lines| lines.iter().any(|line| line.starts_with("measuring ")))
        .collect()
}

/// The block that remains after a measured part of this length.
#[track_caller]
fn assert_final(screen: &Screen, first: &str) {
    let left = screen.text();
    assert_eq!(left.len(), 3, "{screen:#?}");
    assert!(left[0].starts_with(first), "{screen:#?}");
    assert!(left[1].starts_with("rate            "), "{screen:#?}");
    assert!(left[1].ends_with(" per second"), "{screen:#?}");
    assert!(left[2].starts_with("p99             "), "{screen:#?}");
}

#[test]
fn block_is_redrawn_in_place_and_remains_at_the_end() {
    let (screen, _) = Terminal::start(measured(&TWO_SECONDS), 80).finish();
    let frames = frames(&screen);
    assert!(frames.len() >= 3, "{screen:#?}");
    for frame in &frames {
        assert!(frame[0].ends_with(" left, 42 held, 0 lost"), "{screen:#?}");
        assert!(frame.len() == 1 || frame.len() == 3, "{screen:#?}");
    }
    assert_eq!(frames[0].len(), 1, "{screen:#?}");
    let last = frames[frames.len() - 1];
    assert!(last[1].contains(['▁', '█']), "{screen:#?}");
    assert_final(&screen, "measured        2.2 s, 42 held, 0 lost");
    assert!(screen.longest <= 80, "{screen:#?}");
    assert_eq!(screen.colours, 0, "{screen:#?}");
}

#[test]
fn narrow_terminal_gets_lines_that_it_does_not_wrap() {
    let (screen, _) = Terminal::start(measured(&TWO_SECONDS), 42).finish();
    assert!(frames(&screen).len() >= 3, "{screen:#?}");
    assert!(screen.longest <= 42, "{screen:#?}");
    assert_final(&screen, "measured        2.2 s, 42 held, 0 lost");
}

#[test]
fn signal_erases_the_block_and_leaves_the_figures_until_then() {
    let flags = ["-c", "2", "-d", "1h"];
    let mut terminal = Terminal::start(measured(&flags), 80);
    terminal.wait_for("p99 ");
    let pid = Pid::from_raw(terminal.process.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let (screen, stdout) = terminal.finish();
    assert_final(&screen, "measured        ");
    assert!(stdout.contains("interrupted by a signal"), "{stdout}");
}

#[test]
fn other_lines_appear_above_the_block() {
    // It answers no probe.
    let server = serve(|_| Fate::Ignored).to_string();
    let flags = [
        &*server,
        "--idle",
        "3",
        "-d",
        "100ms",
        "--connect-timeout",
        "1s",
    ];
    let (screen, _) = Terminal::start(measured(&flags), 80).finish_with(3);
    let left = screen.text();
    let first = left.iter().position(|line| line.starts_with("measured "));
    let notice = left
        .iter()
        .position(|line| line.starts_with("probing: no reply for "));
    assert!(notice.is_some() && notice < first, "{screen:#?}");
    let is_bar = |line: &String| line.starts_with("probing ");
    assert!(!left.iter().any(is_bar), "{screen:#?}");
    let is_above = |frame: &Vec<String>| {
        let notice = frame.iter().position(|line| line.starts_with("probing: "));
        notice.is_some() && notice < frame.iter().position(is_bar)
    };
    assert!(screen.frames.iter().any(is_above), "{screen:#?}");
}

#[test]
fn dumb_terminal_gets_a_plain_line_per_second() {
    let mut command = measured(&TWO_SECONDS);
    command.env("TERM", "dumb");
    let (screen, _) = Terminal::start(command, 80).finish();
    assert!(screen.frames.is_empty(), "{screen:#?}");
    let lines = screen.text();
    assert_eq!(lines.len(), 3, "{screen:#?}");
    assert!(lines.iter().all(|line| line.contains(" 42 held ")));
}

#[test]
fn ascii_terminal_gets_figures_without_sparklines() {
    let mut command = measured(&TWO_SECONDS);
    command.env("LC_ALL", "C");
    let (screen, _) = Terminal::start(command, 80).finish();
    let drawn = screen.frames.concat();
    assert!(drawn.iter().all(|line| line.is_ascii()), "{screen:#?}");
    assert_final(&screen, "measured        2.2 s, 42 held, 0 lost");
}

#[test]
fn pipe_gets_plain_lines_of_80_columns() {
    let output = load(&["--idle", "40", "-c", "2", "-d", "2", "--warmup", "0"]);
    assert!(!output.stderr.contains(['\u{1b}', '\r']), "{output:#?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{output:#?}");
    for line in lines {
        assert!(line.contains(" 42 held "), "{output:#?}");
        assert!(line.contains(" echoes "), "{output:#?}");
        assert!(line.chars().count() <= 80, "{output:#?}");
    }
    // The table of times is as wide as its figures.
    let is_table = |line: &&str| line.ends_with(|c: char| c.is_ascii_digit() || c == 'x');
    let text = output.stdout.lines().filter(|line| !is_table(line));
    for line in text {
        assert!(line.chars().count() <= 80, "{output:#?}");
    }
}
