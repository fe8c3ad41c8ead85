//! Writes a line per interval to stdout while a load runs, without blocking.
//!
//! Only the line being written is buffered, since the tally keeps all intervals: a slow reader costs no memory, delays
//! nothing, and gets every line in the end.

use super::Observer;
use super::tester::{Loop, Tester};
use crate::net::Net;
use std::io::{self, ErrorKind};

/// Lines written per iteration, so that a reader that resumes late does not delay echoes.
const LINES_PER_ITERATION: usize = 16;

/// Writes the lines of intervals.
#[derive(Debug, Default)]
pub(super) struct IntervalWriter {
    /// The line being written.
    line: Vec<u8>,
    /// How many bytes of it are written.
    written: usize,
    /// The next interval.
    next: usize,
    /// The last write returned an error; an event reports when to try again.
    is_blocked: bool,
}

impl IntervalWriter {
    /// The line before those of the intervals.
    pub(super) fn write_first(&mut self, line: String) {
        self.line = line.into_bytes();
    }

    /// Stdout may accept output again.
    pub(super) fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// Writes what stdout accepts now. `line_of` returns the line of an interval, by index, if that has ended; `write` does
    /// not block.
    #[inline]
    pub(super) fn write(
        &mut self,
        mut line_of: impl FnMut(usize) -> Option<String>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) {
        let end = self.next + LINES_PER_ITERATION;
        while !self.is_blocked && self.next < end && self.has_line(&mut line_of) {
            match write(&self.line[self.written..]) {
                // Another attempt would write nothing either.
                Ok(0) => self.is_blocked = true,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The final write of the remaining lines reports the error.
                Err(_) => self.is_blocked = true,
            }
        }
    }

    /// Takes all bytes not yet written.
    pub(super) fn take_unwritten(
        &mut self,
        mut line_of: impl FnMut(usize) -> Option<String>,
    ) -> Vec<u8> {
        let mut rest = Vec::new();
        while self.has_line(&mut line_of) {
            rest.extend_from_slice(&self.line[self.written..]);
            self.written = self.line.len();
        }
        rest
    }

    /// Whether there are bytes to write: the rest of a line, or the next one.
    fn has_line(&mut self, line_of: &mut impl FnMut(usize) -> Option<String>) -> bool {
        if self.written < self.line.len() {
            return true;
        }
        let Some(line) = line_of(self.next) else {
            return false;
        };
        self.line = line.into_bytes();
        self.written = 0;
        self.next += 1;
        true
    }
}

impl<S: Observer> Tester<S> {
    /// Writes the lines of ended intervals, as far as stdout accepts them now.
    pub(super) fn write_intervals<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let (intervals, observer) = (&self.tally.intervals, &mut self.observer);
        self.interval_writer.write(
            |index| observer.interval_line(intervals.get(index)?),
            |line| reactor.net.write_stdout(line),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of this many intervals.
    fn lines(seconds: usize) -> impl Fn(usize) -> Option<String> {
        move |index| (index < seconds).then(|| format!("second {index}\n"))
    }

    fn all(seconds: usize) -> String {
        let lines: Vec<String> = (0..seconds).filter_map(lines(seconds)).collect();
        format!("start\n{}", lines.concat())
    }

    fn started() -> IntervalWriter {
        let mut writer = IntervalWriter::default();
        writer.write_first("start\n".to_owned());
        writer
    }

    proptest! {
        #[test]
        fn partial_writes_yield_every_line_once_and_in_order(
            pieces in proptest::collection::vec(0_usize..20, 0..200), seconds in 0_usize..60
        ) {
            let mut writer = started();
            let mut written = Vec::new();
            for (iteration, piece) in pieces.into_iter().enumerate() {
                writer.write(lines(seconds.min(iteration)), |bytes| {
                    let count = piece.min(bytes.len());
                    written.extend_from_slice(&bytes[..count]);
                    if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
                });
                writer.unblock();
            }
            written.extend(writer.take_unwritten(lines(seconds)));
            prop_assert_eq!(String::from_utf8(written).unwrap(), all(seconds));
            prop_assert_eq!(writer.take_unwritten(lines(seconds)), b"");
        }
    }

    #[test]
    fn blocked_stdout_is_not_written_again() {
        let mut writer = started();
        let mut attempts = 0;
        for _ in 0..3 {
            writer.write(lines(5), |_| {
                attempts += 1;
                Err(ErrorKind::WouldBlock.into())
            });
        }
        assert_eq!(attempts, 1);
        assert_eq!(writer.take_unwritten(lines(5)), all(5).as_bytes());
    }

    #[test]
    fn late_reader_gets_a_bounded_batch_per_iteration() {
        let mut writer = started();
        let mut written = 0;
        writer.write(lines(1000), |bytes| {
            written += 1;
            Ok(bytes.len())
        });
        assert_eq!(written, LINES_PER_ITERATION + 1);
    }
}
