//! Discard: all input is dropped (RFC 863).

use super::{Context, Outbox, Protocol, Session};

/// The discard protocol of RFC 863: drops all input and sends nothing. It is its own session, which has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Protocol for Discard {
    type Session = Discard;

    fn name(&self) -> &'static str {
        "discard"
    }

    fn session(&mut self) -> Discard {
        Discard
    }
}

impl Session for Discard {
    type Shared = Discard;

    #[inline]
    fn receive(&mut self, input: &[u8], _: Context<'_, Discard>, _: &mut Outbox<'_>) -> usize {
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ConnectionId;
    use crate::time::Time;

    #[test]
    fn input_is_consumed_without_output() {
        assert_eq!(Discard.name(), "discard");
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, 64);
        let mut shared = Discard;
        let context = Context::new(ConnectionId { slot: 0, serial: 1 }, Time::ZERO, &mut shared);
        let mut session = Discard.session();
        assert_eq!(session.receive(b"hello", context, &mut outbox), 5);
        assert!(outbox.is_empty() && outbox.finished().is_none());
    }
}
