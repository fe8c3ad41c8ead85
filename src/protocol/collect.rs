//! Collect: the input up to the peer's FIN is one record, which the program stores.

use super::{Context, Finish, Outbox, Protocol, Session};

/// A protocol that collects the input of a connection up to the peer's FIN, and sends no data.
///
/// The input, which may be empty, is a record ([`Finish::Record`]). The server's FIN confirms that the program has
/// taken it.
#[derive(Clone, Copy, Debug)]
pub struct Collect {
    max_message: usize,
    /// Records received by all sessions.
    records: u64,
}

impl Collect {
    /// Records of at most `max_message` bytes; a longer one closes its connection ([`Finish::TooLong`]).
    #[must_use]
    pub fn new(max_message: usize) -> Collect {
        Collect {
            max_message,
            records: 0,
        }
    }
}

/// The session of [`Collect`]. It has no state: the connection holds the record as unconsumed input.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectSession;

impl Protocol for Collect {
    type Session = CollectSession;

    fn name(&self) -> &'static str {
        "collect"
    }

    fn session(&mut self) -> CollectSession {
        CollectSession
    }

    fn messages_received(&self) -> Option<u64> {
        Some(self.records)
    }
}

impl Session for CollectSession {
    type Shared = Collect;

    const FIN_IS_RECEIPT: bool = true;

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Collect>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        if input.len() > context.shared.max_message {
            outbox.finish(Finish::TooLong);
        }
        0
    }

    fn end(&mut self, _: &[u8], context: Context<'_, Collect>, outbox: &mut Outbox<'_>) {
        context.shared.records += 1;
        outbox.finish(Finish::Record);
    }
}
