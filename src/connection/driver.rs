//! Connections on a reactor: what server and clients do alike with whoever is ready.

mod eviction;
mod expiry;
mod records;

use super::{Classes, CloseReason, Common, Connection, Outcome, Workbench};
use crate::net::{Ending, Key, MioNet, Net, Readiness, Time};
use crate::protocol::{Outbox, Protocol, RawSession, Session};
use crate::reactor::{Borrowed, Reactor, Slot};
use eviction::Eviction;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// A reactor whose tenants are connections that speak `P`.
pub type Connections<N, P> = Reactor<N, Connection<<P as Protocol>::Session>>;

/// As the slab stores a slot: an index of the next vacant one, or what is there.
#[expect(dead_code, reason = "only its size is of interest")]
enum SlabEntry<T> {
    Vacant(usize),
    Occupied(T),
}

// What a connection costs while it is idle. A million of these are to fit where tokio keeps thirteen thousand.
const _: () = {
    type RawSlot = Slot<<MioNet as Net>::Stream, Connection<RawSession>>;
    assert!(size_of::<SlabEntry<RawSlot>>() <= 56);
};

/// Drives connections, and sees to what they then wait for.
#[derive(Debug)]
pub struct Driver<P> {
    /// What all connections share.
    pub common: Common<P>,
    gathered: Vec<u8>,
    /// The connections whose record waits to be taken, in the order in which their peers' FINs came.
    pub(super) records: VecDeque<Key>,
    eviction: Eviction,
}

impl<P: Protocol> Driver<P> {
    /// For connections that share `common`.
    pub fn new(common: Common<P>) -> Driver<P> {
        Driver {
            common,
            gathered: Vec::new(),
            records: VecDeque::new(),
            eviction: Eviction::default(),
        }
    }

