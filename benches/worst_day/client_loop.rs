//! Many clients on one thread: an event loop that connects them, drives those that are ready or due, and collects
//! those that have closed.

use crate::echo::End;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The most connections that have not received an echo yet. On loopback, connect succeeds before the daemon accepts; a
/// connection beyond the backlog would be dropped and retried after a second.
const MAX_UNSERVED: usize = 1000;

/// The source addresses of the clients: one address has few free ports beyond some thousands of connections.
const SOURCES: u64 = 64;

/// The most timers that one iteration fires, so that input is read in time.
const TIMERS_PER_ITERATION: usize = 64;

/// The behaviour of one client.
pub(crate) trait Client {
    /// Does everything possible now. Called on every event of the connection, and at the time of [`Step::Until`].
    fn drive(&mut self, stream: &mut TcpStream) -> Step;

    /// Whether the daemon has sent an echo, and thus has accepted the connection.
    fn is_served(&self) -> bool;

    /// The sizes of the socket buffers; `None` for the kernel's default.
    fn buffers(&self) -> Option<Buffers> {
        None
    }
}

/// The sizes of the buffers of a socket, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) send: usize,
    pub(crate) receive: usize,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Readable or writable.
    Event,
    /// The same, or this time.
    Until(Instant),
    /// Nothing: the connection is to be closed, or has failed.
    End(End),
}

/// Turns errors into steps, so that the body of a client can use `?`.
pub(crate) fn step(body: impl FnOnce() -> Result<Step, End>) -> Step {
    body().unwrap_or_else(Step::End)
}

struct Entry<C> {
    stream: TcpStream,
    client: C,
    serial: u64,
    /// The current timer; all others of this client in the heap are void.
    timer: Option<Instant>,
    served: bool,
}

/// Clients of type `C`, all connected to one daemon.
pub(crate) struct ClientLoop<C> {
    poll: Poll,
    events: Events,
    ready: Vec<usize>,
    daemon: SocketAddr,
    entries: Slab<Entry<C>>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    served: usize,
    connected: u64,
    first_source: u8,
    closed: Vec<(C, End)>,
}

impl<C: Client> ClientLoop<C> {
    /// Without clients. Loops with different numbers connect from different addresses.
    pub(crate) fn new(daemon: SocketAddr, number: u8) -> ClientLoop<C> {
        ClientLoop {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            ready: Vec::new(),
            daemon,
            entries: Slab::new(),
            timers: BinaryHeap::new(),
            served: 0,
            connected: 0,
            first_source: number,
            closed: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of connected clients that have received an echo.
    pub(crate) fn served(&self) -> usize {
        self.served
    }

    /// Whether another client may connect without overflowing the daemon's backlog.
    pub(crate) fn may_connect(&self) -> bool {
        self.entries.len() - self.served < MAX_UNSERVED
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        self.entries.iter().map(|(_, entry)| &entry.client)
    }

    /// The clients that have closed since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<(C, End)> {
        std::mem::take(&mut self.closed)
    }

    /// Starts to connect. A failure is an end of the client, too.
    pub(crate) fn connect(&mut self, client: C) {
        let source = u8::try_from(1 + self.connected % SOURCES).unwrap();
        let source = Ipv4Addr::new(127, 0, self.first_source, source);
        self.connected += 1;
        match connect(source, self.daemon, client.buffers()) {
            Ok(stream) => self.insert(stream, client),
            Err(_) => self.closed.push((client, End::NotConnected)),
        }
    }

    fn insert(&mut self, mut stream: TcpStream, client: C) {
        let vacant = self.entries.vacant_entry();
        let slot = vacant.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry
            .register(&mut stream, Token(slot), interest)
            .unwrap();
        vacant.insert(Entry {
            stream,
            client,
            serial: self.connected,
            timer: None,
            served: false,
        });
    }

    /// One iteration: waits for an event or timer, until `wake` at the latest, and drives the clients concerned.
    pub(crate) fn run_iteration(&mut self, wake: Instant) {
        let due = self.timers.peek().map_or(wake, |Reverse((due, _, _))| *due);
        let timeout = due.min(wake).saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            result => result.unwrap(),
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.extend(self.events.iter().map(|event| event.token().0));
        for slot in ready.drain(..) {
            self.drive(slot);
        }
        self.ready = ready;
        self.fire_timers();
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        for _ in 0..TIMERS_PER_ITERATION {
            let Some(Reverse((due, slot, serial))) = self.timers.peek().copied() else {
                return;
            };
            if due > now {
                return;
            }
            self.timers.pop();
            let entry = self.entries.get_mut(slot);
            let entry = entry.filter(|entry| entry.serial == serial);
            if let Some(entry) = entry.filter(|entry| entry.timer == Some(due)) {
                entry.timer = None;
                self.drive(slot);
            }
        }
    }

    /// Drives the client in a slot. An event may be of the slot's previous client; it then has no effect.
    fn drive(&mut self, slot: usize) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let step = entry.client.drive(&mut entry.stream);
        if !entry.served && entry.client.is_served() {
            entry.served = true;
            self.served += 1;
        }
        match step {
            // One timer at a time: if it fires early, the client returns its step again.
            Step::Until(due) if entry.timer.is_none_or(|timer| due < timer) => {
                entry.timer = Some(due);
                self.timers.push(Reverse((due, slot, entry.serial)));
            }
            Step::Event | Step::Until(_) => {}
            Step::End(end) => {
                let entry = self.remove(slot);
                self.closed.push((entry.client, end));
            }
        }
    }

    fn remove(&mut self, slot: usize) -> Entry<C> {
        let entry = self.entries.remove(slot);
        self.served -= usize::from(entry.served);
        entry
    }

    /// Closes the first `count` clients for which `chosen` is true, with FIN or RST; returns the number closed.
    pub(crate) fn disconnect(
        &mut self,
        count: usize,
        reset: bool,
        chosen: impl Fn(&C) -> bool,
    ) -> usize {
        let chosen_slots = self.entries.iter();
        let chosen_slots = chosen_slots.filter(|(_, entry)| chosen(&entry.client));
        let chosen_slots: Vec<usize> = chosen_slots.map(|(slot, _)| slot).take(count).collect();
        for slot in &chosen_slots {
            let entry = self.remove(*slot);
            if reset {
                reset_on_close(&entry.stream);
            }
        }
        chosen_slots.len()
    }

    /// Runs iterations until `done`, for at most `timeout`; returns whether it is done.
    pub(crate) fn run_until(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            if done(self) {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            self.run_iteration(deadline.min(now + Duration::from_millis(10)));
        }
    }
}

fn connect(
    source: Ipv4Addr,
    daemon: SocketAddr,
    buffers: Option<Buffers>,
) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(sizes) = buffers {
        socket.set_send_buffer_size(sizes.send)?;
        socket.set_recv_buffer_size(sizes.receive)?;
    }
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&daemon.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Makes close send RST (socket(7), `SO_LINGER`).
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // Fails if the peer has already reset the connection.
    let _ = socket.set_linger(Some(Duration::ZERO));
}
