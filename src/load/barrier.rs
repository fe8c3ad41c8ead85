//! The common start of several loads: each reports that its connections are established, and is given the start time of
//! the measured part once all have reported.
//!
//! The report goes to standard output, the start time comes as a line from standard input: neither blocks the event loop.
//! The end of standard input ends the load.

use super::session::EchoClient;
use super::tester::Tester;
use super::{Observer, Stage};
use crate::net::Time;
use crate::tls::MaybeTls;
use std::io::ErrorKind;

/// The longest line that is accepted.
const LONGEST_LINE: usize = 256;

/// The wait for the start time, and the part of its line received so far.
#[derive(Debug, Default)]
pub(super) struct Barrier(Option<Vec<u8>>);

impl Barrier {
    /// Whether the start time is still unknown.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }
}

/// What standard input contained.
enum Received {
    Line(String),
    /// The line is not complete.
    Part,
    /// End of file, an error, or more than a line may hold.
    Nothing,
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Reports that all connections are established. Returns false if this load starts by itself.
    pub(super) fn wait_at_barrier(&mut self) -> bool {
        let Some(line) = self.observer.connected_line() else {
            return false;
        };
        self.interval_writer.queue.push(line.as_bytes());
        self.barrier = Barrier(Some(Vec::new()));
        self.stage = Stage::Waiting;
        true
    }

    /// Reads the start time if it has arrived.
    pub(super) fn pass_barrier(&mut self, now: Time) {
        let start = match self.receive_line() {
            Received::Part => return,
            Received::Line(line) => self.observer.start_after(&line),
            Received::Nothing => None,
        };
        self.barrier = Barrier::default();
        match start {
            Some(delay) => self.schedule_from(now.max(self.origin + delay)),
            // Without a start time there is nothing to measure, and no reader of a result.
            None => self.cancel_probing(now),
        }
    }

    fn receive_line(&mut self) -> Received {
        let Some(line) = &mut self.barrier.0 else {
            return Received::Part;
        };
        let mut byte = [0];
        while line.len() < LONGEST_LINE {
            match self.stdin.read(&mut byte) {
                Ok(1) if byte == *b"\n" => {
                    return Received::Line(String::from_utf8_lossy(line).into_owned());
                }
                Ok(1) => line.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Part,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        Received::Nothing
    }
}
