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
