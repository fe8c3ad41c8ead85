//! The contract of [`Net`]: the socket behaviour that the event loop relies on, tested on the kernel and on the
//! simulated network by the same functions. Any difference would invalidate the simulation.
//!
//! A test is written once, over [`Harness`], and runs on several backends: the kernel's sockets on loopback, the
//! simulated network with the guarantees of epoll, with and without send buffers, and the simulated network with only
//! the guarantees of mio.

mod backend;
mod closing;
mod connecting;
mod input;
mod listening;
mod output;
mod resets;
mod two_processes;
mod unacknowledged;

use backend::{Backend, Peer};
use echoloop::net::{AcceptError, Key, Net, Readiness, Ready, Source, Stream};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Defines a test on each backend for each of these functions over [`Harness`].
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        crate::contract::on_every_buffered_backend! { $($name),+ }
        mod simulated_unbuffered {
            use crate::contract::{Harness, backend::SimBackend};
            $(
                #[test]
                fn $name() {
                    super::$name(Harness::<SimBackend<true, false>>::new());
                }
            )+
        }
    };
}
use on_every_backend;

/// As `on_every_backend!`, except the backend without send buffers.
macro_rules! on_every_buffered_backend {
    ($($name:ident),+ $(,)?) => {
        mod kernel {
            use crate::contract::{Harness, backend::KernelBackend};
            $(
                #[test]
                fn $name() {
                    super::$name(Harness::<KernelBackend>::new());
                }
            )+
        }
        mod simulated {
            use crate::contract::{Harness, backend::SimBackend};
            $(
                #[test]
                fn $name() {
                    super::$name(Harness::<SimBackend<true, true>>::new());
                }
            )+
        }
        mod simulated_weak {
            use crate::contract::{Harness, backend::SimBackend};
            $(
                #[test]
                fn $name() {
                    super::$name(Harness::<SimBackend<false, true>>::new());
                }
            )+
        }
    };
}
use on_every_buffered_backend;

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const DRAIN: Readiness = Readiness::DRAIN;

type ListenerOf<B> = <<B as Backend>::Net as Net>::Listener;
type StreamOf<B> = <<B as Backend>::Net as Net>::Stream;

/// A backend with one listener, and the reported events that no test has consumed yet.
struct Harness<B: Backend> {
    backend: B,
    listener: Option<ListenerOf<B>>,
    events: Vec<Ready>,
    last_serial: u32,
}

/// An accepted and registered connection, with its peer.
struct Pair<B: Backend> {
    stream: StreamOf<B>,
    key: Key,
    peer: B::Peer,
}

impl<B: Backend> Harness<B> {
    const SHORT_READ_DRAINS: bool = StreamOf::<B>::SHORT_READ_DRAINS;

    fn new() -> Self {
        let mut backend = B::new();
        let listener = Some(backend.listen());
        Harness {
            backend,
            listener,
            events: Vec::new(),
            last_serial: 0,
        }
    }

    fn net(&mut self) -> &mut B::Net {
        self.backend.net()
    }

    fn connect_peer(&mut self) -> B::Peer {
        self.backend
            .connect_peer()
            .expect("the listener accepts it")
    }

    fn accept(&mut self) -> Result<StreamOf<B>, AcceptError> {
        let accepted = self.with_listener(B::Net::accept);
        self.backend.on_accept();
        accepted
    }

    fn accept_from(&mut self) -> Result<(StreamOf<B>, SocketAddr), AcceptError> {
        let accepted = self.with_listener(B::Net::accept_from);
        self.backend.on_accept();
        accepted
    }

    /// Whether the accept queue has a connection, without accepting it.
    fn has_waiting(&mut self) -> bool {
        self.with_listener(B::Net::has_waiting)
    }

    fn with_listener<T>(&mut self, call: impl FnOnce(&mut B::Net, &ListenerOf<B>) -> T) -> T {
        let listener = self.listener.take().expect("an open listener");
        let result = call(self.net(), &listener);
        self.listener = Some(listener);
        result
    }

    fn close_listener(&mut self) {
        let listener = self.listener.take().expect("an open listener");
        self.backend.close_listener(listener);
    }

    /// Accepts the only queued connection; a second call shows that the queue is empty.
    fn accept_only(&mut self) -> StreamOf<B> {
        self.expect(listener_key(), READABLE);
        let stream = self.accept().expect("a queued connection");
        assert!(matches!(self.accept(), Err(AcceptError::Empty)));
        stream
    }

    /// Registers a stream, for writable events too if `writable`.
    fn register(&mut self, stream: &StreamOf<B>, writable: bool) -> Key {
        self.last_serial += 1;
        let serial = self.last_serial;
        // Slots are reused, serials are not.
        let key = Key { slot: 7, serial };
        self.net().register(stream, key, writable).unwrap();
        key
    }

    fn pair(&mut self) -> Pair<B> {
        let peer = self.connect_peer();
        let stream = self.accept_only();
        let key = self.register(&stream, false);
        Pair { stream, key, peer }
    }

    fn watch_writable(&mut self, pair: &Pair<B>) {
        let net = self.backend.net();
        net.watch_writable(&pair.stream, pair.key).unwrap();
    }

