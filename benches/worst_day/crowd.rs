//! Very many clients on one thread: a loop that connects them, drives whoever is ready or due, and collects the ended.

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

/// Connections that have not been served yet. On loopback a connect succeeds before the daemon has accepted; more of
/// these than the backlog holds would be dropped, and wait a second for the next try.
const MOST_UNSERVED: usize = 1000;

/// Over how many addresses of 127/8 the clients are spread: from one, ports become hard to find past some thousands.
const SOURCES: u64 = 64;

/// How many timers one turn fires, so that what has come meanwhile is read in time.
const TIMERS_PER_TURN: usize = 64;

/// One client: what it does when it can do something.
pub(crate) trait Client {
    /// Does all that can be done now. Called when the connection is ready for anything, and when it is time.
    fn drive(&mut self, stream: &mut TcpStream) -> Step;

    /// Whether the daemon has answered it, and so must have accepted it.
    fn is_served(&self) -> bool;

    /// The sizes of the socket's buffers in the kernel; `None` leaves them to the kernel.
    fn buffers(&self) -> Option<Buffers> {
        None
    }
}

/// The sizes of a socket's buffers in the kernel, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) send: usize,
    pub(crate) receive: usize,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Something to read, or room to write.
    Event,
    /// That, or this time.
    Until(Instant),
    /// Nothing: its connection is to be closed, or has ended.
    End(End),
}

/// Turns errors into ends, so that `?` can be used in the body of a client.
pub(crate) fn step(body: impl FnOnce() -> Result<Step, End>) -> Step {
    body().unwrap_or_else(Step::End)
}

struct Member<C> {
    stream: TcpStream,
    client: C,
    serial: u64,
    /// The timer in force; earlier and later ones in the heap are void.
    timer: Option<Instant>,
    served: bool,
}

/// Clients of type `C`, all connected to one daemon.
pub(crate) struct Crowd<C> {
    poll: Poll,
    events: Events,
    ready: Vec<usize>,
    daemon: SocketAddr,
    members: Slab<Member<C>>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    served: usize,
    connected: u64,
    first_source: u8,
    ended: Vec<(C, End)>,
}

impl<C: Client> Crowd<C> {
    /// Nobody yet. Crowds with different numbers connect from different addresses.
    pub(crate) fn new(daemon: SocketAddr, number: u8) -> Crowd<C> {
        Crowd {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            ready: Vec::new(),
            daemon,
            members: Slab::new(),
            timers: BinaryHeap::new(),
            served: 0,
            connected: 0,
            first_source: number,
            ended: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many of those who are connected have been served.
    pub(crate) fn served(&self) -> usize {
        self.served
    }

    /// Whether one more may be connected without overrunning the daemon's backlog.
    pub(crate) fn may_connect(&self) -> bool {
        self.members.len() - self.served < MOST_UNSERVED
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &C> {
        self.members.iter().map(|(_, member)| &member.client)
    }

    /// Those who have ended since they were asked for last.
    pub(crate) fn take_ended(&mut self) -> Vec<(C, End)> {
        std::mem::take(&mut self.ended)
    }

    /// Begins a connection. A failure is an end of the client like any other.
    pub(crate) fn connect(&mut self, client: C) {
        let source = u8::try_from(1 + self.connected % SOURCES).unwrap();
        let source = Ipv4Addr::new(127, 0, self.first_source, source);
        self.connected += 1;
        match connect(source, self.daemon, client.buffers()) {
            Ok(stream) => self.insert(stream, client),
            Err(_) => self.ended.push((client, End::NotConnected)),
        }
    }

    fn insert(&mut self, mut stream: TcpStream, client: C) {
        let entry = self.members.vacant_entry();
        let slot = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry
            .register(&mut stream, Token(slot), interest)
            .unwrap();
        entry.insert(Member {
            stream,
            client,
            serial: self.connected,
            timer: None,
            served: false,
        });
    }

    /// Waits until somebody is ready or due, or it is time to `wake`, and drives whoever can go on.
    pub(crate) fn turn(&mut self, wake: Instant) {
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
        for _ in 0..TIMERS_PER_TURN {
            let Some(Reverse((due, slot, serial))) = self.timers.peek().copied() else {
                return;
            };
            if due > now {
                return;
            }
            self.timers.pop();
            let member = self.members.get_mut(slot);
            let member = member.filter(|member| member.serial == serial);
            if let Some(member) = member.filter(|member| member.timer == Some(due)) {
                member.timer = None;
                self.drive(slot);
            }
        }
    }

    /// Drives whoever is in a slot. An event may be that of a predecessor; then there is nothing to do.
    fn drive(&mut self, slot: usize) {
        let Some(member) = self.members.get_mut(slot) else {
            return;
        };
        let step = member.client.drive(&mut member.stream);
        if !member.served && member.client.is_served() {
            member.served = true;
            self.served += 1;
        }
        match step {
            // One timer at a time: if it fires early, the client says again what it waits for.
            Step::Until(due) if member.timer.is_none_or(|timer| due < timer) => {
                member.timer = Some(due);
                self.timers.push(Reverse((due, slot, member.serial)));
            }
            Step::Event | Step::Until(_) => {}
            Step::End(end) => {
                let member = self.remove(slot);
                self.ended.push((member.client, end));
            }
        }
    }

    fn remove(&mut self, slot: usize) -> Member<C> {
        let member = self.members.remove(slot);
        self.served -= usize::from(member.served);
        member
    }

    /// Lets the first `count` clients leave that `chosen` is true of, with FIN or with reset; tells how many did.
    pub(crate) fn dismiss(
        &mut self,
        count: usize,
        reset: bool,
        chosen: impl Fn(&C) -> bool,
    ) -> usize {
        let leaving = self.members.iter();
        let leaving = leaving.filter(|(_, member)| chosen(&member.client));
        let leaving: Vec<usize> = leaving.map(|(slot, _)| slot).take(count).collect();
        for slot in &leaving {
            let member = self.remove(*slot);
            if reset {
                reset_on_close(&member.stream);
            }
        }
        leaving.len()
    }

    /// Turns until `done`, for at most `patience`; whether it came to that.
    pub(crate) fn run_until(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if done(self) {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            self.turn(deadline.min(now + Duration::from_millis(10)));
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

/// Makes the closing of a stream a reset (socket(7), `SO_LINGER`).
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // One that has been reset from the other side already takes no options.
    let _ = socket.set_linger(Some(Duration::ZERO));
}
