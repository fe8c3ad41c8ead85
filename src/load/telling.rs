//! Lines on their way to standard output while a load runs, without ever waiting for it.
//!
//! What the seconds have brought lies in the tally in any case, so nothing is queued but the one line that is being
//! written: a reader who sleeps costs no memory, stops nobody, and is told all in the end.

use super::surroundings::Surroundings;
use super::tester::{Loop, Tester};
use crate::net::Net;
use std::io::{self, ErrorKind};

/// How many lines are written in one turn, so that a reader who comes back late does not hold up echoes.
const LINES_PER_TURN: usize = 16;

/// The way to standard output.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// The line that is being written.
    line: Vec<u8>,
    /// How many bytes of it have been taken.
    written: usize,
    /// How many seconds have had their line.
    told: usize,
    /// It has taken nothing the last time, or failed; an event comes when it would.
    is_blocked: bool,
}

impl Telling {
    /// What goes before all seconds.
    pub(super) fn begin_with(&mut self, line: String) {
        self.line = line.into_bytes();
    }

    /// There may be room again.
    pub(super) fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// Writes as much as is taken now. `line_of` gives the line of a second, by its index, when that is over; `take` writes
    /// without waiting.
    #[inline]
    pub(super) fn tell(
        &mut self,
        mut line_of: impl FnMut(usize) -> Option<String>,
        mut take: impl FnMut(&[u8]) -> io::Result<usize>,
    ) {
        let enough = self.told + LINES_PER_TURN;
        while !self.is_blocked && self.told < enough && self.has_line(&mut line_of) {
            match take(&self.line[self.written..]) {
                // Nothing of something would be nothing for ever.
                Ok(0) => self.is_blocked = true,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What is wrong with it is told in the end, when all that is left is written in another way.
                Err(_) => self.is_blocked = true,
            }
        }
    }

    /// All that has not been taken; from here on somebody else sees to it.
    pub(super) fn rest(&mut self, mut line_of: impl FnMut(usize) -> Option<String>) -> Vec<u8> {
        let mut rest = Vec::new();
        while self.has_line(&mut line_of) {
            rest.extend_from_slice(&self.line[self.written..]);
            self.written = self.line.len();
        }
        rest
    }

    /// Whether there is something to write: what is left of a line, or the next one.
    fn has_line(&mut self, line_of: &mut impl FnMut(usize) -> Option<String>) -> bool {
        if self.written < self.line.len() {
            return true;
        }
        let Some(line) = line_of(self.told) else {
            return false;
        };
        self.line = line.into_bytes();
        self.written = 0;
        self.told += 1;
        true
    }
}

impl<S: Surroundings> Tester<S> {
    /// Writes to standard output what it takes now of the lines that are due there.
    pub(super) fn tell<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let (intervals, surroundings) = (&self.tally.intervals, &mut self.surroundings);
        self.telling.tell(
            |index| surroundings.line(intervals.get(index)?),
            |line| reactor.net.write_stdout(line),
        );
    }

    /// The lines that standard output has not taken.
    pub(super) fn untold(&mut self) -> Vec<u8> {
        let (intervals, surroundings) = (&self.tally.intervals, &mut self.surroundings);
        self.telling
            .rest(|index| surroundings.line(intervals.get(index)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of so many seconds.
    fn lines(seconds: usize) -> impl Fn(usize) -> Option<String> {
        move |index| (index < seconds).then(|| format!("second {index}\n"))
    }

    fn all(seconds: usize) -> String {
        let lines: Vec<String> = (0..seconds).filter_map(lines(seconds)).collect();
        format!("begun\n{}", lines.concat())
    }

    fn begun() -> Telling {
        let mut telling = Telling::default();
        telling.begin_with("begun\n".to_owned());
        telling
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_is_taken_every_line_is_told_once_and_in_order(
            pieces in proptest::collection::vec(0_usize..20, 0..200), seconds in 0_usize..60
        ) {
            let mut telling = begun();
            let mut told = Vec::new();
            for (turn, piece) in pieces.into_iter().enumerate() {
                telling.tell(lines(seconds.min(turn)), |bytes| {
                    let count = piece.min(bytes.len());
                    told.extend_from_slice(&bytes[..count]);
                    if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
                });
                telling.unblock();
            }
            told.extend(telling.rest(lines(seconds)));
            prop_assert_eq!(String::from_utf8(told).unwrap(), all(seconds));
            prop_assert_eq!(telling.rest(lines(seconds)), b"");
        }
    }

    #[test]
    fn while_nothing_is_taken_it_is_not_asked_again() {
        let mut telling = begun();
        let mut asked = 0;
        for _ in 0..3 {
            telling.tell(lines(5), |_| {
                asked += 1;
                Err(ErrorKind::WouldBlock.into())
            });
        }
        assert_eq!(asked, 1);
        assert_eq!(telling.rest(lines(5)), all(5).as_bytes());
    }

    #[test]
    fn a_reader_who_comes_back_late_gets_so_many_lines_in_a_turn() {
        let mut telling = begun();
        let mut told = 0;
        telling.tell(lines(1000), |bytes| {
            told += 1;
            Ok(bytes.len())
        });
        assert_eq!(told, LINES_PER_TURN + 1);
    }
}
