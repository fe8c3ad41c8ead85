//! Line, frame and clock sessions compared with simple models: for any split of the input and any outbox capacity, the output
//! is the same.

mod clock;
mod frame;
mod line;

use super::{ConnectionId, Context, Finish, Outbox, Protocol, Session};
use crate::time::Time;

const ID: ConnectionId = ConnectionId { slot: 0, serial: 1 };

/// A harness that calls a session as a connection does: unconsumed input is passed again before new input, and a
/// session that has filled its outbox is called again.
struct Harness<P: Protocol> {
    protocol: P,
    session: P::Session,
    unconsumed: Vec<u8>,
    output: Vec<u8>,
    finished: Option<Finish>,
    /// The capacity of each outbox.
    capacity: usize,
}

impl<P: Protocol> Harness<P> {
    fn new(mut protocol: P) -> Self {
        let session = protocol.session();
        Harness {
            protocol,
            session,
            unconsumed: Vec::new(),
            output: Vec::new(),
            finished: None,
            capacity: usize::MAX,
        }
    }

    /// Passes input to the session. Returns the number of outboxes whose output was not copied.
    fn receive(&mut self, piece: &[u8]) -> usize {
        self.unconsumed.extend(piece);
        let mut borrowed = 0;
        while self.finished.is_none() {
            let input = std::mem::take(&mut self.unconsumed);
            let mut write_buffer = Vec::new();
            let mut outbox = Outbox::new(&mut write_buffer, self.capacity);
            let context = Context::new(ID, Time::ZERO, &mut self.protocol);
            let consumed = self.session.receive(&input, context, &mut outbox);
            let is_full = outbox.is_full();
            let is_borrowed = input.as_ptr_range().contains(&outbox.bytes().as_ptr());
            borrowed += usize::from(is_borrowed);
            self.output.extend(outbox.bytes());
            self.finished = outbox.finished();
            self.unconsumed.extend(&input[consumed..]);
            if !is_full {
                break;
            }
            assert!(
                consumed > 0,
                "the outbox is full, but no input was consumed"
            );
        }
        borrowed
    }

    /// Reports the peer's FIN to the session.
    fn end(&mut self) {
        if self.finished.is_some() {
            return;
        }
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, self.capacity);
        let context = Context::new(ID, Time::ZERO, &mut self.protocol);
        self.session.end(&self.unconsumed, context, &mut outbox);
        self.output.extend(outbox.bytes());
        self.finished = outbox.finished();
    }

    /// The output for `input`, split at `cuts` and followed by FIN, and why the session finished.
    fn run(mut self, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Finish>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut begin = 0;
        for end in cuts.into_iter().chain([input.len()]) {
            self.receive(&input[begin..end]);
            begin = end;
        }
        self.end();
        (self.output, self.finished)
    }
}
