//! Records what a network does: [`Traced`] wraps any [`Net`] and, once started, keeps its last events in a ring.
//!
//! A socket is four bytes in the slot of its connection, which has no space for a reference to the ring. So the ring of
//! the network that waited last is current in its thread, and maps the sockets to serial numbers. While no network
//! records, a read or a write only tests a counter.

mod current;
mod event;
mod ring;
mod stream;

pub use event::{Note, Opening, TraceEvent, TraceKind};
pub use ring::Ring;
pub use stream::{Numbered, TracedStream};

use super::{AcceptError, Ending, Key, ListenOptions, Net, Progress, Ready, Signal, Source, Time};
use current::SharedRing;
use std::cell::{Ref, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// A network that can record what it does.
///
/// It does not record until [`start`](Traced::start) is called.
pub struct Traced<N> {
    net: N,
    ring: Option<SharedRing>,
}

impl<N> Traced<N> {
    /// Wraps a network.
    pub fn new(net: N) -> Traced<N> {
        Traced { net, ring: None }
    }

    /// Starts to record, with at most `capacity` events; older ones are dropped and counted. `clock` is the time in
    /// terms of [`Net::now`]. A ring of 65,536 events takes 1.5 MiB.
    pub fn start(&mut self, capacity: usize, clock: impl Fn() -> Time + 'static) -> Recording {
        self.stop();
        let ring = Rc::new(RefCell::new(Ring::new(capacity, Box::new(clock))));
        current::begin(&ring);
        self.ring = Some(Rc::clone(&ring));
        Recording(ring)
    }

    /// Stops to record, and drops the events.
    pub fn stop(&mut self) {
        if let Some(ring) = self.ring.take() {
            current::end(&ring);
        }
    }

    /// What was recorded; `None` if it does not record.
    pub fn ring(&self) -> Option<Ref<'_, Ring>> {
        self.ring.as_ref().map(|ring| ring.borrow())
    }

    /// The network itself.
    pub fn inner(&self) -> &N {
        &self.net
    }

    /// The network itself.
    pub fn inner_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// Records an event that has no duration.
    #[inline]
    fn record(&self, serial: u32, kind: TraceKind) {
        if let Some(ring) = &self.ring {
            push_now(ring, serial, kind);
        }
    }
}

// Recording is not inlined: the code of each event loop would have a copy at each place.
#[cold]
#[inline(never)]
fn push_now(ring: &SharedRing, serial: u32, kind: TraceKind) {
    ring.borrow_mut().push_now(serial, kind);
}

#[cold]
#[inline(never)]
fn push_open(ring: &SharedRing, number: u32, key: Key) {
    ring.borrow_mut().record_open(number, key);
}

#[cold]
#[inline(never)]
fn push_close(ring: &SharedRing, number: u32, ending: Ending) {
    ring.borrow_mut().record_close(number, ending);
}

/// What a network has recorded, also after its end.
#[derive(Clone)]
pub struct Recording(SharedRing);

impl Recording {
    /// The events so far.
    #[must_use]
    pub fn ring(&self) -> Ref<'_, Ring> {
        self.0.borrow()
    }
}

impl<N> Drop for Traced<N> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cold]
#[inline(never)]
fn accept_recorded<N: Net>(
    net: &mut N,
    ring: &SharedRing,
    listener: &N::Listener,
) -> Result<(N::Stream, SocketAddr), AcceptError>
where
    N::Stream: Numbered,
{
    let start = ring.borrow().time();
    let accepted = net.accept_from(listener);
    let recorded = accepted.as_ref();
    let recorded = recorded.map(|(stream, peer)| (stream.number(), *peer));
    ring.borrow_mut().record_accept(start, recorded);
    accepted
}

impl<N: Net> Net for Traced<N>
where
    N::Stream: Numbered,
{
    type Listener = N::Listener;
    type Stream = TracedStream<N::Stream>;

    #[inline]
    fn now(&self) -> Time {
        self.net.now()
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let Some(ring) = &self.ring else {
            return self.net.wait(timeout, ready);
        };
        current::make_current(ring);
        let start = ring.borrow().time();
        self.net.wait(timeout, ready)?;
        ring.borrow_mut().record_wait(start, timeout, ready);
        Ok(())
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<N::Listener> {
        self.net.listen(options, source)
    }

    fn register_listener(&mut self, listener: &mut N::Listener, source: Source) -> io::Result<()> {
        self.net.register_listener(listener, source)
    }

    fn close_listener(&mut self, listener: N::Listener) {
        self.net.close_listener(listener);
    }

    fn local_addr(&self, listener: &N::Listener) -> io::Result<SocketAddr> {
        self.net.local_addr(listener)
    }

    fn accept_from(
        &mut self,
        listener: &N::Listener,
    ) -> Result<(Self::Stream, SocketAddr), AcceptError> {
        let accepted = match &self.ring {
            Some(ring) => accept_recorded(&mut self.net, ring, listener),
            None => self.net.accept_from(listener),
        };
        accepted.map(|(stream, peer)| (TracedStream(stream), peer))
    }

    fn accept(&mut self, listener: &N::Listener) -> Result<Self::Stream, AcceptError> {
        if self.ring.is_some() {
            // The addresses name the connections of the trace.
            return self.accept_from(listener).map(|(stream, _)| stream);
        }
        self.net.accept(listener).map(TracedStream)
    }

    fn has_waiting(&mut self, listener: &N::Listener) -> bool {
        self.net.has_waiting(listener)
    }

    fn connect(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Self::Stream> {
        let Some(ring) = &self.ring else {
            return self.net.connect(target, local).map(TracedStream);
        };
        let start = ring.borrow().time();
        let stream = self.net.connect(target, local)?;
        let number = stream.number();
        ring.borrow_mut().record_connect(start, number, target);
        Ok(TracedStream(stream))
    }

    fn register(&mut self, stream: &Self::Stream, key: Key, writable: bool) -> io::Result<()> {
        let registered = self.net.register(&stream.0, key, writable);
        if let (Ok(()), Some(ring)) = (&registered, &self.ring) {
            push_open(ring, stream.0.number(), key);
        }
        registered
    }

    fn watch_writable(&mut self, stream: &Self::Stream, key: Key) -> io::Result<()> {
        self.record(key.serial, TraceKind::WatchWritable);
        self.net.watch_writable(&stream.0, key)
    }

    fn progress(&mut self, stream: &Self::Stream) -> Option<Progress> {
        self.net.progress(&stream.0)
    }

    fn close(&mut self, stream: Self::Stream, ending: Ending) {
        if let Some(ring) = &self.ring {
            push_close(ring, stream.0.number(), ending);
        }
        self.net.close(stream.0, ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        let signal = self.net.take_signal();
        if let Some(signal) = signal {
            self.record(0, TraceKind::Signal(signal));
        }
        signal
    }

    #[inline]
    fn note(&mut self, key: Key, note: Note) {
        self.record(key.serial, TraceKind::Note(note));
    }

    #[inline]
    fn is_recording(&self) -> bool {
        self.ring.is_some()
    }
}

#[cfg(test)]
mod tests;
