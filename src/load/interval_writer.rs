//! Writes the lines of the intervals to standard output while a load runs, without blocking.
//!
//! At most one line is queued: the tally keeps the intervals, so a slow reader costs no memory, and the lines not written
//! by the end are written then.

use super::Observer;
use super::session::EchoClient;
use super::tester::Tester;
use crate::stdout::StdoutQueue;
use crate::tls::MaybeTls;
use std::io;

/// Lines written in one iteration, so that a reader that was slow does not delay echoes.
const LINES_PER_ITERATION: usize = 16;

/// Writes a line for each interval.
#[derive(Debug, Default)]
pub(super) struct IntervalWriter {
    /// The line being written.
    pub(super) queue: StdoutQueue,
    /// How many intervals have a line in the queue or behind it.
    reported: usize,
}

impl IntervalWriter {
    /// Writes as much as standard output accepts now. `line_of` returns the line of a complete interval by its index;
    /// `write` writes without blocking.
    #[inline]
    pub(super) fn write(
        &mut self,
        mut line_of: impl FnMut(usize) -> Option<String>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) {
        let limit = self.reported + LINES_PER_ITERATION;
        // An error is reported at the end, when the rest is written with blocking calls.
        while self.queue.flush(&mut write).is_ok()
            && self.queue.is_empty()
            && self.reported < limit
            && let Some(line) = line_of(self.reported)
        {
            self.queue.push(line.as_bytes());
            self.reported += 1;
        }
    }

    /// Takes the lines that have not been written.
    pub(super) fn take_rest(&mut self, line_of: impl FnMut(usize) -> Option<String>) -> Vec<u8> {
        let mut rest = self.queue.take();
        let lines = (self.reported..).map_while(line_of);
        for line in lines {
            rest.extend_from_slice(line.as_bytes());
            self.reported += 1;
        }
        rest
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Writes to standard output what it accepts now of the lines of complete intervals.
    pub(super) fn write_intervals(&mut self) {
        let (tally, observer) = (&self.tally, &mut self.observer);
        let stdout = &mut self.stdout;
        self.interval_writer.write(
            |index| {
                observer.interval_line(tally.intervals.get(index)?, &tally.interval_counts[index])
            },
            |line| stdout.write(line),
        );
    }

    /// The lines that standard output has not accepted.
    pub(super) fn take_unwritten(&mut self) -> Vec<u8> {
        let (tally, observer) = (&self.tally, &mut self.observer);
        self.interval_writer.take_rest(|index| {
            observer.interval_line(tally.intervals.get(index)?, &tally.interval_counts[index])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::ErrorKind;

    /// The lines of the first `seconds` intervals.
    fn lines(seconds: usize) -> impl Fn(usize) -> Option<String> {
        move |index| (index < seconds).then(|| format!("second {index}\n"))
    }

    fn all(seconds: usize) -> String {
        let lines: Vec<String> = (0..seconds).filter_map(lines(seconds)).collect();
        format!("started\n{}", lines.concat())
    }

    fn started() -> IntervalWriter {
        let mut writer = IntervalWriter::default();
        writer.queue.push(b"started\n");
        writer
    }

    proptest! {
        #[test]
        fn partial_writes_pass_every_line_once_in_order(
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
                writer.queue.on_writable();
            }
            written.extend(writer.take_rest(lines(seconds)));
            prop_assert_eq!(String::from_utf8(written).unwrap(), all(seconds));
            prop_assert_eq!(writer.take_rest(lines(seconds)), b"");
        }
    }

    #[test]
    fn blocked_output_is_not_written_to_before_its_event() {
        let mut writer = started();
        let mut calls = 0;
        for _ in 0..3 {
            writer.write(lines(5), |_| {
                calls += 1;
                Err(ErrorKind::WouldBlock.into())
            });
        }
        assert_eq!(calls, 1);
        assert_eq!(writer.take_rest(lines(5)), all(5).as_bytes());
    }

    #[test]
    fn late_reader_gets_a_bounded_number_of_lines_per_iteration() {
        let mut writer = started();
        let mut written = 0;
        writer.write(lines(1000), |bytes| {
            written += 1;
            Ok(bytes.len())
        });
        assert_eq!(written, LINES_PER_ITERATION + 1);
    }
}
