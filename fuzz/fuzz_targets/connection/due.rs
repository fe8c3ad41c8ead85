//! What a connection is to write: all that its session has said, whatever became of it.

use crate::messages::Messages;
use crate::script::Content;
use echoloop::protocol::{Finish, Protocol, Raw};

/// What is known of a protocol's session from outside the connection.
pub trait Spoken: Protocol {
    /// The longest that one message's answer can be, if the session heeds that its outbox is full.
    fn longest_reply(&self) -> Option<usize>;

    /// Adds to `due` what was to be said for what was read since the last call.
    fn settle(&mut self, due: &mut Due, came: Came);

    /// Input that the session has not consumed.
    fn kept(&self) -> usize;

    /// The session has stopped early, and is to be called again.
    fn is_stopped(&self) -> bool;

    fn finished(&self) -> Option<Finish>;
}

/// What has come, and what is done with an answer to it.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// Bytes read before our FIN.
    pub before_fin: usize,
    /// Bytes that the session was given, or that are kept for it.
    pub heard: usize,
    /// Our FIN had been sent before what was done last: what was said since is for nobody.
    pub is_mute: bool,
}

/// All that is to be written, and for how much of the input that is.
#[derive(Debug, Default)]
pub struct Due {
    pub bytes: Vec<u8>,
    read: usize,
    /// How much of it was compared already.
    pub compared: usize,
    /// How much of it was said from outside.
    pub from_outside: usize,
}

impl Spoken for Raw {
    fn longest_reply(&self) -> Option<usize> {
        Some(0)
    }

    fn settle(&mut self, due: &mut Due, came: Came) {
        let fresh = (due.read..came.before_fin).map(|position| Content::Positions.byte(position));
        due.bytes.extend(fresh);
        due.read = came.before_fin;
    }

    fn kept(&self) -> usize {
        0
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn finished(&self) -> Option<Finish> {
        None
    }
}

impl Spoken for Messages {
    fn longest_reply(&self) -> Option<usize> {
        // With what it says when it was paid, and when it ends.
        (!self.impatient).then_some(self.longest_reply + 2)
    }

    fn settle(&mut self, due: &mut Due, came: Came) {
        if came.is_mute {
            self.said.clear();
        }
        due.bytes.append(&mut self.said);
        if self.finished.is_none() && !self.ended {
            let known = self.consumed + self.kept;
            assert_eq!(known, came.heard, "what was read was heard");
        }
    }

    fn kept(&self) -> usize {
        self.kept
    }

    fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn finished(&self) -> Option<Finish> {
        self.finished
    }
}
