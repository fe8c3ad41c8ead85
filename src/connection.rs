//! One connection: its session, what it owes its peer, and where it stands between opening and closing.
//!
//! In come readiness and a stream; out come bytes on that stream, and an [`Outcome`] that says what the connection
//! waits for or why it ended. It never waits itself and never closes: its owner does both.
//!
//! ```text
//! connecting --> open --> leaving   (the server stops: what has come already is still answered)
//!                  |         |
//!                  |         v
//!                  +----> draining --> lingering --> closed   (our FIN first; then read and drop until the peer's)
//!                  |
//!                  +----> ended ---------------------> closed   (the peer's FIN first; then what is owed)
//!                  |        ^
//!                  +--> half-closed                             (a client has said all, and listens on)
//!                  |
//!                  +--> heard out                               (the peer has said all, and a client speaks on)
//!                  |
//!                  +----> handing over -------------> closed   (the peer's FIN ended a record: the program takes it)
//! ```
//!
//! "Owing" is not a state but a fact: in any of these but the last, the kernel may not have taken all there was to
//! send. A connection that owes is not read (see [`Limits`]), and so the peer's own flow control slows it down.

mod answering;
mod driver;
mod fifo;
mod pool;
mod reason;
mod record;
mod sending;
#[cfg(test)]
mod tests;

pub use driver::{Closed, Connections, Driver};
use pool::Share;

pub use fifo::Fifo;
pub use pool::Pool;
pub use reason::CloseReason;

use crate::net::{Readiness, Stream, Time};
use crate::protocol::{Protocol, Session};
use crate::reactor::{Class, SCRATCH_SIZE, Scratch};
use std::io;
use std::time::Duration;

/// How many bytes are read at once while memory is scarce.
const SMALL_READ: usize = 4096;

/// For how long a connection is read after our FIN before it is closed all the same.
pub const LINGER: Duration = Duration::from_secs(2);

/// The classes of deadlines that connections stand in.
#[derive(Debug)]
pub struct Classes;

impl Classes {
    /// Open and owing nothing: no byte either way for the idle timeout ends it.
    pub const IDLE: Class = Class::new(0);
    /// Owing: not a byte taken by the peer for the stall timeout ends it.
    pub const STALLED: Class = Class::new(1);
    /// After our FIN: [`LINGER`] ends it.
    pub const LINGER: Class = Class::new(2);
    /// Not yet open: the connect timeout ends it.
    pub const CONNECT: Class = Class::new(3);
}

/// What one connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may be owed to one peer before it is read no more.
    ///
    /// A connection that owes is read only while a whole read would still fit below this. So with the default, the
    /// size of one read, a connection that owes anything is not read.
    pub max_pending: usize,
    /// Bytes that one connection may read in one turn, before it is the others' turn.
    pub budget: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_pending: SCRATCH_SIZE,
            budget: 2 * SCRATCH_SIZE,
        }
    }
}

impl Limits {
    /// How much is read at once: never more than may be owed, since the answer may be as long.
    fn read_size(&self) -> usize {
        self.max_pending.min(self.budget).clamp(1, SCRATCH_SIZE)
    }
}

/// What all connections of a loop share.
#[derive(Debug)]
pub struct Common<P> {
    /// The protocol, with what its sessions share.
    pub protocol: P,
    /// The memory held for what is owed.
    pub pool: Pool,
    /// What each connection may take.
    pub limits: Limits,
    /// Bytes that came after our FIN and were dropped.
    pub bytes_dropped: u64,
    /// The error that ended the connection driven last, if it was one.
    pub last_error: Option<io::Error>,
    /// [`Limits::read_size`], which would be worked out anew for every message.
    read_size: usize,
}

