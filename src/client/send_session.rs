//! The protocol of `send`: decodes what the server sends and queues it for standard output.

use super::decoder::{Decoder, Malformed};
use crate::protocol::{Context, Finish, Outbox, Protocol, Session};
use crate::stdout::StdoutQueue;

/// The state that the session shares with its owner. There is one connection at a time.
#[derive(Debug)]
pub struct SendProtocol {
    pub(super) output: StdoutQueue,
    decoder: Decoder,
    /// A connection has been established.
    pub(super) is_established: bool,
    /// The server has sent FIN.
    pub(super) is_at_fin: bool,
    /// Input was received since its owner looked last.
    pub(super) has_received: bool,
    pub(super) malformed: Option<Malformed>,
}

/// The session of `send`, whose state is all in [`SendProtocol`].
#[derive(Clone, Copy, Debug)]
pub struct SendSession;

impl SendProtocol {
    pub(super) fn new(decoder: Decoder) -> SendProtocol {
        SendProtocol {
            output: StdoutQueue::default(),
            decoder,
            is_established: false,
            is_at_fin: false,
            has_received: false,
            malformed: None,
        }
    }

    /// Decodes `input` and queues the result, up to the first violation of the protocol.
    pub(super) fn decode(&mut self, input: &[u8]) {
        let decoded = self
            .decoder
            .decode(input, |decoded| self.output.push(decoded));
        if let Err(malformed) = decoded {
            self.malformed.get_or_insert(malformed);
        }
    }
}

impl Protocol for SendProtocol {
    type Session = SendSession;

    fn name(&self) -> &'static str {
        "send"
    }

    fn session(&mut self) -> SendSession {
        SendSession
    }
}

impl Session for SendSession {
    type Shared = SendProtocol;

    fn open(&mut self, context: Context<'_, SendProtocol>, _: &mut Outbox<'_>) {
        context.shared.is_established = true;
    }

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, SendProtocol>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        context.shared.has_received = true;
        context.shared.decode(input);
        if context.shared.malformed.is_some() {
            outbox.finish(Finish::Malformed);
        } else if context.shared.output.is_out_of_memory() {
            outbox.finish(Finish::TooLong);
        }
        input.len()
    }

    fn end(&mut self, _: &[u8], context: Context<'_, SendProtocol>, _: &mut Outbox<'_>) {
        context.shared.is_at_fin = true;
        match context.shared.decoder.finish() {
            Ok(decoded) => context.shared.output.push(decoded),
            Err(malformed) => context.shared.malformed = Some(malformed),
        }
    }
}
