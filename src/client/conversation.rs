//! What the session of `send` does with what the server says: it goes to standard output, as the protocol has it.

use super::output::Output;
use super::unframing::{Decoder, Malformed};
use crate::protocol::{Context, Finish, Outbox, Protocol, Session};

/// What the session and its owner share. There is one connection at a time.
#[derive(Debug)]
pub struct Conversation {
    pub(super) output: Output,
    decoder: Decoder,
    /// The connection stands, or has stood.
    pub(super) is_open: bool,
    /// The server has sent its FIN.
    pub(super) has_heard_all: bool,
    pub(super) malformed: Option<Malformed>,
}

/// The session: all its state is shared with its owner.
#[derive(Clone, Copy, Debug)]
pub struct Listening;

impl Conversation {
    pub(super) fn new(decoder: Decoder) -> Conversation {
        Conversation {
            output: Output::default(),
            decoder,
            is_open: false,
            has_heard_all: false,
            malformed: None,
        }
    }

    /// Prints what the server said, as far as it is in the protocol.
    pub(super) fn hear(&mut self, input: &[u8]) {
        let Conversation {
            decoder, output, ..
        } = self;
        if let Err(malformed) = decoder.decode(input, |printed| output.push(printed)) {
            self.malformed.get_or_insert(malformed);
        }
    }
}

impl Protocol for Conversation {
    type Session = Listening;

    fn name(&self) -> &'static str {
        "send"
    }

    fn session(&mut self) -> Listening {
        Listening
    }
}

impl Session for Listening {
    type Shared = Conversation;

    fn open(&mut self, context: Context<'_, Conversation>, _: &mut Outbox<'_>) {
        context.shared.is_open = true;
    }

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Conversation>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        context.shared.hear(input);
        if context.shared.malformed.is_some() {
            outbox.finish(Finish::Malformed);
        } else if context.shared.output.is_out_of_memory() {
            outbox.finish(Finish::TooLong);
        }
        input.len()
    }

    fn end(&mut self, _: &[u8], context: Context<'_, Conversation>, _: &mut Outbox<'_>) {
        context.shared.has_heard_all = true;
        match context.shared.decoder.finish() {
            Ok(printed) => context.shared.output.push(printed),
            Err(malformed) => context.shared.malformed = Some(malformed),
        }
    }
}
