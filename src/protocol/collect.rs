//! Collect: everything up to the peer's FIN is one record, which the program takes.

use super::{Context, Finish, Outbox, Protocol, Session};

/// A protocol that gathers what a peer sends until its FIN, and answers nothing but FIN. The whole is a record
/// ([`Finish::Record`]), an empty one too, and our FIN says that it has been taken.
#[derive(Clone, Copy, Debug)]
pub struct Collect {
    max_message: usize,
}

impl Collect {
    /// A collection of more than `max_message` bytes ends its connection ([`Finish::TooLong`]).
    #[must_use]
    pub fn new(max_message: usize) -> Collect {
        Collect { max_message }
    }
}

/// A collection on one connection. It lies where input waits that is not consumed.
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
}

impl Session for CollectSession {
    type Shared = Collect;

    const FIN_IS_RECEIPT: bool = true;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Collect>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        if input.len() > context.shared.max_message {
            outbox.finish(Finish::TooLong);
        }
        0
    }

    fn end<'a>(&mut self, _: &'a [u8], _: Context<'_, Collect>, outbox: &mut Outbox<'a>) {
        outbox.finish(Finish::Record);
    }
}
