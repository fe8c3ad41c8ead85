//! The loop: wait, handle what is ready, fire deadlines, run what asked to be run again.
//!
//! It knows who is where (slots), who is due when (deadlines), and whose turn is not over (the run queue). It knows no
//! protocol, reads no byte and decides nothing: a [`Handler`] is told, and does what is to be done.

mod deadlines;
mod key_queue;
mod slots;
#[cfg(test)]
mod tests;

pub use deadlines::{CLASSES, Class, TICK};
pub use key_queue::KeyQueue;
pub use slots::Slot;

use crate::memory::OutOfMemory;
use crate::net::{Ending, Key, Net, Readiness, Ready, Source, Time};
use deadlines::{Deadlines, Tick};
use slots::{QUEUED, RECHECKED, Slots};
use std::io;
use std::time::Duration;

/// The size in bytes of the buffer that all connections read into.
pub const SCRATCH_SIZE: usize = 64 * 1024;

/// The buffer that all connections read into.
pub type Scratch = [u8; SCRATCH_SIZE];

/// A new buffer to read into.
#[must_use]
#[expect(
    clippy::large_stack_arrays,
    reason = "made once, by a thread that has megabytes"
)]
pub fn scratch() -> Box<Scratch> {
    Box::new([0; SCRATCH_SIZE])
}

/// How many deadlines one turn fires at most, so that many that fall due together do not hold up everybody else.
const DEADLINES_PER_TURN: usize = 32;

/// How many entries of the run queue have their turn within one turn of the loop, for the same reason.
const RUNS_PER_TURN: usize = 256;

/// Who handles what the loop finds. Each method may do with the loop what it likes.
pub trait Handler<N: Net, T> {
    /// A connection is ready; or, with [`Readiness::NONE`], it is its turn again.
    fn ready(&mut self, reactor: &mut Reactor<N, T>, key: Key, readiness: Readiness);

    /// A connection's deadline has passed. It must leave its class or its timer must restart, or the loop will report it
    /// again and again. Its input may not have been read yet: events may still be queued in the kernel.
    fn expired(&mut self, reactor: &mut Reactor<N, T>, key: Key);

    /// A listener or another source is ready, or it is its turn again.
    fn source_ready(&mut self, reactor: &mut Reactor<N, T>, source: Source);

    /// When the handler wants a turn even if nothing happens.
    fn wake_at(&self) -> Option<Time>;
}

/// What is needed to drive one connection, borrowed apart.
pub struct Borrowed<'a, N: Net, T> {
    /// The connection's slot.
    pub slot: &'a mut Slot<N::Stream, T>,
    /// The buffer to read into.
    pub scratch: &'a mut Scratch,
    /// When this turn began.
    pub now: Time,
    tick: &'a Tick,
}

impl<N: Net, T> Borrowed<'_, N, T> {
    /// Whether the connection's timer was restarted in this tick already. Never true while it is in no class, nor while
    /// it is rechecked: a byte ends the rechecks, also in the tick in which they began.
    #[inline]
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.slot.link.is_since(*self.tick) && self.slot.marks == 0
    }
}

/// One thread's loop over many connections, with a tenant of type `T` in each slot.
pub struct Reactor<N: Net, T> {
    /// The world that the loop waits on.
    pub net: N,
    slots: Slots<N::Stream, T>,
    deadlines: Deadlines,
    run_queue: KeyQueue,
    /// Sources to handle in the next iteration without an event, each once.
    source_queue: Vec<Source>,
    ready: Vec<Ready>,
    scratch: Box<Scratch>,
    spin: Duration,
    now: Time,
    tick: Tick,
    refuses: bool,
}

impl<N: Net, T> Reactor<N, T> {
    /// A loop over `net`. `timeouts` are the lengths of the classes of deadlines, by index; `spin` is for how long to
    /// poll without sleeping before each sleep.
    pub fn new(net: N, timeouts: [Option<Duration>; CLASSES], spin: Duration) -> Self {
        let now = net.now();
        Reactor {
            net,
            slots: Slots::new(),
            deadlines: Deadlines::new(timeouts),
            run_queue: KeyQueue::default(),
            source_queue: Vec::new(),
            ready: Vec::new(),
            scratch: scratch(),
            spin,
            now,
            tick: Tick::of(now),
            refuses: false,
        }
    }

    /// From now on grants no memory for a slot or for another turn, as if the machine had none left, or does again. For
    /// tests, which cannot make a machine run out of it.
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// The next connection gets the number after this one. For tests.
    pub fn number_after(&mut self, serial: u32) {
        self.slots.number_after(serial);
    }

