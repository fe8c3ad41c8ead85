//! The contract of [`Net`]: what the loop builds on, asserted of the kernel and of the simulated worlds by the same
//! functions. Where a simulated world promises more than the kernel, the other tests in here prove too much.
//!
//! A test is written once, over [`Stage`], and runs in three worlds: the kernel's sockets on loopback; the simulated
//! world in which a short read has emptied the socket; and the one in which only mio's promises hold.

mod closing;
mod connecting;
mod input;
mod listening;
mod output;
mod resets;
mod unacknowledged;
mod worlds;

use echoloop::net::{AcceptError, Key, Net, Readiness, Ready, Source, Stream};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use worlds::{Peer, Worlds};

/// Makes a test in each world of each of these functions over [`Stage`].
macro_rules! in_every_world {
    ($($name:ident),+ $(,)?) => {
        crate::contract::in_every_world_with_send_buffers! { $($name),+ }
        mod in_the_simulation_without_send_buffers {
            use crate::contract::{Stage, worlds::Simulated};
            $(
                #[test]
                fn $name() {
                    super::$name(Stage::<Simulated<true, false>>::new());
                }
            )+
        }
    };
}
use in_every_world;

/// As `in_every_world!`, without the world that has no send buffers.
macro_rules! in_every_world_with_send_buffers {
    ($($name:ident),+ $(,)?) => {
        mod in_the_kernel {
            use crate::contract::{Stage, worlds::Kernel};
            $(
                #[test]
                fn $name() {
                    super::$name(Stage::<Kernel>::new());
                }
            )+
        }
        mod in_the_simulation {
            use crate::contract::{Stage, worlds::Simulated};
            $(
                #[test]
                fn $name() {
                    super::$name(Stage::<Simulated<true, true>>::new());
                }
            )+
        }
        mod in_the_weak_simulation {
            use crate::contract::{Stage, worlds::Simulated};
            $(
                #[test]
                fn $name() {
                    super::$name(Stage::<Simulated<false, true>>::new());
                }
            )+
        }
    };
}
use in_every_world_with_send_buffers;

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const DRAIN: Readiness = Readiness::DRAIN;

type ListenerOf<W> = <<W as Worlds>::Net as Net>::Listener;
type StreamOf<W> = <<W as Worlds>::Net as Net>::Stream;

/// A world with a listener in it, and the events that it has told and nobody has looked at.
struct Stage<W: Worlds> {
    world: W,
    listener: Option<ListenerOf<W>>,
    told: Vec<Ready>,
    last_serial: u32,
}

/// A connection that was accepted and is watched, with its peer.
struct Pair<W: Worlds> {
    stream: StreamOf<W>,
    key: Key,
    peer: W::Peer,
}

impl<W: Worlds> Stage<W> {
    const SHORT_READ_DRAINS: bool = StreamOf::<W>::SHORT_READ_DRAINS;

    fn new() -> Self {
        let mut world = W::new();
        let listener = Some(world.listen());
        Stage {
            world,
            listener,
            told: Vec::new(),
            last_serial: 0,
        }
    }

    fn net(&mut self) -> &mut W::Net {
        self.world.net()
    }

    fn dial(&mut self) -> W::Peer {
        self.world.dial().expect("the listener takes it")
    }

    fn accept(&mut self) -> Result<StreamOf<W>, AcceptError> {
        let accepted = self.ask(W::Net::accept);
        self.world.has_accepted();
        accepted
    }

    fn accept_from(&mut self) -> Result<(StreamOf<W>, SocketAddr), AcceptError> {
        let accepted = self.ask(W::Net::accept_from);
        self.world.has_accepted();
        accepted
    }

    /// Whether somebody waits, without taking him.
    fn has_waiting(&mut self) -> bool {
        self.ask(W::Net::has_waiting)
    }

    fn ask<A>(&mut self, question: impl FnOnce(&mut W::Net, &ListenerOf<W>) -> A) -> A {
        let listener = self.listener.take().expect("it listens");
        let answer = question(self.net(), &listener);
        self.listener = Some(listener);
        answer
    }

    fn close_listener(&mut self) {
        let listener = self.listener.take().expect("it listens");
        self.world.close_listener(listener);
    }

    /// Takes the only connection that waits, and leaves the queue known to be empty.
    fn accept_the_only_one(&mut self) -> StreamOf<W> {
        self.expect(listener_key(), READABLE);
        let stream = self.accept().expect("one waits");
        assert!(matches!(self.accept(), Err(AcceptError::Empty)));
        stream
    }

    /// Begins to watch a stream, with room for output if `writable`.
    fn register(&mut self, stream: &StreamOf<W>, writable: bool) -> Key {
        self.last_serial += 1;
        let serial = self.last_serial;
        // Slots are used again, serials are not.
        let key = Key { slot: 7, serial };
        self.net().register(stream, key, writable).unwrap();
        key
    }

