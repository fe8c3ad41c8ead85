//! Connections on a reactor: how servers and clients drive them.

mod eviction;
mod expiry;
mod least_rate;
mod owner;
mod records;
mod saved;

use super::context::Moved;
use super::{Classes, CloseReason, Common, Connection, DriveContext, Flags, Outcome};
use crate::net::{Ending, Key, MioNet, Net, Note, Readiness, Time};
use crate::protocol::{Outbox, Protocol, Raw, Session};
use crate::reactor::{Borrowed, Class, KeyQueue, Reactor};
use eviction::Eviction;
use least_rate::LeastRate;
pub use owner::Owner;
pub use saved::SavedQueues;
use std::io;
use std::net::SocketAddr;

/// A reactor whose tenants are connections of the protocol `P`.
pub type Connections<N, P> = Reactor<N, Connection<<P as Protocol>::Session>>;

/// The cost of an idle connection.
const _: () = assert!(Connections::<MioNet, Raw>::SLOT_SIZE <= 56);

/// Drives connections, and applies their outcomes: timers, queues and watched events.
#[derive(Debug)]
pub struct Driver<P> {
    /// The data that all connections share.
    pub common: Common<P>,
    /// The buffer for output in several pieces.
    write_buffer: Vec<u8>,
    /// The connections that hold a record, in the order of their peers' FINs.
    pub(super) records: KeyQueue,
    eviction: Eviction,
    /// `None` if any byte that a peer acknowledges is enough.
    least_rate: Option<LeastRate>,
}

impl<P: Protocol> Driver<P> {
    /// A driver of connections that share `common`.
    pub fn new(common: Common<P>) -> Driver<P> {
        Driver {
            common,
            write_buffer: Vec::new(),
            records: KeyQueue::default(),
            eviction: Eviction::default(),
            least_rate: None,
        }
    }