impl<P> Common<P> {
    /// For connections that speak `protocol` and hold at most `max_buffered` bytes together. A limit of zero is taken
    /// for one, since nothing would move.
    pub fn new(protocol: P, limits: Limits, max_buffered: usize) -> Common<P> {
        let limits = Limits {
            max_pending: limits.max_pending.max(1),
            budget: limits.budget.max(1),
        };
        Common {
            protocol,
            pool: Pool::new(max_buffered),
            limits,
            bytes_dropped: 0,
            last_error: None,
            read_size: limits.read_size(),
        }
    }
}

/// What a connection is driven with.
#[derive(Debug)]
pub struct Workbench<'a, P> {
    /// The number of the connection, for the log.
    pub serial: u32,
    /// The time that sessions are given.
    pub now: Time,
    /// What all connections share.
    pub common: &'a mut Common<P>,
    /// The buffer that answers in several pieces are gathered in; of no value afterwards.
    pub gathered: &'a mut Vec<u8>,
}

impl<P> Workbench<'_, P> {
    /// Whether there is memory to hold what an answer to more input may come to.
    #[inline]
    fn may_read(&self) -> bool {
        !self.common.pool.is_scarce()
    }
}

/// Where a connection stands. The map is at the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Begun from here; the handshake is under way.
    Connecting,
    /// Reads, and answers.
    Open,
    /// Our FIN is sent, and the peer is listened to until its own.
    HalfClosed,
    /// The server stops: reads what the peer has sent already, answers it, and drains.
    Leaving,
    /// Flushes what is owed, and then sends FIN. Reads no more.
    Draining(CloseReason),
    /// The peer's FIN has been read, and there is more to be said ([`Connection::speak_on`]).
    HeardOut,
    /// The peer's FIN has been read: flushes what is owed, and closes.
    Ended(CloseReason),
    /// The peer's FIN has been read, and what came before it is a record that waits to be taken.
    HandingOver(CloseReason),
    /// Our FIN is sent: reads and drops what still comes, for at most [`LINGER`]. To close at once, with input unread,
    /// would send RST and destroy bytes that are still on their way to the peer (RFC 1122, 4.2.2.13; RFC 9293, 3.10.4).
    Lingering(CloseReason),
}

/// What a connection holds only while it must.
///
/// It is made large on purpose, as are the pieces in a [`Fifo`]. Small pieces that are given back stay in caches of the C
/// library, up to 1,032 bytes in glibc's (mallopt(3)), and one of them at the top of the heap keeps all of the heap
/// below it from going back to the kernel.
#[derive(Debug)]
struct Held {
    /// What the peer is owed and the kernel has not taken.
    owed: Fifo,
    /// Input that the session has not consumed.
    input: Fifo,
    /// The input does not wait for more to come: the session stopped because too much was said and is to be called
    /// again, or it is a record.
    input_is_held_back: bool,
    /// The part of the pool that is this connection's.
    share: Share,
    _size: [u8; 1024],
}

impl Default for Held {
    fn default() -> Held {
        Held {
            owed: Fifo::default(),
            input: Fifo::default(),
            input_is_held_back: false,
            share: Share::default(),
            _size: [0; 1024],
        }
    }
}

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

/// What a connection has asked of its loop already, so that it does not ask twice.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u8);

impl Marks {
    /// Its stream is watched for room for output: once asked for, that stays for life.
    const WATCHES_WRITABLE: Marks = Marks(1);
    /// It stands among those who wait for memory.
    const WAITS_FOR_MEMORY: Marks = Marks(2);
    /// All has been said that ever will be: when it has gone, FIN follows it.
    const SAID_ALL: Marks = Marks(4);
    /// Memory is scarce, and the kernel would not take an answer now: it is read again when there is room.
    const WAITS_FOR_ROOM: Marks = Marks(8);
    /// The peer's FIN does not end it: there may be more to say.
    const SPEAKS_ON: Marks = Marks(16);
    /// It stands among those whose record waits to be taken.
    const WAITS_FOR_TAKER: Marks = Marks(32);

