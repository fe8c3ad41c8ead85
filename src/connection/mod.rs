//! One connection: its session, its pending output, and its state from opening to closing.
//!
//! A connection gets readiness and a stream; it reads and writes that stream, and returns an [`Outcome`]: what it waits
//! for, or why it ended. It never blocks and never closes its socket; its owner does that. The states and their
//! transitions are in `state.rs`.

mod buffers;
mod by_size;
mod context;
mod driver;
mod fifo;
mod lifecycle;
mod pool;
mod reading;
mod reason;
mod receiving;
mod saved;
mod sending;
mod state;
#[cfg(test)]
mod tests;
mod timeouts;

pub use context::{Common, Limits};
pub use driver::{Closed, Connections, Driver, Owner, SavedQueues};
pub use fifo::Fifo;
pub use pool::Pool;
pub use reason::CloseReason;
pub use saved::SavedConnection;
pub(crate) use saved::{MAX_COUNT, is_handshaking};
pub use timeouts::{Classes, Timeouts};

use crate::net::{Ending, Readiness, Stream};
use crate::protocol::Session;
use crate::reactor::{Class, Scratch};
use by_size::BuffersId;
use context::{DriveContext, MESSAGE_COST, Outcome};
use reading::short_read_drains;
use state::{Rx, State};

/// What only tests, benches and fuzz targets need.
#[doc(hidden)]
pub mod testing {
    pub use super::context::{DriveContext, MESSAGE_COST, Outcome};
    pub use super::timeouts::LINGER;
}

/// The result of a step that may end the connection.
type Result<T = (), E = CloseReason> = std::result::Result<T, E>;

/// The context in which a connection with a session `S` is driven.
type Cx<'a, S> = DriveContext<'a, <S as Session>::Shared>;

bitflags::bitflags! {
    /// Facts about a connection, such as the queues that it is in.
    #[derive(Clone, Copy, Debug, Default)]
    struct Flags: u8 {
        /// The stream is watched for output space; once requested, that is permanent.
        const WATCHES_WRITABLE = 1;
        /// The connection is queued among those that wait for memory.
        const WAITS_FOR_MEMORY = 2;
        /// Memory is scarce and the kernel would not accept a reply now, so the next read waits for output space.
        const WAITS_FOR_OUTPUT_SPACE = 4;
        /// The peer's FIN does not close the connection: the owner may have more to send.
        const HALF_OPEN = 8;
        /// The connection is queued among those that hold a record.
        const WAITS_FOR_OWNER = 16;
        /// The buffers hold output.
        const PENDING_OUTPUT = 32;
        /// The kept input is not an incomplete message: the session stopped because its outbox was full, or the input
        /// is a record.
        ///
        /// Or the session has deferred its work.
        const INPUT_BLOCKED = 64;
        /// The state is not open, or the connection has buffers, or a handshake or other work of the session is pending.
        const NOT_CAUGHT_UP = 128;
        /// The queues that the connection is in.
        const QUEUES = Self::WAITS_FOR_MEMORY.bits() | Self::WAITS_FOR_OWNER.bits();
    }
}

/// One connection, without its socket.
///
/// Invariant: a connection has buffers only while they are not empty, so an idle one takes no memory but its slot.
#[derive(Debug)]
pub struct Connection<S> {
    bytes_in: u64,
    bytes_out: u64,
    buffers: BuffersId,
    tag: u32,
    state: State,
    /// The number of iterations that may still use up their budget before a drain ends.
    drain_iterations: u8,
    /// Why the connection closes, once that is decided.
    reason: CloseReason,
    readiness: Readiness,
    flags: Flags,
    session: S,
}

impl<S: Session> Connection<S> {
    /// A connection that was accepted.
    pub fn open(session: S) -> Self {
        let mut flags = Flags::empty();
        flags.set(Flags::NOT_CAUGHT_UP, session.is_handshaking());
        Connection::in_state(State::OPEN, flags, session)
    }