    /// The context of a connection in this iteration.
    #[inline]
    fn context(&mut self, key: Key, now: Time) -> DriveContext<'_, P> {
        DriveContext::new(key, now, &mut self.common, &mut self.write_buffer)
    }

    /// Drives a connection, if it still exists. Returns why it has ended, if it has; then [`close`](Driver::close) is to be
    /// called.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn drive<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        readiness: Readiness,
    ) -> Option<CloseReason> {
        self.drive_if::<N, false>(reactor, key, readiness)
    }

    /// As [`drive`](Driver::drive); with `QUEUED`, even if the connection is queued to run again.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    fn drive_if<N: Net, const QUEUED: bool>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        readiness: Readiness,
    ) -> Option<CloseReason> {
        let borrowed = reactor.borrow(key)?;
        let slot = &mut *borrowed.slot;
        if slot.is_queued() && !QUEUED {
            // A connection runs once in an iteration.
            slot.tenant.add_readiness(readiness);
            return None;
        }
        let connection = &mut slot.tenant;
        let mut cx = self.context(key, borrowed.now);
        let outcome = connection.drive(&mut slot.stream, readiness, borrowed.scratch, &mut cx);
        if matches!(outcome, Outcome::Input) && borrowed.is_touched() {
            return None;
        }
        let moved = cx.moved;
        self.apply_outcome(reactor, key, outcome, moved)
    }

    /// Queues the connection for what it waits for, and sets its timer.
    #[cold]
    #[inline(never)]
    fn apply_outcome<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        outcome: Outcome,
        moved: Moved,
    ) -> Option<CloseReason> {
        let connection = &mut reactor.find(key)?.tenant;
        let watches = connection.start_watching_writable();
        let queued = match outcome {
            Outcome::Closed(reason) => return Some(reason),
            Outcome::Again => reactor.run_again(key),
            Outcome::Memory if connection.set_new(Flags::WAITS_FOR_MEMORY) => {
                let pool = &mut self.common.pool;
                let granted = pool.grants();
                granted.and_then(|()| reactor.enqueue(&mut pool.waiting, key))
            }
            Outcome::RecordReady if connection.set_new(Flags::WAITS_FOR_OWNER) => {
                reactor.enqueue(&mut self.records, key)
            }
            Outcome::Input | Outcome::Event | Outcome::Memory | Outcome::RecordReady => Ok(()),
        };
        let slot = reactor.find(key)?;
        let (class, before) = (slot.tenant.class(), slot.class());
        // A lingering connection only drops input, and its deadline closes it in any case.
        if queued.is_err() && class != Classes::LINGER {
            return Some(CloseReason::NoMemory);
        }
        let restarts = match class {
            Classes::IDLE => moved.sent || moved.received || outcome == Outcome::Input,
            Classes::STALLED => moved.sent,
            _ => false,
        };
        let changes_class = class != Classes::base(slot.class());
        // After a byte has moved, the timer starts in the base class.
        let ends_rechecks = restarts && class != slot.class();
        if changes_class || ends_rechecks {
            if self.least_rate.is_some() {
                self.set_measured_class(reactor, key, class);
            } else {
                reactor.set_class(key, class);
            }
        } else if restarts {
            reactor.touch(key);
        }
        if changes_class || !matches!(outcome, Outcome::Event | Outcome::Input) {
            note_outcome(&mut reactor.net, key, outcome, (before, class));
        }
        if watches && let Err(error) = reactor.watch_writable(key) {
            self.common.last_error = Some(error);
            return Some(CloseReason::NoMemory);
        }
        None
    }

    /// Runs connections that wait for memory, as many as there may be memory for. To be called once in an iteration.
    ///
    /// Returns a connection that has ended meanwhile, and why. Its owner is to close it, and then to call this again for
    /// the connections queued after it.
    pub(crate) fn resume_waiting<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
    ) -> Option<(Key, CloseReason)> {
        if self.common.pool.waiting.is_empty() {
            return None;
        }
        let read_size = self.common.read_size;
        let mut places = self.common.pool.places(read_size);
        while places > 0 {
            let key = self.common.pool.waiting.pop()?;
            // A closed connection takes no place. Otherwise the last waiting connection might never run.
            let Some(slot) = reactor.find(key) else {
                continue;
            };
            places -= 1;
            slot.tenant.flags.remove(Flags::WAITS_FOR_MEMORY);
            let class = slot.tenant.class();
            if class != Classes::base(slot.class()) {
                // A connection with pending output has been waiting for its peer, so its class and timer are unchanged.
                reactor.set_class(key, class);
            }
            if reactor.run_again(key).is_err() {
                // There is no memory to queue it, so it runs now. The next iteration may be far away, so the connections
                // queued after it run as well, as far as there is still memory.
                if let Some(reason) = self.drive(reactor, key, Readiness::NONE) {
                    return Some((key, reason));
                }
                places = self.common.pool.places(read_size);
            }
            reactor.net.note(key, Note::Resumed);
        }
        None
    }

    /// Writes on a connection from outside a call of its session, as a client does; see [`Connection::write`].
    pub fn write<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        write: impl FnOnce(&mut Outbox<'_>),
    ) -> Option<CloseReason> {
        let borrowed = reactor.borrow(key)?;
        let is_touched = borrowed.is_touched();
        let slot = borrowed.slot;
        let mut cx = self.context(key, borrowed.now);
        match slot.tenant.write(&mut slot.stream, &mut cx, write) {
            // The kernel accepted the output at once, and the timer was restarted in this tick already.
            Ok(_) if is_touched && slot.tenant.is_caught_up() && slot.class() == Classes::IDLE => {
                None
            }
            Ok(_) => {
                let (outcome, moved) = (slot.tenant.outcome_after_write(), cx.moved);
                self.apply_outcome(reactor, key, outcome, moved)
            }
            Err(reason) => Some(reason),
        }
    }

    /// Sends FIN after the pending output of a connection; see [`Connection::half_close`].
    pub fn half_close<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let Borrowed { slot, now, .. } = reactor.borrow(key)?;
        let mut cx = self.context(key, now);
        slot.tenant.half_close(&mut slot.stream, &mut cx).err()
    }

    /// Passes the input that had arrived before a reset to the session; see [`Connection::receive_rest`].
    pub fn receive_rest<N: Net>(&mut self, reactor: &mut Connections<N, P>, key: Key) {
        if let Some(Borrowed { slot, now, .. }) = reactor.borrow(key) {
            let mut cx = self.context(key, now);
            slot.tenant.receive_rest(&mut slot.stream, &mut cx);
        }
    }

    /// The number of bytes of a connection's pending output; `None` if it is closed.
    pub fn pending_output<N: Net>(
        &self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<usize> {
        let slot = reactor.find(key)?;
        Some(slot.tenant.pending_output(&self.common.pool))
    }

    /// Why a connection is to be closed instead of being sent output that its session did not write; `None` if its peer
    /// reads fast enough. Output of a session needs no such limit, since input is not read while output is pending.
    pub(crate) fn overload_reason<N: Net>(
        &self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let pending = self.pending_output(reactor, key)?;
        let Common { limits, pool, .. } = &self.common;
        if pending >= limits.max_pending {
            Some(CloseReason::Stalled)
        } else if pending > 0 && pending >= pool.share() && pool.is_scarce() {
            Some(CloseReason::NoMemory)
        } else {
            None
        }
    }

    /// Connects to `target`, from the address `local` if one is given. `tag` identifies the connection to its owner. The
    /// result of the handshake is an event.
    ///
    /// # Errors
    /// The error that [`Net::connect`] returns at once, or that there is no memory for a slot.
    pub fn connect<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        target: SocketAddr,
        local: Option<SocketAddr>,
        tag: u32,
    ) -> io::Result<Key> {
        let stream = reactor.net.connect(target, local)?;
        let session = self.common.protocol.session();
        let connection = Connection::connecting(session).tagged(tag);
        match reactor.insert(stream, connection, true) {
            Ok(key) => {
                self.common.pool.connection_opened();
                reactor.set_class(key, Classes::CONNECT);
                Ok(key)
            }
            Err((stream, error)) => {
                reactor.net.close(stream, Ending::Reset);
                Err(error)
            }
        }
    }

    /// Opens the session of a connection that was accepted, and starts its timer.
    pub fn open<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let Borrowed { slot, now, .. } = reactor.borrow(key)?;
        self.common.pool.connection_opened();
        let mut cx = self.context(key, now);
        if let Err(reason) = slot.tenant.greet(&mut slot.stream, &mut cx) {
            return Some(reason);
        }
        if slot.tenant.is_caught_up() {
            // The usual case: the session wrote nothing, or the kernel accepted all output.
            reactor.set_class(key, Classes::IDLE);
            return None;
        }
        let outcome = slot.tenant.outcome_after_write();
        self.apply_outcome(reactor, key, outcome, Moved::default())
    }

    /// Removes a connection from the event loop, and closes its socket with FIN or RST, depending on the reason.
    pub fn close<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        reason: CloseReason,
    ) -> Option<Closed> {
        let connection = &reactor.find(key)?.tenant;
        let ending = connection.ending(reason, &self.common.pool);
        if P::Session::HOLDS_BYTES && reason.ending() == Ending::Fin {
            let Borrowed { slot, now, .. } = reactor.borrow(key)?;
            let mut cx = self.context(key, now);
            // Without effect if it was sent, or cannot be.
            let _ = slot.tenant.before_fin(&mut slot.stream, &mut cx);
        }
        self.close_with(reactor, key, reason, ending)
    }

    /// As [`close`](Driver::close), with the given [`Ending`]. The only place where connections close.
    pub fn close_with<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        reason: CloseReason,
        ending: Ending,
    ) -> Option<Closed> {
        reactor.net.note(key, Note::Closing(reason.number()));
        let connection = reactor.remove(key, ending)?;
        if self.least_rate.is_some() {
            self.end_measurement(key);
        }
        let pending_output = connection.pending_output(&self.common.pool);
        self.common.pool.connection_closed(connection.buffers);
        Some(Closed {
            reason,
            tag: connection.tag,
            pending_output,
            bytes_in: connection.bytes_in(),
            bytes_out: connection.bytes_out(),
            error: self.common.last_error.take(),
        })
    }
}

/// Takes a note of what a connection waits for, and of its change from one class of deadlines to another.
#[cold]
#[inline(never)]
fn note_outcome<N: Net>(net: &mut N, key: Key, outcome: Outcome, (before, class): (Class, Class)) {
    match outcome {
        Outcome::Again => net.note(key, Note::BudgetUsed),
        Outcome::Memory => net.note(key, Note::WaitsForMemory),
        Outcome::RecordReady => net.note(key, Note::RecordHeld),
        Outcome::Input | Outcome::Event | Outcome::Closed(_) => {}
    }
    let before = Classes::base(before);
    if before != class {
        if class == Classes::STALLED {
            net.note(key, Note::OutputPending);
        } else if before == Classes::STALLED {
            net.note(key, Note::OutputSent);
        }
    }
}

/// A connection that has closed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Why it ended.
    pub reason: CloseReason,
    /// The number that its owner had set ([`Connection::tagged`]).
    pub tag: u32,
    /// Bytes of output that the kernel had not accepted.
    pub pending_output: usize,
    /// Bytes received from the peer.
    pub bytes_in: u64,
    /// Bytes that the kernel accepted for the peer.
    pub bytes_out: u64,
    /// The error that ended the connection, if there was one.
    pub error: Option<io::Error>,
}
