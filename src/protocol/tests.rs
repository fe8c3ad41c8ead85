//! Sessions of messages against plain models of them: whatever the pieces in which input comes, and wherever an outbox
//! is full, the output is the same.

mod frame;
mod line;

use super::{Context, Finish, Outbox, Protocol, Session};
use crate::time::Time;

/// A session on a bench that treats it as a connection does: what it does not consume stands before what comes next,
/// and while its outbox is full it is called again.
struct Bench<P: Protocol> {
    protocol: P,
    session: P::Session,
    /// What the session has not consumed.
    kept: Vec<u8>,
    said: Vec<u8>,
    finished: Option<Finish>,
    /// How full each outbox may be.
    room: usize,
}

impl<P: Protocol> Bench<P> {
    fn new(mut protocol: P) -> Self {
        let session = protocol.session();
        Bench {
            protocol,
            session,
            kept: Vec::new(),
            said: Vec::new(),
            finished: None,
            room: usize::MAX,
        }
    }

    /// Input comes. Gives back the pieces that were sent without a copy.
    fn receive(&mut self, piece: &[u8]) -> usize {
        self.kept.extend(piece);
        let mut borrowed = 0;
        while self.finished.is_none() {
            let input = std::mem::take(&mut self.kept);
            let mut gathered = Vec::new();
            let mut outbox = Outbox::new(&mut gathered, self.room);
            let context = Context {
                now: Time::ZERO,
                shared: &mut self.protocol,
            };
            let consumed = self.session.receive(&input, context, &mut outbox);
            let is_full = outbox.is_full();
            let is_borrowed = input.as_ptr_range().contains(&outbox.bytes().as_ptr());
            borrowed += usize::from(is_borrowed);
            self.said.extend(outbox.bytes());
            self.finished = outbox.finished();
            self.kept.extend(&input[consumed..]);
            if !is_full {
                break;
            }
            assert!(consumed > 0, "a full outbox, and nothing consumed");
        }
        borrowed
    }

    /// The peer's FIN comes.
    fn end(&mut self) {
        if self.finished.is_some() {
            return;
        }
        let mut gathered = Vec::new();
        let mut outbox = Outbox::new(&mut gathered, self.room);
        let context = Context {
            now: Time::ZERO,
            shared: &mut self.protocol,
        };
        self.session.end(&self.kept, context, &mut outbox);
        self.said.extend(outbox.bytes());
        self.finished = outbox.finished();
    }

    /// All that is said to `input`, which comes in pieces that end at `cuts`, and FIN; and how it came to its end.
    fn answers(mut self, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Finish>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut begin = 0;
        for end in cuts.into_iter().chain([input.len()]) {
            self.receive(&input[begin..end]);
            begin = end;
        }
        self.end();
        (self.said, self.finished)
    }
}