    /// Sets a mark; false if it was set already.
    fn set(&mut self, mark: Marks) -> bool {
        let is_new = self.0 & mark.0 == 0;
        self.0 |= mark.0;
        is_new
    }

    fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    fn clear(&mut self, mark: Marks) {
        self.0 &= !mark.0;
    }
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

    /// Why the connection ends, if the time to drain is over.
    pub fn cut_short(&self) -> CloseReason {
        match self.state {
            // Its peer has been sent everything, FIN included.
            State::Lingering(reason) => reason,
            _ => CloseReason::DrainExpired,
        }
    }

    /// Remembers what the connection is ready for until it is driven.
    #[inline]
    pub fn note(&mut self, readiness: Readiness) {
        self.readiness |= readiness;
    }

    /// From now on: answer what has come already, flush what is owed, send FIN and wait for the peer's. The connection
    /// is to be driven next.
    pub fn drain(&mut self) {
        match self.state {
            State::Open => {
                self.state = State::Leaving;
                // Whether there is input is not known, and no edge need come for it.
                self.note(Readiness::READABLE | Readiness::DRAIN);
            }
            // Nobody is there yet who could be told; or the peer has said all, and what is owed is all that is left.
            State::Connecting | State::HeardOut => self.state = State::Ended(CloseReason::Drained),
            // What is said now, nobody would answer.
            State::HalfClosed => self.state = State::Lingering(CloseReason::Drained),
            State::Leaving
            | State::Draining(_)
            | State::Ended(_)
            | State::HandingOver(_)
            | State::Lingering(_) => {}
        }
    }

    /// From now on the peer's FIN only means that it has said all: it may still listen, and is spoken to until
    /// [`half_close`](Connection::half_close). For a client whose input goes on.
    pub fn speak_on(&mut self) {
        self.marks.set(Marks::SPEAKS_ON);
    }

