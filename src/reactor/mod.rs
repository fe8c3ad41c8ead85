//! The event loop: wait for events, handle them, expire deadlines, run the run queue.
//!
//! The loop stores the connections ([slots](Slot)), their deadlines, and the run queue: the connections that continue
//! in the next iteration without an event. It contains no protocol and no policy, and reads no byte: it calls a
//! [`Handler`].

mod deadlines;
mod key_queue;
mod list;
mod saved;
mod scratch;
mod slots;
#[cfg(test)]
mod tests;

pub use deadlines::{CLASSES, Class, TICK};
pub(crate) use key_queue::KeyQueue;
pub(crate) use list::{Linked, Links, List};
pub use saved::SavedSlot;
pub use scratch::{SCRATCH_SIZE, Scratch, scratch};
pub use slots::Slot;

use crate::memory::{OutOfMemory, slab_entry_size};
use crate::net::{Ending, Key, Net, Readiness, Ready, Source, Time};
use deadlines::Tick;
use slots::{Flags, Slots};
use std::io;
use std::time::Duration;

/// The most deadlines that expire in one iteration, so that many at the same time do not delay other connections.
const DEADLINES_PER_ITERATION: usize = 32;

/// The most connections of the run queue that run in one iteration, for the same reason.
const RUNS_PER_ITERATION: usize = 256;

/// Handles events. Each method may call any method of the loop.
pub trait Handler<N: Net, T> {
    /// A connection is ready; or, with [`Readiness::NONE`], it was in the run queue.
    fn ready(&mut self, reactor: &mut Reactor<N, T>, key: Key, readiness: Readiness);

    /// A connection's deadline has passed. The handler must remove the connection, change its class or restart its
    /// timer, or the loop reports it in every iteration. Input may have arrived whose event is still queued in the
    /// kernel.
    fn expired(&mut self, reactor: &mut Reactor<N, T>, key: Key);

    /// A listener or another source is ready.
    fn source_ready(&mut self, reactor: &mut Reactor<N, T>, source: Source);

    /// The time of the next iteration, even if there is no event before.
    fn wake_at(&self) -> Option<Time>;
}

/// What a handler needs to drive one connection, borrowed separately.
pub struct Borrowed<'a, N: Net, T> {
    /// The connection's slot.
    pub slot: &'a mut Slot<N::Stream, T>,
    /// The buffer to read into.
    pub scratch: &'a mut Scratch,
    /// The time at which this iteration began.
    pub now: Time,
    tick: &'a Tick,
}

impl<N: Net, T> Borrowed<'_, N, T> {
    /// Whether the connection's timer was started in this tick. Always false without a class, and during a recheck: a
    /// byte that moves must end the recheck, even in the tick in which it began.
    #[inline]
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.slot.timer_start == *self.tick && self.slot.flags.is_empty()
    }
}

/// The event loop of one thread. Each connection has a tenant of type `T`.
pub struct Reactor<N: Net, T> {
    /// The network and the clock.
    pub net: N,
    slots: Slots<N::Stream, T>,
    run_queue: KeyQueue,
    ready: Vec<Ready>,
    scratch: Box<Scratch>,
    spin: Duration,
    now: Time,
    tick: Tick,
    /// Allocations fail, for a test.
    is_out_of_memory: bool,
}

impl<N: Net, T> Reactor<N, T> {
    /// The bytes of memory that each connection takes here.
    pub const SLOT_SIZE: usize = slab_entry_size::<Slot<N::Stream, T>>();

    /// Creates a loop on `net`. `timeouts` are those of the classes of deadlines, by index. The loop polls for the
    /// duration `spin` before it blocks.
    pub fn new(net: N, timeouts: [Option<Duration>; CLASSES], spin: Duration) -> Self {
        let now = net.now();
        Reactor {
            net,
            slots: Slots::new(timeouts),
            run_queue: KeyQueue::default(),
            ready: Vec::new(),
            scratch: scratch(),
            spin,
            now,
            tick: Tick::of(now),
            is_out_of_memory: false,
        }
    }

    /// Makes the allocation of slots and queue entries fail, or succeed again. For tests.
    #[doc(hidden)]
    pub fn set_out_of_memory(&mut self, is_out_of_memory: bool) {
        self.is_out_of_memory = is_out_of_memory;
    }

    /// The next connection gets the serial number after this one. For tests.
    #[doc(hidden)]
    pub fn set_last_serial(&mut self, serial: u32) {
        self.slots.last_serial = serial;
    }

