//! [`Net`] over the [kernel](super::kernel) of a scenario. Each call of the server is a step, with the line of the source
//! that makes the call.

use super::kernel::{Item, Socket};
use super::sentences;
use super::source::{Line, line_at, line_with};
use super::step::Phase;
use super::world::World;
use crate::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Note, Ready, Signal, Source, Stream, Time,
    TraceKind,
};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

type SharedWorld = Rc<RefCell<World>>;

/// The network of a scenario.
pub(super) struct Network(pub(super) SharedWorld);

/// The listening socket. Dropping it closes it.
pub(super) struct Listener(SharedWorld);

/// The socket of a connection: an index of [`Kernel::sockets`](super::kernel::Kernel::sockets).
pub(super) struct Connection {
    world: SharedWorld,
    id: usize,
}

/// The line of the caller.
#[track_caller]
fn line() -> Option<Line> {
    line_at(Location::caller())
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Ok(mut world) = self.0.try_borrow_mut() else {
            return;
        };
        world.kernel.close_listener();
        world.on_source(Item::Listener);
        let line = line_with("src/server/accepting.rs", "listener.socket = None;");
        let title = "listener: close".to_owned();
        world.server_step(title, None, sentences::listener_closed(), line);
    }
}

impl Net for Network {
    type Listener = Listener;
    type Stream = Connection;

    fn now(&self) -> Time {
        self.0.borrow().kernel.now
    }

    #[track_caller]
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        *ready = self.0.borrow_mut().wait(timeout, line());
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, _: Source) -> io::Result<Listener> {
        self.0.borrow_mut().kernel.is_listening = true;
        Ok(Listener(Rc::clone(&self.0)))
    }

    fn local_addr(&self, _: &Listener) -> io::Result<SocketAddr> {
        Ok(address())
    }

    #[track_caller]
    fn accept_from(
        &mut self,
        listener: &Listener,
    ) -> Result<(Connection, SocketAddr), AcceptError> {
        self.accept(listener).map(|stream| (stream, address()))
    }

    #[track_caller]
    fn accept(&mut self, _: &Listener) -> Result<Connection, AcceptError> {
        let line = line();
        let mut world = self.0.borrow_mut();
        if !world.is_draining() {
            world.enter(Phase::Accepting);
        }
        let accepted = world.kernel.accept();
        let (title, kind, text) = match &accepted {
            Ok(id) => {
                let client = world.kernel.sockets[*id].client;
                (
                    format!("accept client {client}"),
                    None,
                    sentences::accepted(client),
                )
            }
            Err(AcceptError::Exhausted(_)) => {
                let kind = TraceKind::AcceptExhausted;
                let first = world.kernel.accept_queue.front().copied();
                let client = first.map_or("", |id| world.kernel.sockets[id].client);
                let text = sentences::accept_failed(client, world.kernel.sizes.descriptors);
                ("accept: EMFILE".to_owned(), Some(kind), text)
            }
            Err(_) => {
                let kind = TraceKind::AcceptEmpty;
                let text = sentences::accept_queue_empty();
                (crate::trace::text_of(kind), Some(kind), text)
            }
        };
        let event = kind.map(|kind| world.event(0, kind));
        world.server_step(title, event, text, line);
        accepted.map(|id| Connection {
            world: Rc::clone(&self.0),
            id,
        })
    }

    #[track_caller]
    fn has_waiting(&mut self, _: &Listener) -> bool {
        let line = line();
        let mut world = self.0.borrow_mut();
        let is_waiting = !world.kernel.accept_queue.is_empty();
        let title = "poll the listener".to_owned();
        world.server_step(title, None, sentences::has_waiting(is_waiting), line);
        is_waiting
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<Connection> {
        Err(ErrorKind::Unsupported.into())
    }

    #[track_caller]
    fn register(&mut self, stream: &Connection, key: Key, writable: bool) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.kernel.register(stream.id, key, writable);
        world.opened(stream.id, key, line());
        Ok(())
    }

    #[track_caller]
    fn watch_writable(&mut self, stream: &Connection, key: Key) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.kernel.register(stream.id, key, true);
        let text = sentences::watches_writable(&world.name(stream.id));
        world.step(key.serial, TraceKind::WatchWritable, text, line());
        Ok(())
    }

    #[track_caller]
    fn close(&mut self, stream: Connection, ending: Ending) {
        let line = line();
        let mut world = self.0.borrow_mut();
        let id = stream.id;
        world.kernel.close(id);
        let socket = &world.kernel.sockets[id];
        let text = sentences::closed(&world.name(id), socket, &world.views[id], ending);
        let serial = socket.serial();
        world.step(serial, TraceKind::Closed(ending), text, line);
    }

    #[track_caller]
    fn take_signal(&mut self) -> Option<Signal> {
        let mut world = self.0.borrow_mut();
        let signal = world.kernel.signals.pop_front()?;
        world.on_signal();
        world.step(
            0,
            TraceKind::Signal(signal),
            sentences::signal(signal),
            line(),
        );
        Some(signal)
    }

    fn note(&mut self, key: Key, note: Note) {
        self.0.borrow_mut().note(key, note);
    }
}

