//! The progress bar on a terminal: the output to a pseudo-terminal, rendered on a screen.

use crate::run::echoloop;
use echoloop::load::LoadResult;
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

/// A screen of lines with a cursor, and a count of colour sequences.
#[derive(Debug, Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Lines before they were erased or overwritten.
    past: Vec<String>,
    colours: usize,
}

impl Screen {
    fn render(written: &str) -> Screen {
        let mut screen = Screen::default();
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.carriage_return(),
                '\n' => screen.row += 1,
                '\u{1b}' => screen.execute(&mut rest),
                letter => screen.put(letter),
            }
        }
        screen
    }

    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    fn carriage_return(&mut self) {
        let line = self.line().iter().collect();
        self.past.push(line);
        self.column = 0;
    }

    fn put(&mut self, letter: char) {
        let column = self.column;
        let line = self.line();
        line.resize(line.len().max(column + 1), ' ');
        line[column] = letter;
        self.column += 1;
    }

    /// Executes a control sequence: `ESC [`, numbers and a final letter (ECMA-48, 5.4).
    fn execute(&mut self, rest: &mut impl Iterator<Item = char>) {
        assert_eq!(rest.next(), Some('['));
        let mut numbers = String::new();
        let letter = loop {
            match rest.next().unwrap() {
                c if c.is_ascii_digit() || c == ';' => numbers.push(c),
                letter => break letter,
            }
        };
        let column = self.column;
        match (numbers.as_str(), letter) {
            ("2", 'K') => self.line().clear(),
            ("" | "0", 'K') => self.line().truncate(column),
            (_, 'A') => self.row -= numbers.parse().unwrap_or(1),
            (_, 'm') => self.colours += 1,
            _ => panic!("ESC [ {numbers} {letter} is not implemented"),
        }
    }

    /// The non-empty lines.
    fn text(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| line.iter().collect());
        lines
            .filter(|line: &String| !line.trim().is_empty())
            .collect()
    }

    /// The position of each bar drawn.
    fn bars(&self) -> Vec<&str> {
        let bars = self.past.iter().filter(|line| line.starts_with("opening "));
        bars.map(|line| line.trim().rsplit_once(" of 40, ").unwrap().0)
            .map(|line| line.rsplit_once(' ').unwrap().1)
            .collect()
    }
}

/// A load that needs 0.8 s to open its connections.
fn slow_opening(flags: &[&str]) -> Command {
    let mut command = echoloop(&["load", "--idle", "40", "--ramp", "50"]);
    command.args(["--duration", "100ms", "--warmup", "0", "-o", "json"]);
    command.args(flags).env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// Runs a command with a terminal as its stderr. Returns the final screen, and stdout.
#[track_caller]
fn at_a_terminal(mut command: Command) -> (Screen, String) {
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut child = command.stderr(Stdio::from(terminal.slave)).spawn().unwrap();
    // The command holds the terminal open too: only the child may.
    drop(command);
    let mut written = Vec::new();
    // Reading a terminal that no process has open any more ends with EIO, after all output.
    let _ = File::from(terminal.master).read_to_end(&mut written);
    let mut stdout = String::new();
    let pipe = child.stdout.as_mut().unwrap();
    pipe.read_to_string(&mut stdout).unwrap();
    assert!(child.wait().unwrap().success());
    (Screen::render(&String::from_utf8(written).unwrap()), stdout)
}

#[track_caller]
fn assert_intact(stdout: &str) {
    let result: LoadResult = serde_json::from_str(stdout).unwrap();
    assert_eq!(result.connections.opened, 40, "{result:#?}");
}

#[test]
fn bar_grows_while_connecting_and_is_erased() {
    let (screen, stdout) = at_a_terminal(slow_opening(&[]));
    let mut bars = screen.bars();
    bars.dedup();
    assert!(bars.len() >= 3, "{screen:#?}");
    let counts: Vec<u32> = bars.iter().map(|bar| bar.parse().unwrap()).collect();
    assert!(
        counts.is_sorted() && counts.iter().all(|count| *count <= 40),
        "{counts:?}"
    );
    let left = screen.text();
    assert_eq!(left.len(), 1, "{screen:#?}");
    assert!(left[0].contains(" 40 held "), "{screen:#?}");
    assert_intact(&stdout);
}

#[test]
fn no_color_disables_colours() {
    let mut command = slow_opening(&[]);
    command.env("NO_COLOR", "1");
    let (screen, stdout) = at_a_terminal(command);
    assert!(!screen.bars().is_empty(), "{screen:#?}");
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