    /// When this turn began.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    /// An index that every slot lies below; with [`key_at`](Reactor::key_at), to visit all connections in steps.
    pub fn slots_end(&self) -> usize {
        self.slots.end()
    }

    /// The key of the connection in the slot at `index`, if there is one.
    pub fn key_at(&self, index: usize) -> Option<Key> {
        self.slots.key_at(index)
    }

    /// Gives a stream a slot, and asks for its events; with `writable`, also for room for output.
    ///
    /// # Errors
    /// The stream and why it was not taken: no memory for a slot, or the selector's words.
    pub fn insert(
        &mut self,
        stream: N::Stream,
        tenant: T,
        writable: bool,
    ) -> Result<Key, (N::Stream, io::Error)> {
        let key = match self.slots.next_key() {
            Ok(key) if !self.refuses => key,
            _ => return Err((stream, io::ErrorKind::OutOfMemory.into())),
        };
        if let Err(error) = self.net.register(&stream, key, writable) {
            return Err((stream, error));
        }
        self.slots.insert(key, stream, tenant);
        Ok(key)
    }

    /// Closes a connection's stream and gives its tenant back.
    pub fn remove(&mut self, key: Key, ending: Ending) -> Option<T> {
        self.slots.find(key)?;
        self.deadlines.leave(&mut self.slots, key.slot);
        let slot = self.slots.remove(key)?;
        self.net.close(slot.stream, ending);
        Some(slot.tenant)
    }

    /// The slot that `key` names, unless its connection is gone.
    #[inline]
    pub fn find(&mut self, key: Key) -> Option<&mut Slot<N::Stream, T>> {
        self.slots.find(key)
    }

    /// The slot that `key` names, and the world beside it.
    pub fn find_with_net(&mut self, key: Key) -> Option<(&mut Slot<N::Stream, T>, &mut N)> {
        let slot = self.slots.find(key)?;
        Some((slot, &mut self.net))
    }

    /// The slot that `key` names, and what is needed to drive it.
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

    /// Asks for events about room for output too.
    ///
    /// # Errors
    /// What the selector says.
    pub fn watch_writable(&mut self, key: Key) -> io::Result<()> {
        match self.slots.find(key) {
            Some(slot) => self.net.watch_writable(&slot.stream, key),
            None => Ok(()),
        }
    }

    /// Puts a connection into a class of deadlines, in which it is rechecked; its timer starts now. A byte that moves
    /// afterwards, even in the same tick, is to end the rechecks.
    pub fn recheck(&mut self, key: Key, class: Class) {
        self.set_class(key, class);
        if let Some(slot) = self.slots.find(key) {
            slot.marks |= RECHECKED;
        }
    }

    /// Puts a connection into a class of deadlines; its time starts now.
    pub fn set_class(&mut self, key: Key, class: Class) {
        if let Some(slot) = self.slots.find(key) {
            slot.marks &= !RECHECKED;
            self.deadlines
                .enter(&mut self.slots, key.slot, class, self.tick);
        }
    }

    /// Restarts a connection's timer, whenever it was restarted last.
    pub fn restart_timer(&mut self, key: Key) {
        if let Some(slot) = self.slots.find(key) {
            let class = slot.class;
            self.set_class(key, class);
        }
    }

    /// Whether the deadline of a connection has passed.
    pub fn is_expired(&mut self, key: Key) -> bool {
        let now = self.now;
        let slot = self.slots.find(key);
        slot.is_some_and(|slot| self.deadlines.is_expired(slot, now))
    }

    /// For how long at least a connection's timer has not restarted; zero for one that has none.
    pub fn quiet_for(&mut self, key: Key) -> Duration {
        let now = self.now;
        let slot = self.slots.find(key);
        slot.map_or(Duration::ZERO, |slot| now.since(slot.link.started_before()))
    }

    /// The timeout of a class; `None` if its connections have no deadline.
    pub fn timeout(&self, class: Class) -> Option<Duration> {
        self.deadlines.timeout(class)
    }

    /// Starts a connection's time anew, within its class.
    #[inline]
    pub fn touch(&mut self, key: Key) {
        self.deadlines.touch(&mut self.slots, key.slot, self.tick);
    }

