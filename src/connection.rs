//! One connection: its session, what it owes its peer, and where it stands between opening and closing.
//!
//! In come readiness and a stream; out come bytes on that stream, and an [`Outcome`] that says what the connection
//! waits for or why it ended. It never waits itself and never closes: its owner does both.
//!
//! ```text
//! connecting --> open --> leaving   (the server stops: what has come already is still answered)
//!     |            |         |
//!     v            |         v
//! called off       +----> draining --> lingering --> closed   (our FIN first; then read and drop until the peer's)
//!     |            |
//!     v            |
//!   closed         +----> ended ---------------------> closed   (the peer's FIN first; then what is owed)
//!                  |        ^
//!                  +--> half-closed                             (a client has said all, and listens on)
//!                  |
//!                  +--> heard out                               (the peer has said all, and a client speaks on)
//!                  |
//!                  +----> handing over -------------> closed   (the peer's FIN ended a record: the program takes it)
//! ```
//!
//! Where FIN is a receipt for a record, no other way than by handing over ends with FIN: "draining" then ends by reset.
//!
//! "Owing" is not a state but a fact: in any of these but the last, the kernel may not have taken all there was to
//! send. A connection that owes is not read (see [`Limits`]), and so the peer's own flow control slows it down.

mod answering;
mod common;
mod driver;
mod fifo;
mod held;
mod holders;
mod moving;
mod pool;
mod reading;
mod reason;
mod record;
mod sending;
mod state;
#[cfg(test)]
mod tests;
mod timeouts;

pub use common::{Common, Limits, MESSAGE_COST, Workbench};
pub use driver::{Closed, Connections, Driver};
pub use fifo::Fifo;
pub use pool::Pool;
pub use reason::CloseReason;
pub use timeouts::{Classes, LINGER, Timeouts};

use crate::net::{Ending, Readiness, Stream};
use crate::protocol::{Protocol, Session};
use crate::reactor::{Class, Scratch};
use held::Held;
use reading::short_read_drains;
use state::{Marks, State};

/// What a connection waits for after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Input, and nothing else: it was caught up before it was driven, and is so again.
    Input,
    /// An event, of whatever kind.
    Event,
    /// Its next turn, since its budget for this one is used up and no new event need come.
    Turn,
    /// Memory: it would read, but all connections together hold too much.
    Memory,
    /// That its owner takes its record.
    Taker,
    /// Nothing: it has ended, and its owner is to close it.
    Closed(CloseReason),
}