    /// A connection that is connecting; output waits until it is established.
    ///
    /// The stream is to be watched for output space, since that event reports the result.
    pub fn connecting(session: S) -> Self {
        let flags = Flags::WATCHES_WRITABLE | Flags::NOT_CAUGHT_UP;
        Connection::in_state(State::CONNECTING, flags, session)
    }

    fn in_state(state: State, flags: Flags, session: S) -> Self {
        Connection {
            bytes_in: 0,
            bytes_out: 0,
            buffers: BuffersId::NONE,
            tag: 0,
            state,
            drain_iterations: 0,
            reason: CloseReason::PeerClosed,
            readiness: Readiness::NONE,
            flags,
            session,
        }
    }

    /// Sets a number for the owner's use.
    #[must_use]
    pub fn tagged(self, tag: u32) -> Self {
        Connection { tag, ..self }
    }

    /// Replaces the number for the owner's use.
    pub(crate) fn set_tag(&mut self, tag: u32) {
        self.tag = tag;
    }

    /// The number that the owner has set.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Bytes read from the peer and passed to the session, or kept for it.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes that the kernel has accepted.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// The class of deadlines that the connection belongs to.
    #[inline]
    pub fn class(&self) -> Class {
        match self.state.rx {
            Rx::Connecting => Classes::CONNECT,
            _ if self.state.is_lingering() => Classes::LINGER,
            _ if self.is_handshaking() => Classes::HANDSHAKE,
            _ if self.has_pending_output() => Classes::STALLED,
            // The peer has sent everything, or its input waits in the kernel: it is not idle.
            Rx::RecordPending => Class::NONE,
            _ if self.waits_with_input() => Class::NONE,
            _ => Classes::IDLE,
        }
    }