    /// Runs a connection in the next iteration without an event, because none need come.
    ///
    /// # Errors
    /// There is no memory to remember it.
    pub fn run_again(&mut self, key: Key) -> Result<(), OutOfMemory> {
        match self.slots.find(key) {
            Some(slot) if slot.is_queued() => return Ok(()),
            None => return Ok(()),
            Some(_) if self.refuses => return Err(OutOfMemory),
            Some(slot) => slot.marks |= QUEUED,
        }
        let mut queue = std::mem::take(&mut self.run_queue);
        let queued = self.enqueue(&mut queue, key);
        self.run_queue = queue;
        if let (Err(_), Some(slot)) = (queued, self.slots.find(key)) {
            slot.marks &= !QUEUED;
        }
        queued
    }

    /// Appends a connection to a queue.
    ///
    /// # Errors
    /// There is no memory to remember it.
    pub fn enqueue(&self, queue: &mut KeyQueue, key: Key) -> Result<(), OutOfMemory> {
        let slots = &self.slots;
        queue.push(key, slots.len(), |key| slots.contains(key))
    }

    /// Handles a source in the next iteration without an event, because none need come. It is handled once there,
    /// whether it has an event as well or not, so that its budget holds for each iteration.
    ///
    /// # Errors
    /// There is no memory to remember it.
    pub fn run_source_again(&mut self, source: Source) -> Result<(), OutOfMemory> {
        if self.source_queue.contains(&source) {
            return Ok(());
        }
        if self.refuses || self.source_queue.try_reserve(1).is_err() {
            return Err(OutOfMemory);
        }
        self.source_queue.push(source);
        Ok(())
    }

    /// One turn. Connections are handled before listeners, so that who is served goes before who wants to be.
    ///
    /// # Errors
    /// What the selector says; the loop cannot go on then.
    pub fn turn(&mut self, handler: &mut impl Handler<N, T>) -> io::Result<()> {
        self.wait(handler.wake_at())?;
        // Who asks to be run again in this turn is run again in the next.
        let again = self.run_queue.len();
        let ready = std::mem::take(&mut self.ready);
        let mut sources = !self.source_queue.is_empty();
        for event in &ready {
            if event.key.source().is_some() {
                sources = true;
            } else {
                handler.ready(self, event.key, event.readiness);
            }
        }
        self.fire_deadlines(handler);
        self.run_queued(again, handler);
        if sources {
            self.handle_sources(&ready, handler);
        }
        self.ready = ready;
        Ok(())
    }

    /// Handles each source that has an event or was to be handled again, once.
    fn handle_sources(&mut self, ready: &[Ready], handler: &mut impl Handler<N, T>) {
        let queued = std::mem::take(&mut self.source_queue);
        for source in &queued {
            handler.source_ready(self, *source);
        }
        for source in ready.iter().filter_map(|event| event.key.source()) {
            // What has arrived was there when the queued ones were handled, since the wait came before.
            if !queued.contains(&source) {
                handler.source_ready(self, source);
            }
        }
    }

    /// Waits until something is ready or due, and reads the clock.
    fn wait(&mut self, wake_at: Option<Time>) -> io::Result<()> {
        if !self.run_queue.is_empty() || !self.source_queue.is_empty() {
            self.poll(Some(Duration::ZERO))?;
            return Ok(());
        }
        if self.spin > Duration::ZERO && self.spin_for_a_while(wake_at)? {
            return Ok(());
        }
        let due = self.deadlines.next(&mut self.slots);
        let due = due.into_iter().chain(wake_at).min();
        let timeout = due.map(|due| due.since(self.net.now()));
        self.poll(timeout)
    }

    /// Polls without sleeping; true when something was found or fell due.
    fn spin_for_a_while(&mut self, wake_at: Option<Time>) -> io::Result<bool> {
        let end = self.net.now() + self.spin;
        let due = self.deadlines.next(&mut self.slots);
        let due = due.into_iter().chain(wake_at).min();
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
        for _ in 0..DEADLINES_PER_TURN {
            match self.deadlines.expired(&mut self.slots, self.now) {
                Some(key) => handler.expired(self, key),
                None => return,
            }
        }
    }

    fn run_queued(&mut self, mut count: usize, handler: &mut impl Handler<N, T>) {
        let mut runs = 0;
        while count > 0 && runs < RUNS_PER_TURN {
            count -= 1;
            let Some(key) = self.run_queue.pop() else {
                return;
            };
            if let Some(slot) = self.slots.find(key) {
                slot.marks &= !QUEUED;
                handler.ready(self, key, Readiness::NONE);
            } else {
                // It has closed since. That costs no turn, or keys of the dead could pile up.
                continue;
            }
            runs += 1;
        }
    }
}
