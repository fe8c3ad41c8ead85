//! A session on a bench that treats it as a connection does: what it does not consume stands before what comes next,
//! and while its outbox is full it is called again.

use echoloop::protocol::{Context, Finish, Outbox, Protocol, Session};
use echoloop::time::Time;

/// What a session said, and how it came to its end.
pub type Spoken = (Vec<u8>, Option<Finish>);

/// All that a session of `protocol` says to input that comes in `pieces`, and to FIN behind it, with outboxes that count
/// as full from `room` bytes on.
pub fn converse<P: Protocol>(mut protocol: P, pieces: &[Vec<u8>], room: usize) -> Spoken {
    let mut session = protocol.session();
    let mut said = Vec::new();
    let mut kept = Vec::new();
    let mut gathered = Vec::new();
    for piece in pieces {
        kept.extend(piece);
        loop {
            let mut outbox = Outbox::new(&mut gathered, room);
            let context = Context {
                now: Time::ZERO,
                shared: &mut protocol,
            };
            let consumed = session.receive(&kept, context, &mut outbox);
            assert!(!outbox.is_out_of_memory());
            said.extend(outbox.bytes());
            if outbox.finished().is_some() {
                return (said, outbox.finished());
            }
            let is_full = outbox.is_full();
            kept.drain(..consumed);
            if !is_full {
                break;
            }
            assert!(consumed > 0, "a full outbox, and nothing consumed");
        }
    }
    let mut outbox = Outbox::new(&mut gathered, room);
    let context = Context {
        now: Time::ZERO,
        shared: &mut protocol,
    };
    session.end(&kept, context, &mut outbox);
    said.extend(outbox.bytes());
    (said, outbox.finished())
}
