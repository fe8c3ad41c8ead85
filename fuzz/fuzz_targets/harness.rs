//! A test harness that calls a session as a connection does: unconsumed input is passed again before new input, and a
//! session that has filled its outbox is called again.

use echoloop::protocol::{ConnectionId, Context, Finish, Outbox, Protocol, Session};
use echoloop::time::Time;

/// The connection of the session.
const ID: ConnectionId = ConnectionId { slot: 0, serial: 1 };

/// The output of a session, and why it finished.
pub type Output = (Vec<u8>, Option<Finish>);

/// The output of a session of `protocol` for input in `pieces` followed by FIN, with outboxes of `capacity` bytes.
pub fn run_session<P: Protocol>(mut protocol: P, pieces: &[Vec<u8>], capacity: usize) -> Output {
    let mut session = protocol.session();
    let mut output = Vec::new();
    let mut unconsumed = Vec::new();
    let mut write_buffer = Vec::new();
    for piece in pieces {
        unconsumed.extend(piece);
        loop {
            let mut outbox = Outbox::new(&mut write_buffer, capacity);
            let context = Context::new(ID, Time::ZERO, &mut protocol);
            let consumed = session.receive(&unconsumed, context, &mut outbox);
            assert!(!outbox.is_out_of_memory());
            output.extend(outbox.bytes());
            if outbox.finished().is_some() {
                return (output, outbox.finished());
            }
            let is_full = outbox.is_full();
            unconsumed.drain(..consumed);
            if !is_full {
                break;
            }
            assert!(
                consumed > 0,
                "the outbox is full, but no input was consumed"
            );
        }
    }
    let mut outbox = Outbox::new(&mut write_buffer, capacity);
    let context = Context::new(ID, Time::ZERO, &mut protocol);
    session.end(&unconsumed, context, &mut outbox);
    output.extend(outbox.bytes());
    (output, outbox.finished())
}