    /// A pair whose stream was read until EAGAIN, so that the next arrival raises an edge on every backend.
    fn drained_pair(&mut self) -> Pair<B> {
        let mut pair = self.pair();
        self.exchange_byte(&mut pair, b'?');
        pair
    }

    /// The peer sends a byte, which is read; the next read returns EAGAIN.
    fn exchange_byte(&mut self, pair: &mut Pair<B>, byte: u8) {
        pair.peer.send(&[byte]);
        assert_eq!(self.expect(pair.key, READABLE), READABLE);
        // The byte fills the buffer, so this is no short read and does not show that the socket is empty.
        let mut buffer = [0];
        assert_eq!(pair.stream.read(&mut buffer).unwrap(), 1);
        assert_eq!(buffer, [byte]);
        let blocked = pair.stream.read(&mut buffer).unwrap_err();
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    }

    /// Waits until a stream is readable, and reads everything available.
    fn receive(&mut self, stream: &mut StreamOf<B>, key: Key) -> Received {
        let reported = self.expect(key, READABLE);
        read_all(stream, reported)
    }

    /// Waits until at least `readiness` was reported for `key`; returns all reported readiness.
    fn expect(&mut self, key: Key, readiness: Readiness) -> Readiness {
        self.expect_while(key, readiness, || {})
    }

    /// As [`expect`](Harness::expect), and calls `meanwhile` before every wait.
    fn expect_while(
        &mut self,
        key: Key,
        readiness: Readiness,
        mut meanwhile: impl FnMut(),
    ) -> Readiness {
        let deadline = Instant::now() + B::MAX_WAIT;
        let mut reported = Readiness::NONE;
        loop {
            meanwhile();
            self.backend.deliver_all();
            reported |= self.poll_events(key);
            if reported.contains(readiness) {
                return reported;
            }
            assert!(
                Instant::now() < deadline,
                "{reported:?} was reported for {key:?}, not {readiness:?}"
            );
        }
    }

    /// The readiness reported for `key` since the last call.
    fn poll_events(&mut self, key: Key) -> Readiness {
        let mut ready = Vec::new();
        self.net().wait(Some(B::POLL_TIMEOUT), &mut ready).unwrap();
        self.events.extend(ready);
        let mut reported = Readiness::NONE;
        self.events.retain(|event| {
            let is_match = event.key == key;
            reported |= event.readiness.when(is_match);
            !is_match
        });
        reported
    }

    /// Asserts that no event is reported for `key` once everything sent has arrived.
    fn expect_no_event(&mut self, key: Key) {
        self.backend.deliver_all();
        let reported = self.poll_events(key);
        assert_eq!(reported, Readiness::NONE, "spurious event for {key:?}");
    }

    /// Reads at the peer's end until `is_complete` holds of everything received.
    fn peer_reads(
        &mut self,
        peer: &mut B::Peer,
        is_complete: impl Fn(&Received) -> bool,
    ) -> Received {
        let deadline = Instant::now() + B::MAX_WAIT;
        let mut received = Received::default();
        loop {
            self.backend.deliver_all();
            received.read_until_blocked(|buffer| peer.read(buffer));
            if is_complete(&received) {
                return received;
            }
            assert!(
                Instant::now() < deadline,
                "the peer has received only {received:?}"
            );
        }
    }
}

fn listener_key() -> Key {
    Key::of_source(Source::listener(0))
}

/// The result of reading until EAGAIN, FIN or a reset.
#[derive(Debug, Default, PartialEq, Eq)]
struct Received {
    bytes: Vec<u8>,
    end: Option<StreamEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    Fin,
    Reset,
}

impl Received {
    /// These bytes and no end.
    fn bytes(bytes: &[u8]) -> Received {
        let bytes = bytes.to_vec();
        Received { bytes, end: None }
    }

    /// The same bytes, then this end.
    fn and(self, end: StreamEnd) -> Received {
        let end = Some(end);
        Received { end, ..self }
    }

    fn read_until_blocked(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
        while self.read_once(&mut read).is_some() {}
    }

    /// Reads once; returns how many bytes of the buffer stayed free, or `None` on EAGAIN, FIN or a reset.
    fn read_once(
        &mut self,
        read: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Option<usize> {
        if self.end.is_some() {
            return None;
        }
        let mut buffer = [0; 4096];
        match read(&mut buffer) {
            Ok(0) => self.end = Some(StreamEnd::Fin),
            Ok(count) => {
                self.bytes.extend(&buffer[..count]);
                return Some(buffer.len() - count);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::ConnectionReset => self.end = Some(StreamEnd::Reset),
                _ => panic!("a read failed: {error}"),
            },
        }
        None
    }
}

/// Reads a stream after an event, as the event loop does: until EAGAIN, FIN or a reset, or until a short read if that
/// shows that the socket is empty.
fn read_all<T: Stream>(stream: &mut T, reported: Readiness) -> Received {
    let short_is_enough = T::SHORT_READ_DRAINS && !reported.contains(DRAIN);
    let mut received = Received::default();
    let mut read = |buffer: &mut [u8]| stream.read(buffer);
    while let Some(missing) = received.read_once(&mut read) {
        if missing > 0 && short_is_enough {
            break;
        }
    }
    received
}
