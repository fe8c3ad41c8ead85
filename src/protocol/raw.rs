//! Raw echo: all input is sent back unchanged (RFC 862).

use super::{Context, Outbox, Protocol, Session};

/// The echo protocol of RFC 862, without framing. It is its own session, which has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Protocol for Raw {
    type Session = Raw;

    fn name(&self) -> &'static str {
        "raw"
    }

    fn session(&mut self) -> Raw {
        Raw
    }
}

impl Session for Raw {
    type Shared = Raw;

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Raw>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        outbox.send(input);
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ConnectionId;
    use crate::time::Time;

    #[test]
    fn input_is_echoed_without_a_copy() {
        assert_eq!(Raw.name(), "raw");
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, 64);
        let mut shared = Raw;
        let context = Context::new(ConnectionId { slot: 0, serial: 1 }, Time::ZERO, &mut shared);
        let input = b"hello";
        assert_eq!(Raw.session().receive(input, context, &mut outbox), 5);
        assert!(std::ptr::eq(outbox.bytes(), input.as_slice()));
    }
}