/// One connection, apart from its socket.
///
/// Invariant: `held` is there only while something is in it, so an idle connection owns no memory but its slot.
#[derive(Debug)]
pub struct Connection<S> {
    bytes_in: u64,
    bytes_out: u64,
    /// A box of one, since only vectors can be allocated fallibly.
    held: Option<Box<[Held; 1]>>,
    state: State,
    readiness: Readiness,
    marks: Marks,
    tag: u32,
    session: S,
}

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// A connection that stands: it was accepted.
    pub fn open(session: S) -> Self {
        Connection::in_state(State::Open, session)
    }

    /// A connection that was begun; what is written to it waits until it stands.
    ///
    /// Its stream is to be watched for room for output, since that is how the outcome is learnt.
    pub fn connecting(session: S) -> Self {
        let mut connection = Connection::in_state(State::Connecting, session);
        connection.marks.set(Marks::WATCHES_WRITABLE);
        connection
    }

    fn in_state(state: State, session: S) -> Self {
        Connection {
            bytes_in: 0,
            bytes_out: 0,
            held: None,
            state,
            readiness: Readiness::NONE,
            marks: Marks::default(),
            tag: 0,
            session,
        }
    }

    /// The connection, with a number that its owner keeps on it.
    #[must_use]
    pub fn tagged(self, tag: u32) -> Self {
        Connection { tag, ..self }
    }

    /// The number that its owner keeps on it.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Bytes read from the peer and given to the session, or kept for it.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes that the kernel has taken.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// How many bytes the peer is owed that the kernel has not taken.
    pub fn owed(&self) -> usize {
        self.held.as_deref().map_or(0, |[held]| held.owed.len())
    }

    /// Whether the peer is owed anything.
    #[inline]
    pub fn owes(&self) -> bool {
        match &self.held {
            None => false,
            Some(held) => !held[0].owed.is_empty(),
        }
    }

    /// The class of deadlines that the connection belongs to as it stands.
    #[inline]
    pub fn class(&self) -> Class {
        match self.state {
            State::Connecting => Classes::CONNECT,
            State::Lingering(_) => Classes::LINGER,
            _ if self.owes() => Classes::STALLED,
            // It is not the peer who is silent then: it has sent everything.
            State::HandingOver(_) => Class::NONE,
            // Nor here: what it has sent waits in the kernel.
            _ if self.marks.has(Marks::WAITS_FOR_MEMORY)
                && self.readiness.contains(Readiness::READABLE) =>
            {
                Class::NONE
            }
            _ => Classes::IDLE,
        }
    }

    /// Why the connection ends, if its deadline has passed.
    pub fn expire(&self) -> CloseReason {
        match self.state {
            State::Connecting => CloseReason::ConnectTimeout,
            State::Lingering(reason) => reason,
            _ if self.owes() => CloseReason::Stalled,
            _ => CloseReason::Idle,
        }
    }

    /// Why the connection ends, if the time to drain is over or the server ends without one.
    pub fn cut_short(&self) -> CloseReason {
        match self.state {
            // Its peer has been sent everything, FIN included.
            State::Lingering(reason) => reason,
            _ => CloseReason::DrainExpired,
        }
    }

    /// How its socket is closed when the connection has ended for `reason`.
    pub(super) fn ending(&self, reason: CloseReason) -> Ending {
        let has_handed_over = self.record().is_some_and(<[u8]>::is_empty);
        if S::FIN_IS_RECEIPT && !has_handed_over {
            Ending::Reset
        } else {
            reason.ending()
        }
    }

    /// Remembers what the connection is ready for until it is driven.
    #[inline]
    pub fn note(&mut self, readiness: Readiness) {
        self.readiness |= readiness;
    }

    /// Does all that can be done on `stream` now, within the budget, and says what the connection waits for. It reads
    /// into `scratch`, and what stands there is of no value afterwards.
    #[expect(clippy::inline_always, reason = "on the way of every byte")]
    #[inline(always)]
    pub fn drive<T: Stream>(
        &mut self,
        stream: &mut T,
        readiness: Readiness,
        scratch: &mut Scratch,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Outcome {
        let readiness = self.readiness | readiness;
        self.readiness = readiness;
        // The way of nearly every message is short so that it is fast: one read empties the socket, and one write
        // takes the answer. Whatever else may be is seen to in the cold.
        if self.is_caught_up() && readiness.contains(Readiness::READABLE) && bench.may_read() {
            let size = bench.common.read_size;
            let taken = match stream.read(&mut scratch[..size]) {
                Ok(count) if 0 < count && count < size && short_read_drains::<T>(readiness) => {
                    self.readiness = readiness.without(Readiness::READABLE);
                    match self.take_in_caught_up(&scratch[..count], stream, bench) {
                        Ok(true) => return Outcome::Input,
                        taken => {
                            bench.budget = bench.budget.min(bench.common.limits.budget - count);
                            taken.map(|_| ())
                        }
                    }
                }
                Ok(count) if count > 0 => {
                    bench.charge(count);
                    self.take_in(&scratch[..count], count < size, stream, bench)
                }
                found => self.take_rarity(found, stream, bench),
            };
            if let Err(reason) = taken {
                return Outcome::Closed(reason);
            }
            if self.is_caught_up() && !self.readiness.contains(Readiness::READABLE) {
                return Outcome::Input;
            }
        }
        self.drive_slowly(stream, scratch.as_mut_slice(), bench)
    }

    /// Whether the connection is open, owes nothing and holds no input back.
    #[inline]
    fn is_caught_up(&self) -> bool {
        self.is_open() && self.held.is_none()
    }

    /// Drives a connection that owes, holds input back, has more input, or is on its way in or out.
    #[cold]
    #[inline(never)]
    fn drive_slowly<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Outcome {
        self.take_steps(stream, scratch, bench)
            .unwrap_or_else(Outcome::Closed)
    }

    /// Whether room for output is to be watched for from now on; true once in a connection's life, at its first debt.
    fn begins_to_watch_writable(&mut self) -> bool {
        (self.owes() || self.marks.has(Marks::WAITS_FOR_ROOM))
            && self.marks.set(Marks::WATCHES_WRITABLE)
    }

    fn begins_to_wait_for_memory(&mut self) -> bool {
        self.marks.set(Marks::WAITS_FOR_MEMORY)
    }

    fn begins_to_wait_for_taker(&mut self) -> bool {
        self.marks.set(Marks::WAITS_FOR_TAKER)
    }

    fn ends_to_wait_for_memory(&mut self) {
        self.marks.clear(Marks::WAITS_FOR_MEMORY);
    }

    // By `matches!`, since a comparison would look at the reasons that other states carry.

    #[inline]
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    #[inline]
    fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    #[inline]
    fn may_receive(&self) -> bool {
        matches!(
            self.state,
            State::Open | State::HalfClosed | State::Leaving(_)
        )
    }
}