    /// Nothing more will be said, as of a client at the end of its input: FIN follows what is owed, and the peer is
    /// listened to until it sends its own. What the session says after that is dropped.
    ///
    /// # Errors
    /// Why the connection has ended, as it does where the peer's FIN has come already; its owner is to close it.
    pub fn half_close<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        self.marks.set(Marks::SAID_ALL);
        self.send_fin_if_all_is_said(stream, bench)
    }

    fn send_fin_if_all_is_said<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        if !self.marks.has(Marks::SAID_ALL) || self.owes() {
            return Ok(());
        }
        match self.state {
            State::Open => {
                send_fin(stream, bench)?;
                self.state = State::HalfClosed;
                Ok(())
            }
            // Both have said all.
            State::HeardOut => Err(CloseReason::PeerClosed),
            _ => Ok(()),
        }
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
        let mut used = 0;
        if self.is_caught_up() && readiness.contains(Readiness::READABLE) && bench.may_read() {
            let size = bench.common.read_size;
            let taken = match stream.read(&mut scratch[..size]) {
                Ok(count) if 0 < count && count < size && short_read_drains::<T>(readiness) => {
                    used = count;
                    self.readiness = readiness.without(Readiness::READABLE);
                    match self.take_in_caught_up(&scratch[..count], stream, bench) {
                        Ok(true) => return Outcome::Input,
                        taken => taken.map(|_| ()),
                    }
                }
                Ok(count) if count > 0 => {
                    used = count;
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
        self.drive_slowly(used, stream, scratch.as_mut_slice(), bench)
    }

    /// Whether the connection is open, owes nothing and holds no input back.
    #[inline]
    fn is_caught_up(&self) -> bool {
        self.is_open() && self.held.is_none()
    }

    /// Whether something can still be said: our FIN is neither sent nor the next thing to be.
    fn may_speak(&self) -> bool {
        let state = self.state;
        matches!(
            state,
            State::Connecting | State::Open | State::Leaving | State::HeardOut
        ) && !self.marks.has(Marks::SAID_ALL)
    }

    /// Drives a connection that owes, holds input back, has more input, or is on its way in or out. Of its budget,
    /// `used` bytes are used up.
    #[cold]
    #[inline(never)]
    fn drive_slowly<T: Stream>(
        &mut self,
        used: usize,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Outcome {
        self.take_steps(used, stream, scratch, bench)
            .unwrap_or_else(Outcome::Closed)
    }

    fn take_steps<T: Stream>(
        &mut self,
        used: usize,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        if self.is_connecting() && !self.finish_connecting(stream, bench)? {
            return Ok(Outcome::Event);
        }
        self.flush(stream, bench)?;
        let outcome = if self.may_receive() {
            self.read(used, stream, scratch, bench)?
        } else {
            Outcome::Event
        };
        self.move_on(outcome, stream, scratch, bench)
    }

    /// Takes the steps from state to state that nothing but owed bytes can hold up.
    fn move_on<T: Stream>(
        &mut self,
        outcome: Outcome,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        if matches!(self.state, State::Leaving) && outcome != Outcome::Memory && !self.owes() {
            // All that had come is answered, or a whole budget of it: a flood would not end by itself.
            self.state = State::Draining(CloseReason::Drained);
            self.forget_input(&mut bench.common.pool);
        }
        self.send_fin_if_all_is_said(stream, bench)?;
        match self.state {
            State::Draining(reason) if !self.owes() => {
                send_fin(stream, bench)?;
                self.state = State::Lingering(reason);
                self.note(Readiness::READABLE | Readiness::DRAIN);
                self.linger(reason, stream, scratch, bench)
            }
            State::Lingering(reason) => self.linger(reason, stream, scratch, bench),
            State::Ended(reason) if !self.owes() => Err(reason),
            State::HandingOver(_) if !self.owes() => Ok(Outcome::Taker),
            State::Draining(_) | State::Ended(_) | State::HandingOver(_) => Ok(Outcome::Event),
            State::Connecting
            | State::Open
            | State::HalfClosed
            | State::HeardOut
            | State::Leaving => Ok(outcome),
        }
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

    /// Whether there is input that the session has seen and not answered, because too much was owed.
    fn holds_back(&self) -> bool {
        let held = self.held.as_deref();
        held.is_some_and(|[held]| held.input_is_held_back)
    }

    /// Whether there is something to be done at once, without any event: a session has ended the connection, and its
    /// peer is owed nothing but FIN.
    fn is_to_end_now(&self) -> bool {
        matches!(self.state, State::Draining(_)) && !self.owes()
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
        matches!(self.state, State::Open | State::HalfClosed | State::Leaving)
    }

    /// Looks whether a connection that was begun stands now; if so, opens the session.
    fn finish_connecting<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<bool, CloseReason> {
        if !self.readiness.contains(Readiness::WRITABLE) {
            return Ok(false);
        }
        let connected = stream.connected().map_err(|error| {
            bench.common.last_error = Some(error);
            CloseReason::ConnectFailed
        })?;
        if connected {
            self.state = State::Open;
            self.greet(stream, bench)?;
        } else {
            self.readiness = self.readiness.without(Readiness::WRITABLE);
        }
        Ok(connected)
    }

    /// Gives back what the connection holds of the pool; called once, when it closes.
    fn release(&mut self, pool: &mut Pool) {
        if let Some(held) = self.held.take() {
            pool.account_share(held[0].share, Share::default());
        }
    }
}

fn send_fin<T: Stream, P>(stream: &mut T, bench: &mut Workbench<'_, P>) -> Result<(), CloseReason> {
    stream.shutdown_write().map_err(|error| {
        bench.common.last_error = Some(error);
        CloseReason::PeerReset
    })
}

/// Whether a short read has emptied the socket: where the world promises that, and no event says otherwise.
#[inline]
fn short_read_drains<T: Stream>(readiness: Readiness) -> bool {
    T::SHORT_READ_DRAINS && !readiness.contains(Readiness::DRAIN)
}