    /// The time at which this iteration began.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.slots.slab.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.slots.slab.is_empty()
    }

    /// An upper bound of the indices of all slots: with [`key_at`](Reactor::key_at), the range in which to visit all
    /// connections.
    pub fn slots_end(&self) -> usize {
        self.slots.slab.capacity()
    }

    /// The key of the connection in the slot at `index`, if there is one.
    pub fn key_at(&self, index: usize) -> Option<Key> {
        self.slots.key_at(index)
    }

    /// Inserts a stream into a slot and registers it for events; with `writable`, also for space for output.
    ///
    /// # Errors
    /// The stream, and the reason: no memory for a slot, or the error of the selector.
    pub fn insert(
        &mut self,
        stream: N::Stream,
        tenant: T,
        writable: bool,
    ) -> Result<Key, (N::Stream, io::Error)> {
        let key = match self.slots.next_key() {
            Ok(key) if !self.is_out_of_memory => key,
            _ => return Err((stream, io::ErrorKind::OutOfMemory.into())),
        };
        if let Err(error) = self.net.register(&stream, key, writable) {
            return Err((stream, error));
        }
        self.slots.insert(key, stream, tenant);
        Ok(key)
    }

    /// Removes a connection, closes its stream and returns its tenant.
    pub fn remove(&mut self, key: Key, ending: Ending) -> Option<T> {
        let slot = self.slots.remove(key)?;
        self.net.close(slot.stream, ending);
        Some(slot.tenant)
    }

    /// The slot of `key`, unless its connection has closed.
    #[inline]
    pub fn find(&mut self, key: Key) -> Option<&mut Slot<N::Stream, T>> {
        self.slots.find(key)
    }

    /// The slot of `key`, and the network.
    pub fn slot_and_net(&mut self, key: Key) -> Option<(&mut Slot<N::Stream, T>, &mut N)> {
        let slot = self.slots.find(key)?;
        Some((slot, &mut self.net))
    }

    /// The slot of `key`, and what a handler needs to drive it.
    #[inline]
    pub fn borrow(&mut self, key: Key) -> Option<Borrowed<'_, N, T>> {
        let slot = self.slots.find(key)?;
        Some(Borrowed {
            tick: &self.tick,
            slot,
            scratch: &mut self.scratch,
            now: self.now,
        })
    }

    /// Registers a connection for events about space for output, too.
    ///
    /// # Errors
    /// The error of the selector.
    pub fn watch_writable(&mut self, key: Key) -> io::Result<()> {
        match self.slots.find(key) {
            Some(slot) => self.net.watch_writable(&slot.stream, key),
            None => Ok(()),
        }
    }

    /// Moves a connection into a class of deadlines to be rechecked, and restarts its timer. A byte that moves
    /// afterwards, even in the same tick, must end the recheck.
    pub fn recheck(&mut self, key: Key, class: Class) {
        self.set_class(key, class);
        if let Some(slot) = self.slots.find(key) {
            slot.flags |= Flags::RECHECKED;
        }
    }

    /// Moves a connection into a class of deadlines, and restarts its timer.
    pub fn set_class(&mut self, key: Key, class: Class) {
        if let Some(slot) = self.slots.find(key) {
            slot.flags -= Flags::RECHECKED;
            self.slots.enter(key.slot, class, self.tick);
        }
    }

    /// Whether the deadline of a connection has passed.
    pub fn is_expired(&self, key: Key) -> bool {
        self.slots.is_expired(key, self.now)
    }

    /// The time since a connection's timer was started, at least; zero without a timer.
    pub fn timer_age(&self, key: Key) -> Duration {
        let slot = self.slots.get(key);
        slot.map_or(Duration::ZERO, |slot| {
            self.now.since(slot.timer_start.end())
        })
    }

    /// The number of connections in a class that has a timeout.
    pub fn armed(&self, class: Class) -> usize {
        self.slots.deadlines.armed(class)
    }

    /// When the next iteration is due without an event, if `wake_at` is the time that the handler requires. In the past:
    /// at once.
    pub fn due(&self, wake_at: Option<Time>) -> Option<Time> {
        if !self.run_queue.is_empty() {
            return Some(Time::ZERO);
        }
        let deadline = self.slots.next_deadline();
        deadline.into_iter().chain(wake_at).min()
    }

    /// The timeout of a class, if it has one.
    pub fn timeout(&self, class: Class) -> Option<Duration> {
        self.slots.deadlines.timeout(class)
    }

    /// Restarts a connection's timer, unless it was started in this tick.
    #[inline]
    pub fn touch(&mut self, key: Key) {
        self.slots.touch(key.slot, self.tick);
    }

    /// Runs a connection in the next iteration without an event.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the run queue cannot grow.
    pub fn run_again(&mut self, key: Key) -> Result<(), OutOfMemory> {
        if self.slots.find(key).is_none_or(|slot| slot.is_queued()) {
            return Ok(());
        }
        if self.is_out_of_memory {
            return Err(OutOfMemory);
        }
        let slots = &self.slots;
        let is_live = |key| slots.get(key).is_some();
        self.run_queue.push(key, slots.slab.len(), is_live)?;
        if let Some(slot) = self.slots.find(key) {
            slot.flags |= Flags::QUEUED;
        }
        Ok(())
    }

    /// Appends a connection to a queue.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the queue cannot grow.
    pub(crate) fn enqueue(&self, queue: &mut KeyQueue, key: Key) -> Result<(), OutOfMemory> {
        let slots = &self.slots;
        queue.push(key, slots.slab.len(), |key| slots.get(key).is_some())
    }

    /// The number of events in this iteration.
    pub fn events(&self) -> usize {
        self.ready.len()
    }

    /// Runs one iteration. Connections are handled before listeners, so established clients have priority over new
    /// ones.
    ///
    /// # Errors
    /// The error of the selector; the loop cannot continue.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn run_iteration(&mut self, handler: &mut impl Handler<N, T>) -> io::Result<()> {
        self.wait(handler.wake_at())?;
        // Connections that are queued during this iteration run in the next.
        let again = self.run_queue.len();
        let ready = std::mem::take(&mut self.ready);
        let mut sources = false;
        for event in &ready {
            if event.key.source().is_some() {
                sources = true;
            } else {
                handler.ready(self, event.key, event.readiness);
            }
        }
        self.ready = ready;
        self.fire_deadlines(handler);
        self.run_queued(again, handler);
        if sources {
            self.handle_sources(handler);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn handle_sources(&mut self, handler: &mut impl Handler<N, T>) {
        let ready = std::mem::take(&mut self.ready);
        for source in ready.iter().filter_map(|event| event.key.source()) {
            handler.source_ready(self, source);
        }
        self.ready = ready;
    }

    /// Waits for events or the next deadline, and reads the clock.
    fn wait(&mut self, wake_at: Option<Time>) -> io::Result<()> {
        if !self.run_queue.is_empty() {
            return self.poll(Some(Duration::ZERO));
        }
        let due = self.slots.next_deadline();
        let due = due.into_iter().chain(wake_at).min();
        if self.spin > Duration::ZERO && self.busy_poll(due)? {
            return Ok(());
        }
        let timeout = due.map(|due| due.since(self.net.now()));
        self.poll(timeout)
    }

    /// Polls without blocking for the duration `spin`; true if there was an event or `due` has come.
    fn busy_poll(&mut self, due: Option<Time>) -> io::Result<bool> {
        let end = self.net.now() + self.spin;
        loop {
            self.poll(Some(Duration::ZERO))?;
            if !self.ready.is_empty() || due.is_some_and(|due| due <= self.now) {
                return Ok(true);
            }
            if self.now >= end {
                return Ok(false);
            }
        }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.net.wait(timeout, &mut self.ready)?;
        self.now = self.net.now();
        self.tick = Tick::of(self.now);
        Ok(())
    }

    fn fire_deadlines(&mut self, handler: &mut impl Handler<N, T>) {
        for _ in 0..DEADLINES_PER_ITERATION {
            match self.slots.expired(self.now) {
                Some(key) => handler.expired(self, key),
                None => return,
            }
        }
    }

    fn run_queued(&mut self, mut count: usize, handler: &mut impl Handler<N, T>) {
        let mut runs = 0;
        while count > 0 && runs < RUNS_PER_ITERATION {
            count -= 1;
            let Some(key) = self.run_queue.pop() else {
                return;
            };
            // The key of a closed connection does not count as a run, or such keys could accumulate.
            if let Some(slot) = self.slots.find(key) {
                slot.flags -= Flags::QUEUED;
                handler.ready(self, key, Readiness::NONE);
                runs += 1;
            }
        }
    }
}
