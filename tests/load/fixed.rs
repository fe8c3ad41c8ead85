//! An echo server on one thread with a known capacity: a fixed service time per message, and a limit of connections.
//!
//! It answers messages in the order of their arrival, each a service time after the one before. It keeps its own schedule:
//! if the machine delays one reply, the next is not delayed as well. Shared with the benches.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// The size of a message.
const SIZE: usize = 128;

const LISTENER: Token = Token(usize::MAX);

/// The poll of mio sleeps for whole milliseconds, and a sleep may last this much longer than requested: the thread polls
/// without sleeping for the rest.
const IMPRECISION: Duration = Duration::from_millis(2);

/// What the server does with a connection above its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Above {
    /// Accepts and resets it.
    Reset,
    /// Leaves it in the accept queue until another connection closes.
    #[allow(dead_code, reason = "the bench has no such server")]
    Queued,
}

/// The capacity of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    /// The time between two replies while messages are waiting.
    pub(crate) service: Duration,
    /// The most connections at the same time.
    pub(crate) limit: usize,
    pub(crate) above: Above,
}

impl Fixed {
    /// Starts the server on a thread, which ends with the process.
    pub(crate) fn start(self) -> SocketAddr {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let poll = Poll::new().unwrap();
        let registry = poll.registry();
        registry
            .register(&mut listener, LISTENER, Interest::READABLE)
            .unwrap();
        let server = Server {
            config: self,
            poll,
            listener,
            connections: HashMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            free_at: Instant::now(),
        };
        thread::spawn(move || server.run());
        address
    }
}

struct Connection {
    stream: TcpStream,
    /// What was received and not sent back.
    echo: VecDeque<u8>,
    /// How much of it belongs to an incomplete message.
    incomplete: usize,
}

struct Server {
    config: Fixed,
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    next: usize,
    /// Connections with a complete message, and when it arrived.
    waiting: VecDeque<(Token, Instant)>,
    /// When the last message was served, by the schedule.
    free_at: Instant,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let due = self.next_due();
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| left.saturating_sub(IMPRECISION));
            self.poll.poll(&mut events, timeout).unwrap();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    token => self.receive(token),
                }
            }
            if let Some(due) = due.filter(|due| *due <= Instant::now()) {
                self.answer();
                self.free_at = due;
            }
            if self.config.above == Above::Queued {
                // The listener reports no event for those that wait in its queue.
                self.accept();
            }
        }
    }

    /// When the reply to the first waiting message is due: a service time after its arrival or the last reply.
    fn next_due(&self) -> Option<Instant> {
        let (_, arrived) = self.waiting.front()?;
        Some((*arrived).max(self.free_at) + self.config.service)
    }

    fn accept(&mut self) {
        loop {
            let is_full = self.connections.len() >= self.config.limit;
            if is_full && self.config.above == Above::Queued {
                return;
            }
            let Ok((mut stream, _)) = self.listener.accept() else {
                return;
            };
            if is_full {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                continue;
            }
            let token = Token(self.next);
            self.next += 1;
            let registry = self.poll.registry();
            registry
                .register(&mut stream, token, Interest::READABLE)
                .unwrap();
            let _ = stream.set_nodelay(true);
            let connection = Connection {
                stream,
                echo: VecDeque::new(),
                incomplete: 0,
            };
            self.connections.insert(token, connection);
        }
    }

    /// Reads what has arrived; each complete message waits for its turn.
    fn receive(&mut self, token: Token) {
        let mut bytes = [0; 64 * SIZE];
        while let Some(connection) = self.connections.get_mut(&token) {
            match connection.stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(length @ 1..) => {
                    connection.echo.extend(&bytes[..length]);
                    connection.incomplete += length;
                    while connection.incomplete >= SIZE {
                        connection.incomplete -= SIZE;
                        self.waiting.push_back((token, Instant::now()));
                    }
                }
                Ok(_) | Err(_) => {
                    self.connections.remove(&token);
                    self.waiting.retain(|(waiting, _)| *waiting != token);
                }
            }
        }
    }

    /// Answers the first waiting message.
    fn answer(&mut self) {
        let Some((token, _)) = self.waiting.pop_front() else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(&token) {
            let reply: Vec<u8> = connection.echo.drain(..SIZE).collect();
            // The send buffer holds far more than the messages in flight.
            let _ = connection.stream.write(&reply);
        }
    }
}