    /// What a connection works with in this turn.
    #[inline]
    fn bench(&mut self, key: Key, now: Time) -> Workbench<'_, P> {
        Workbench {
            key,
            now,
            used: 0,
            common: &mut self.common,
            gathered: &mut self.gathered,
        }
    }

    /// Drives the connection that `key` names, if it is still there. Gives back why it has ended, if it has; then
    /// [`close`](Driver::close) is to be called.
    #[expect(clippy::inline_always, reason = "on the way of every byte")]
    #[inline(always)]
    pub fn drive<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        readiness: Readiness,
    ) -> Option<CloseReason> {
        let Borrowed {
            slot,
            scratch,
            now,
            touched,
        } = reactor.borrow(key)?;
        if !touched || slot.is_queued_or_rechecked() {
            return self.drive_seldom(reactor, key, readiness);
        }
        let mut bench = self.bench(key, now);
        let connection = &mut slot.tenant;
        let outcome = connection.drive(&mut slot.stream, readiness, scratch, &mut bench);
        if outcome == Outcome::Input {
            debug_assert_eq!(
                Classes::base(slot.class()),
                slot.tenant.class(),
                "it was settled before"
            );
            return None;
        }
        // Its time has been started anew in this tick already.
        self.settle(reactor, key, outcome, false)
    }

    /// Drives a connection for the first time in a tick, or one whose turn comes in any case.
    #[cold]
    #[inline(never)]
    fn drive_seldom<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        readiness: Readiness,
    ) -> Option<CloseReason> {
        let slot = reactor.find(key)?;
        if slot.is_queued() {
            // Nobody has two turns in one.
            slot.tenant.note(readiness);
            return None;
        }
        self.drive_now(reactor, key, readiness)
    }

    /// Drives a connection whether it is queued to be run again or not.
    fn drive_now<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        readiness: Readiness,
    ) -> Option<CloseReason> {
        let Borrowed {
            slot, scratch, now, ..
        } = reactor.borrow(key)?;
        let connection = &mut slot.tenant;
        let before = (connection.bytes_in(), connection.bytes_out());
        let mut bench = self.bench(key, now);
        let outcome = connection.drive(&mut slot.stream, readiness, scratch, &mut bench);
        let starts_anew = starts_anew(connection, before);
        self.settle(reactor, key, outcome, starts_anew)
    }

    /// Sees to it that the connection gets what it waits for. With `starts_anew`, so does its time, within its class.
    #[cold]
    #[inline(never)]
    fn settle<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        outcome: Outcome,
        starts_anew: bool,
    ) -> Option<CloseReason> {
        let slot = reactor.find(key)?;
        let watches = slot.tenant.begins_to_watch_writable();
        let waits = match outcome {
            Outcome::Closed(reason) => return Some(reason),
            Outcome::Turn => reactor.run_again(key),
            Outcome::Memory if slot.tenant.begins_to_wait_for_memory() => {
                self.common.pool.wait(key)
            }
            Outcome::Taker if slot.tenant.begins_to_wait_for_taker() => self.queue_record(key),
            Outcome::Input | Outcome::Event | Outcome::Memory | Outcome::Taker => Ok(()),
        };
        let slot = reactor.find(key)?;
        let class = slot.tenant.class();
        // One that lingers only drops what comes; it need not be read on, since its deadline ends it in any case.
        if waits.is_err() && class != Classes::LINGER {
            return Some(CloseReason::NoMemory);
        }
        let changes_class = class != Classes::base(slot.class());
        // A byte has moved, so a connection that is looked at more often is again as any other.
        let ends_rechecks = starts_anew && class != slot.class();
        if changes_class || ends_rechecks {
            reactor.set_class(key, class);
        } else if starts_anew {
            reactor.touch(key);
        }
        if watches && let Err(error) = reactor.watch_writable(key) {
            self.common.last_error = Some(error);
            return Some(CloseReason::NoMemory);
        }
        None
    }

    /// Gives a turn to connections that wait for memory, as many as there may be room for. To be called once a turn.
    ///
    /// Gives back one that has ended meanwhile, and why. Its owner is to close it, and then to call this once more for
    /// those behind it.
    pub fn admit_waiting<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
    ) -> Option<(Key, CloseReason)> {
        if !self.common.pool.is_waited_for() {
            return None;
        }
        if self.common.pool.is_overgrown(reactor.len()) {
            let pool = &mut self.common.pool;
            pool.keep_waiting(|key| reactor.find(*key).is_some());
        }
        let read_size = self.common.read_size;
        let mut places = self.common.pool.places(read_size);
        while places > 0 {
            let key = self.common.pool.next_waiting()?;
            // One that has closed takes no place. If it did, the last of those who wait could be left to wait for ever.
            if let Some(slot) = reactor.find(key) {
                places -= 1;
                slot.tenant.ends_to_wait_for_memory();
                let class = slot.tenant.class();
                if class != Classes::base(slot.class()) {
                    // One that owes has waited for its peer all the while: that time goes on.
                    reactor.set_class(key, class);
                }
                if reactor.run_again(key).is_err() {
                    // Without memory to remember it, it has its turn now: it would never be heard of again. And since
                    // no turn need come then, those behind it have theirs too, as far as there is still room.
                    if let Some(reason) = self.drive_seldom(reactor, key, Readiness::NONE) {
                        return Some((key, reason));
                    }
                    places = self.common.pool.places(read_size);
                }
            }
        }
        None
    }

    /// Says something on a connection from outside, as a client does; see [`Connection::write`].
    pub fn write<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        say: impl FnOnce(&mut Outbox<'_>),
    ) -> Option<CloseReason> {
        let Borrowed {
            slot, now, touched, ..
        } = reactor.borrow(key)?;
        let before = (slot.tenant.bytes_in(), slot.tenant.bytes_out());
        let mut bench = self.bench(key, now);
        bench.becomes_holder();
        match slot.tenant.write(&mut slot.stream, &mut bench, say) {
            // The kernel took it at once, and its time has been started anew in this tick already.
            Ok(_) if touched && slot.tenant.is_caught_up() && slot.class() == Classes::IDLE => None,
            Ok(_) => {
                let outcome = after_a_word(&slot.tenant);
                let starts_anew = starts_anew(&slot.tenant, before);
                self.settle(reactor, key, outcome, starts_anew)
            }
            Err(reason) => Some(reason),
        }
    }

    /// Says that nothing more will be said on a connection; see [`Connection::half_close`].
    pub fn half_close<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let Borrowed { slot, now, .. } = reactor.borrow(key)?;
        let mut bench = self.bench(key, now);
        bench.becomes_holder();
        slot.tenant.half_close(&mut slot.stream, &mut bench).err()
    }

    /// Begins a connection to `target`, from the address `local` if one is given. Its owner finds `tag` on it again when
    /// it has ended. How it comes out is seen when it is driven.
    ///
    /// # Errors
    /// What [`Net::connect`] says at once, or that there is no memory for a slot.
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

    /// Opens the session of a connection that was accepted, and starts its deadlines.
    pub fn open<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let Borrowed { slot, now, .. } = reactor.borrow(key)?;
        self.common.pool.connection_opened();
        let mut bench = self.bench(key, now);
        bench.becomes_holder();
        if let Err(reason) = slot.tenant.greet(&mut slot.stream, &mut bench) {
            return Some(reason);
        }
        if slot.tenant.is_caught_up() {
            // As most are: nothing was said, or the kernel took it.
            reactor.set_class(key, Classes::IDLE);
            return None;
        }
        let outcome = after_a_word(&slot.tenant);
        self.settle(reactor, key, outcome, false)
    }

    /// Takes a connection out of the loop and closes its socket, as is fit for the reason.
    pub fn close<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        reason: CloseReason,
    ) -> Option<Closed> {
        let ending = reactor.find(key)?.tenant.ending(reason);
        self.close_with(reactor, key, reason, ending)
    }

    /// As [`close`](Driver::close), in a way of the caller's choice. The one place where connections end.
    pub fn close_with<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        reason: CloseReason,
        ending: Ending,
    ) -> Option<Closed> {
        let connection = &mut reactor.find(key)?.tenant;
        connection.release(&mut self.common.pool);
        self.common.pool.connection_closed();
        let closed = Closed {
            reason,
            tag: connection.tag,
            bytes_in: connection.bytes_in(),
            bytes_out: connection.bytes_out(),
            error: self.common.last_error.take(),
        };
        reactor.remove(key, ending)?;
        Some(closed)
    }
}

/// Whether a connection's time starts anew within its class, since it had read and sent this many bytes `before`.
fn starts_anew<S: Session>(connection: &Connection<S>, before: (u64, u64)) -> bool
where
    S::Shared: Protocol<Session = S>,
{
    let moved_out = connection.bytes_out() != before.1;
    match connection.class() {
        Classes::IDLE => moved_out || connection.bytes_in() != before.0,
        Classes::STALLED => moved_out,
        _ => false,
    }
}

/// What a connection waits for when its session has spoken without having been driven.
fn after_a_word<S: Session>(connection: &Connection<S>) -> Outcome
where
    S::Shared: Protocol<Session = S>,
{
    if connection.is_to_end_now() {
        Outcome::Turn
    } else {
        Outcome::Event
    }
}

/// What is to be said of a connection when it has ended.
#[derive(Debug)]
pub struct Closed {
    /// Why it ended.
    pub reason: CloseReason,
    /// The number that its owner had given it ([`Connection::tagged`]).
    pub tag: u32,
    /// Bytes read from it.
    pub bytes_in: u64,
    /// Bytes that the kernel took for it.
    pub bytes_out: u64,
    /// The error that ended it, if it was one.
    pub error: Option<io::Error>,
}