    /// Whether the handshake of the session is in progress.
    #[inline]
    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking() && self.state.can_receive()
    }

    /// Whether the connection waits for memory to read input that may have arrived.
    #[inline]
    fn waits_with_input(&self) -> bool {
        self.flags.contains(Flags::WAITS_FOR_MEMORY) && self.readiness.contains(Readiness::READABLE)
    }

    /// Why the connection ends, if its deadline has passed.
    pub fn expire(&self) -> CloseReason {
        match self.state.rx {
            Rx::Connecting => CloseReason::ConnectTimeout,
            _ if self.state.is_lingering() => self.reason,
            _ if self.is_handshaking() => CloseReason::HandshakeTimeout,
            _ if self.has_pending_output() => CloseReason::Stalled,
            _ => CloseReason::Idle,
        }
    }

    /// Why the connection ends, if the time to drain is over or the server exits without a drain.
    pub fn cut_short(&self) -> CloseReason {
        if self.state.is_lingering() {
            // All output and FIN were sent.
            self.reason
        } else {
            CloseReason::DrainExpired
        }
    }

    /// How the socket is closed when the connection has ended for `reason`.
    ///
    /// If FIN is a receipt, only a connection whose record was taken closes with FIN.
    fn ending(&self, reason: CloseReason, pool: &Pool) -> Ending {
        if S::FIN_IS_RECEIPT && !self.is_record_taken(pool) {
            return Ending::Reset;
        }
        match reason.ending() {
            // FIN would declare the output complete.
            Ending::Fin if self.has_pending_output() => Ending::Reset,
            Ending::Fin if self.bytes_out == 0 => Ending::Empty,
            ending => ending,
        }
    }

    /// Whether the owner has taken the whole record of the connection.
    fn is_record_taken(&self, pool: &Pool) -> bool {
        self.record(pool).is_some_and(<[u8]>::is_empty)
    }

    /// The part of the record that the owner has not taken, if the connection holds a record.
    pub fn record<'p>(&self, pool: &'p Pool) -> Option<&'p [u8]> {
        let is_record = self.state.rx == Rx::RecordPending;
        is_record.then(|| {
            let buffers = pool.buffers.get(self.buffers);
            buffers.map_or(&[][..], |buffers| buffers.input.as_slice())
        })
    }

    /// Removes `count` bytes of the record. Returns why the connection has ended, if no bytes are left; its owner is to
    /// close it.
    fn take_record(&mut self, count: usize, pool: &mut Pool) -> Option<CloseReason> {
        if let Some(buffers) = pool.buffers.get_mut(self.buffers) {
            buffers.input.take(count);
        }
        self.account(pool);
        self.is_record_taken(pool).then_some(self.reason)
    }

    /// Keeps readiness until the connection is driven.
    #[inline]
    pub fn add_readiness(&mut self, readiness: Readiness) {
        self.readiness |= readiness;
    }

    /// Reads, answers and writes until `stream` would block or the budget is used up, and returns what the connection
    /// waits for. Reads into `scratch`, whose contents are meaningless afterwards.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn drive<T: Stream>(
        &mut self,
        stream: &mut T,
        readiness: Readiness,
        scratch: &mut Scratch,
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Outcome {
        let readiness = self.readiness | readiness;
        self.readiness = readiness;
        // For nearly every message, one read empties the socket and one write sends the reply. Everything else takes
        // the `#[cold]` path.
        let is_usual = self.is_caught_up() && cx.common.pool.is_usual();
        if readiness.contains(Readiness::READABLE) && is_usual {
            let size = cx.common.read_size;
            let result = match stream.read_unrecorded(&mut scratch.0[..size]) {
                Ok(count) if 0 < count && count < size && short_read_drains::<T>(readiness) => {
                    self.readiness = readiness.difference(Readiness::READABLE);
                    let outcome = self.on_input_caught_up(&scratch.0[..count], stream, cx);
                    if outcome != Outcome::Event {
                        return outcome;
                    }
                    cx.moved.received = true;
                    cx.used = cx.used.max(count);
                    Ok(())
                }
                Ok(count) if count > 0 => {
                    cx.charge(count);
                    self.on_input(&scratch.0[..count], count < size, stream, cx)
                }
                result => self.on_eof_or_error(result, stream, cx),
            };
            if let Err(reason) = result {
                return Outcome::Closed(reason);
            }
            if self.is_caught_up() && !self.readiness.contains(Readiness::READABLE) {
                return Outcome::Event;
            }
        }
        self.drive_slow_path(stream, scratch.0.as_mut_slice(), cx)
            .unwrap_or_else(Outcome::Closed)
    }

    /// Whether the connection is open, without pending output or kept input.
    #[inline]
    fn is_caught_up(&self) -> bool {
        let is_caught_up = !self.flags.contains(Flags::NOT_CAUGHT_UP);
        debug_assert_eq!(is_caught_up, self.has_nothing_to_do());
        is_caught_up
    }

    fn has_nothing_to_do(&self) -> bool {
        let is_deferred = S::HOLDS_BYTES && self.is_input_blocked();
        let waits = is_deferred || self.session.is_handshaking();
        self.state == State::OPEN && self.buffers.is_none() && !waits
    }

    /// To be called after the state has changed, buffers were added or freed, or the session was called.
    fn update_caught_up(&mut self) {
        let is_caught_up = self.has_nothing_to_do();
        self.flags.set(Flags::NOT_CAUGHT_UP, !is_caught_up);
    }

    /// Whether the stream is to be watched for output space from now on: true once, at the first pending output.
    fn start_watching_writable(&mut self) -> bool {
        let waits = Flags::WAITS_FOR_OUTPUT_SPACE | Flags::PENDING_OUTPUT;
        self.flags.intersects(waits) && self.set_new(Flags::WATCHES_WRITABLE)
    }

    /// Sets a flag; false if it was set already.
    fn set_new(&mut self, flag: Flags) -> bool {
        let is_new = !self.flags.contains(flag);
        self.flags.insert(flag);
        is_new
    }
}