/// The address of every client and of the listener; the pages show names.
fn address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 7))
}

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Socket {
    fn serial(&self) -> u32 {
        self.key.map_or(0, |key| key.serial)
    }
}

impl Stream for Connection {
    const SHORT_READ_DRAINS: bool = true;

    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = line();
        let id = self.id;
        let mut world = self.world.borrow_mut();
        world.on_call(id);
        let held = world.kernel.sockets[id].held_back.len();
        let result = world.kernel.read(id, buffer);
        let (name, size) = (world.name(id), buffer.len());
        let socket = &world.kernel.sockets[id];
        let (client, serial) = (socket.client, socket.serial());
        let (has_fin, refilled) = (socket.has_fin(), held - socket.held_back.len());
        let (kind, text) = match &result {
            Ok(0) => {
                world.views[id].on_read(&[]);
                let text = sentences::fin_read(&name, client, &world.views[id]);
                (TraceKind::Eof, text)
            }
            Ok(bytes) => {
                world.views[id].on_read(&buffer[..*bytes]);
                let is_drain = world.views[id].is_until_drained();
                let is_first = world.is_first(if *bytes == size {
                    "full read"
                } else {
                    "short read"
                });
                let read = sentences::Read {
                    count: *bytes,
                    size,
                    has_fin,
                    is_drain,
                    refilled,
                };
                let text = sentences::read(&name, read, is_first);
                (TraceKind::Read(count(*bytes)), text)
            }
            Err(error) => {
                let text = sentences::read_would_block(&name, &world.views[id]);
                world.views[id].on_empty();
                (TraceKind::ReadFailed(error.kind()), text)
            }
        };
        world.step(serial, kind, text, line);
        result
    }

    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = line();
        let id = self.id;
        let mut world = self.world.borrow_mut();
        world.on_call(id);
        let result = world.kernel.write(id, bytes);
        let (name, serial) = (world.name(id), world.kernel.sockets[id].serial());
        let was_pending = !world.views[id].output.is_empty();
        let (kind, text) = match &result {
            Ok(written) => {
                world.views[id].on_written(*written);
                let is_first = !was_pending && world.is_first("write");
                let sizes = (*written, bytes.len());
                let text = sentences::written(&name, sizes, was_pending, is_first);
                (TraceKind::Write(count(*written)), text)
            }
            Err(error) => {
                world.views[id].on_send_buffer_full();
                let text = sentences::write_would_block(&name, bytes.len(), was_pending);
                (TraceKind::WriteFailed(error.kind()), text)
            }
        };
        world.step(serial, kind, text, line);
        result
    }

    #[track_caller]
    fn read_unrecorded(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    #[track_caller]
    fn write_unrecorded(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn takes_output(&mut self) -> bool {
        true
    }

    fn is_at_fin(&mut self) -> bool {
        let world = self.world.borrow();
        let socket = &world.kernel.sockets[self.id];
        socket.has_fin() && socket.receive_buffer.is_empty()
    }

    #[track_caller]
    fn shutdown_write(&mut self) -> io::Result<()> {
        let line = line();
        let id = self.id;
        let mut world = self.world.borrow_mut();
        world.on_call(id);
        world.kernel.shutdown(id);
        world.views[id].on_fin_sent();
        let socket = &world.kernel.sockets[id];
        let text = sentences::fin_sent(&world.name(id), socket.client);
        let serial = socket.serial();
        world.step(serial, TraceKind::FinSent, text, line);
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(address())
    }
}
