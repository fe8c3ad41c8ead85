//! Raw echo: every byte comes back as it came (RFC 862).

use super::{Context, Outbox, Protocol, Session};

/// The echo protocol of RFC 862, without framing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// Raw echo on one connection. It has nothing to remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawSession;

impl Protocol for Raw {
    type Session = RawSession;

    fn name(&self) -> &'static str {
        "raw"
    }

    fn session(&mut self) -> RawSession {
        RawSession
    }
}

impl Session for RawSession {
    type Shared = Raw;

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _context: Context<'_, Raw>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        outbox.send(input);
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn it_says_what_it_hears_without_a_copy() {
        assert_eq!(Raw.name(), "raw");
        let mut gathered = Vec::new();
        let mut outbox = Outbox::new(&mut gathered, 64);
        let context = Context {
            now: Time::ZERO,
            shared: &mut Raw,
        };
        let input = b"hello";
        assert_eq!(Raw.session().receive(input, context, &mut outbox), 5);
        assert!(std::ptr::eq(outbox.bytes(), input.as_slice()));
    }
}