    fn pair(&mut self) -> Pair<W> {
        let peer = self.dial();
        let stream = self.accept_the_only_one();
        let key = self.register(&stream, false);
        Pair { stream, key, peer }
    }

    fn ask_for_room(&mut self, pair: &Pair<W>) {
        let net = self.world.net();
        net.watch_writable(&pair.stream, pair.key).unwrap();
    }

    /// A pair whose stream has been read until it blocked, so that an edge is owed for whatever comes.
    fn drained_pair(&mut self) -> Pair<W> {
        let mut pair = self.pair();
        self.pass_a_byte(&mut pair, b'?');
        pair
    }

    /// A byte comes and is read, and then a read would block.
    fn pass_a_byte(&mut self, pair: &mut Pair<W>, byte: u8) {
        pair.peer.send(&[byte]);
        assert_eq!(self.expect(pair.key, READABLE), READABLE);
        // With a buffer that it fills: only then it is not known that the stream is empty now.
        let mut buffer = [0];
        assert_eq!(pair.stream.read(&mut buffer).unwrap(), 1);
        assert_eq!(buffer, [byte]);
        let blocked = pair.stream.read(&mut buffer).unwrap_err();
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    }

    /// Waits until a stream is readable, and reads all that is there.
    fn hear(&mut self, stream: &mut StreamOf<W>, key: Key) -> Found {
        let told = self.expect(key, READABLE);
        read_all(stream, told)
    }

    /// Waits until `key` has been told at least this; returns all that it has been told.
    fn expect(&mut self, key: Key, readiness: Readiness) -> Readiness {
        self.expect_while(key, readiness, || {})
    }

    /// As [`expect`](Stage::expect), and does something meanwhile, again and again.
    fn expect_while(
        &mut self,
        key: Key,
        readiness: Readiness,
        mut meanwhile: impl FnMut(),
    ) -> Readiness {
        let deadline = Instant::now() + W::PATIENCE;
        let mut told = Readiness::NONE;
        loop {
            meanwhile();
            self.world.settle();
            told |= self.look(key);
            if told.contains(readiness) {
                return told;
            }
            assert!(
                Instant::now() < deadline,
                "{key:?} was told {told:?}, not {readiness:?}"
            );
        }
    }

    /// What `key` has been told since the last look.
    fn look(&mut self, key: Key) -> Readiness {
        let mut ready = Vec::new();
        self.net().wait(Some(W::PAUSE), &mut ready).unwrap();
        self.told.extend(ready);
        let mut told = Readiness::NONE;
        self.told.retain(|event| {
            let is_its = event.key == key;
            told |= event.readiness.when(is_its);
            !is_its
        });
        told
    }

    /// No event is there for `key`, although all that was done has arrived.
    fn expect_silence(&mut self, key: Key) {
        self.world.settle();
        let told = self.look(key);
        assert_eq!(told, Readiness::NONE, "{key:?} was told without a cause");
    }

    /// Reads at the peer's end until this holds of all that it has found.
    fn peer_finds(&mut self, peer: &mut W::Peer, is_all: impl Fn(&Found) -> bool) -> Found {
        let deadline = Instant::now() + W::PATIENCE;
        let mut found = Found::default();
        loop {
            self.world.settle();
            found.go_on(|buffer| peer.read(buffer));
            if is_all(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "the peer has found {found:?}");
        }
    }
}

fn listener_key() -> Key {
    Key::of_source(Source::listener(0))
}

/// What reading has found until it blocked or came to an end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    bytes: Vec<u8>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

impl Found {
    /// These bytes, and then nothing.
    fn bytes(bytes: &[u8]) -> Found {
        let bytes = bytes.to_vec();
        Found { bytes, end: None }
    }

    /// The same, and then this end.
    fn and(self, end: End) -> Found {
        let end = Some(end);
        Found { end, ..self }
    }

    fn go_on(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
        while self.read_once(&mut read).is_some() {}
    }

    /// Reads once; says how many bytes short of its buffer the read was, unless it has blocked or come to an end.
    fn read_once(
        &mut self,
        read: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Option<usize> {
        if self.end.is_some() {
            return None;
        }
        let mut buffer = [0; 4096];
        match read(&mut buffer) {
            Ok(0) => self.end = Some(End::Fin),
            Ok(count) => {
                self.bytes.extend(&buffer[..count]);
                return Some(buffer.len() - count);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::ConnectionReset => self.end = Some(End::Reset),
                _ => panic!("a read: {error}"),
            },
        }
        None
    }
}

/// Reads a stream that was told to be ready, as the loop does: until it blocks or comes to an end, or until a short
/// read where that is enough.
fn read_all<T: Stream>(stream: &mut T, told: Readiness) -> Found {
    let short_is_enough = T::SHORT_READ_DRAINS && !told.contains(DRAIN);
    let mut found = Found::default();
    let mut read = |buffer: &mut [u8]| stream.read(buffer);
    while let Some(missing) = found.read_once(&mut read) {
        if missing > 0 && short_is_enough {
            break;
        }
    }
    found
}
