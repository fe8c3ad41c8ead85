//! Discard: every byte is read and dropped (RFC 863).

use super::{Context, Outbox, Protocol, Session};

/// The discard protocol of RFC 863: it takes everything and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

/// The discard protocol on one connection. It has nothing to remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardSession;

impl Protocol for Discard {
    type Session = DiscardSession;

    fn name(&self) -> &'static str {
        "discard"
    }

    fn session(&mut self) -> DiscardSession {
        DiscardSession
    }
}

impl Session for DiscardSession {
    type Shared = Discard;

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Discard>,
        _: &mut Outbox<'a>,
    ) -> usize {
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn it_takes_everything_and_says_nothing() {
        assert_eq!(Discard.name(), "discard");
        let mut gathered = Vec::new();
        let mut outbox = Outbox::new(&mut gathered, 64);
        let context = Context {
            now: Time::ZERO,
            shared: &mut Discard,
        };
        let mut session = Discard.session();
        assert_eq!(session.receive(b"hello", context, &mut outbox), 5);
        assert!(outbox.is_empty() && outbox.finished().is_none());
    }
}
