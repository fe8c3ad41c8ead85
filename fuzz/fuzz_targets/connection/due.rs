//! The expected output of a connection: everything that its session has written.

use crate::messages::Messages;
use crate::script::Content;
use echoloop::protocol::{Finish, Protocol, Raw};

/// The state of a protocol's session, as seen from outside the connection.
pub trait Observed: Protocol {
    /// The longest reply to one message, if the session stops while its outbox is full.
    fn longest_reply(&self) -> Option<usize>;

    /// Adds the output for the input since the last call.
    fn update(&mut self, due: &mut Due, input: InputState);

    /// The number of bytes that the session has not consumed.
    fn unconsumed(&self) -> usize;

    /// Whether the session has stopped at a full outbox, and must be called again.
    fn is_stopped(&self) -> bool;

    fn finished(&self) -> Option<Finish>;
}

/// The input so far.
#[derive(Clone, Copy, Debug)]
pub struct InputState {
    /// Bytes read before our FIN.
    pub before_fin: usize,
    /// Bytes passed to the session, or kept for it.
    pub delivered: usize,
    /// FIN was sent before the last step: output since then is dropped.
    pub is_mute: bool,
}

/// The expected output, and the length of the input it belongs to.
#[derive(Debug, Default)]
pub struct Due {
    pub bytes: Vec<u8>,
    read: usize,
    /// The number of bytes compared with the actual output.
    pub compared: usize,
    /// The number of bytes from outside the session.
    pub from_outside: usize,
}

impl Observed for Raw {
    fn longest_reply(&self) -> Option<usize> {
        Some(0)
    }

    fn update(&mut self, due: &mut Due, input: InputState) {
        let unchecked =
            (due.read..input.before_fin).map(|position| Content::Positions.byte(position));
        due.bytes.extend(unchecked);
        due.read = input.before_fin;
    }

    fn unconsumed(&self) -> usize {
        0
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn finished(&self) -> Option<Finish> {
        None
    }
}

impl Observed for Messages {
    fn longest_reply(&self) -> Option<usize> {
        // With the output on drain and on FIN.
        (!self.impatient).then_some(self.longest_reply + 2)
    }

    fn update(&mut self, due: &mut Due, input: InputState) {
        if input.is_mute {
            self.output.clear();
        }
        due.bytes.append(&mut self.output);
        if self.finished.is_none() && !self.ended {
            let known = self.consumed + self.unconsumed;
            assert_eq!(
                known, input.delivered,
                "all input was passed to the session"
            );
        }
    }

    fn unconsumed(&self) -> usize {
        self.unconsumed
    }

    fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn finished(&self) -> Option<Finish> {
        self.finished
    }
}
