//! Events and registrations, between the terms of mio and those of [`Net`](crate::net::Net).

use crate::net::{Key, Readiness, Ready, Source};
use mio::event::Event;
use mio::{Interest, Token};

// The selector carries a key as mio's `Token`, a `usize`.
const _: () = assert!(usize::BITS == 64, "echoloop requires a 64-bit machine");

pub(super) fn always_ready(source: Source) -> Ready {
    Ready {
        key: Key::of_source(source),
        readiness: Readiness::READABLE | Readiness::WRITABLE,
    }
}

pub(super) fn interest(writable: bool) -> Interest {
    const INPUT: Interest = Interest::READABLE.add(Interest::PRIORITY);
    if writable {
        INPUT | Interest::WRITABLE
    } else {
        INPUT
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits, asserted above"
)]
pub(super) fn token(key: Key) -> Token {
    Token(key.to_u64() as usize)
}

#[inline]
pub(super) fn ready_of(event: &Event) -> Ready {
    let key = Key::from_u64(event.token().0 as u64);
    let mut readiness = Readiness::READABLE.when(event.is_readable())
        | Readiness::WRITABLE.when(event.is_writable());
    if event.is_read_closed() || event.is_error() || event.is_priority() {
        readiness |= closing_or_urgent(event);
    }
    Ready { key, readiness }
}

/// The additional readiness of an event with FIN, hang-up, an error or urgent data.
#[cold]
fn closing_or_urgent(event: &Event) -> Readiness {
    Readiness::READABLE | Readiness::DRAIN | Readiness::WRITABLE.when(event.is_write_closed())
}
