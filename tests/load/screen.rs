//! A pseudo-terminal whose output is rendered on a screen.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// A screen of lines with a cursor, and a count of colour sequences.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Lines before they were erased or overwritten.
    pub(crate) past: Vec<String>,
    /// The lines of the whole screen before each erasure to its end.
    pub(crate) frames: Vec<Vec<String>>,
    pub(crate) colours: usize,
    /// The length of the longest line.
    pub(crate) longest: usize,
}

impl Screen {
    pub(crate) fn render(written: &str) -> Screen {
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
        self.longest = self.longest.max(self.column);
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
            ("" | "0", 'J') => {
                self.frames.push(self.text());
                self.line().truncate(column);
                self.lines.truncate(self.row + 1);
            }
            (_, 'A') => self.row -= numbers.parse().unwrap_or(1),
            (_, 'm') => self.colours += 1,
            _ => panic!("ESC [ {numbers} {letter} is not implemented"),
        }
    }

    /// The non-empty lines.
    pub(crate) fn text(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| line.iter().collect());
        lines
            .filter(|line: &String| !line.trim().is_empty())
            .collect()
    }
}

/// A program with a pseudo-terminal of this many columns as its stderr.
pub(crate) struct Terminal {
    pub(crate) process: Child,
    master: File,
    written: Vec<u8>,
}

impl Terminal {
    #[track_caller]
    pub(crate) fn start(mut command: Command, columns: u16) -> Terminal {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = openpty(&size, None).unwrap();
        let process = command.stderr(Stdio::from(terminal.slave)).spawn().unwrap();
        // The command holds the terminal open too, until it is dropped here: only the child may.
        Terminal {
            process,
            master: File::from(terminal.master),
            written: Vec::new(),
        }
    }

    /// Reads until this text has been written.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.written).contains(text) {
            let count = self.master.read(&mut buffer).unwrap();
            self.written.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits for the program to succeed. Returns the final screen, and stdout.
    #[track_caller]
    pub(crate) fn finish(self) -> (Screen, String) {
        self.finish_with(0)
    }

    /// Waits for the program to exit with this code. Returns the final screen, and stdout.
    #[track_caller]
    pub(crate) fn finish_with(mut self, code: i32) -> (Screen, String) {
        // Reading a terminal that no process has open any more ends with EIO, after all output.
        let _ = self.master.read_to_end(&mut self.written);
        let mut stdout = String::new();
        let pipe = self.process.stdout.as_mut().unwrap();
        pipe.read_to_string(&mut stdout).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(code));
        let written = String::from_utf8(self.written).unwrap();
        (Screen::render(&written), stdout)
    }
}
