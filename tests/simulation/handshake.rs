//! Handshakes: a connect succeeds at once, late or never, or is refused.

use crate::client_script::ClientScript;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::socket::Socket;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// Length of an accept queue.
pub const BACKLOG: usize = 16;

/// The initial retransmission timeout of a SYN (RFC 6298, 2.1).
const SYN_TIMEOUT: u64 = 1_000 * MILLISECOND;

/// A connecting socket whose SYN has not been answered.
#[derive(Debug)]
pub struct Handshake {
    socket: SocketId,
    listener: usize,
    started_at: u64,
    /// When the answer arrives.
    pub answered_at: u64,
    /// The error that a host on the path returns instead of the listener's answer.
    refusal: Option<ErrorKind>,
}

impl Network {
    /// Connects to a listener as a blocking connect(2) does.
    pub fn connect(&mut self, listener: usize, source: u8) -> io::Result<SocketId> {
        if self.listeners[listener].closed {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if self.listeners[listener].queue.len() >= BACKLOG {
            return Err(ErrorKind::WouldBlock.into());
        }
        let client = self.add_socket(source);
        self.establish(client, listener);
        Ok(client)
    }

    /// The listener that peer number `id` connects to.
    pub fn listener_of(&self, id: u64) -> usize {
        usize::try_from(id).unwrap() % self.listeners.len()
    }

    /// As connect(2) on a nonblocking socket, by a program under test: an event reports the outcome.
    pub fn program_connects(&mut self, listener: usize, source: u8) -> io::Result<SocketId> {
        if self.fault(self.faults.connect_fails) {
            const EMFILE: i32 = 24;
            const EADDRNOTAVAIL: i32 = 99;
            let errno = self.rng.one_of(&[EMFILE, EADDRNOTAVAIL]);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let refusal = self.draw_refusal();
        let answered_at = self.draw_answer_time();
        let socket = self.add_socket(source);
        self.trace(8, socket as u64);
        self.handshakes.push(Handshake {
            socket,
            listener,
            started_at: self.now,
            answered_at,
            refusal,
        });
        self.complete_handshakes();
        Ok(socket)
    }

    /// Draws the error of a host on the path, if one answers in the listener's place.
    fn draw_refusal(&mut self) -> Option<ErrorKind> {
        let refused = self.fault(self.faults.connect_refused);
        refused.then(|| {
            self.rng.one_of(&[
                ErrorKind::ConnectionRefused,
                ErrorKind::HostUnreachable,
                ErrorKind::TimedOut,
            ])
        })
    }

    /// Draws when the answer arrives; `u64::MAX`: never.
    fn draw_answer_time(&mut self) -> u64 {
        if self.fault(self.faults.connect_lost) {
            return u64::MAX;
        }
        if self.fault(self.faults.connect_late) {
            let milliseconds = self.rng.between(0, self.faults.connect_late_ms);
            return self.now + milliseconds * MILLISECOND;
        }
        self.now
    }

    /// When the next answer arrives.
    pub fn next_answer(&self) -> Option<u64> {
        let handshakes = self.handshakes.iter();
        handshakes.map(|handshake| handshake.answered_at).min()
    }

    /// Establishes or fails the connections whose answer has arrived.
    pub fn complete_handshakes(&mut self) {
        for mut handshake in std::mem::take(&mut self.handshakes) {
            if self.sockets[handshake.socket].closed {
                continue;
            }
            if self.now < handshake.answered_at {
                self.handshakes.push(handshake);
                continue;
            }
            let listener = &self.listeners[handshake.listener];
            let refusal = listener.closed.then_some(ErrorKind::ConnectionRefused);
            if let Some(error) = handshake.refusal.or(refusal) {
                self.fail_connection(handshake.socket, error);
            } else if listener.queue.len() >= BACKLOG {
                // A full accept queue drops the SYN, and the client retransmits it.
                self.dropped_syns += 1;
                handshake.answered_at = self.now + SYN_TIMEOUT;
                self.handshakes.push(handshake);
            } else {
                self.connect_times.push(self.now - handshake.started_at);
                self.establish(handshake.socket, handshake.listener);
            }
        }
    }

    fn add_socket(&mut self, source: u8) -> SocketId {
        self.sockets
            .push(Socket::new(self.window, source, self.now));
        self.sockets.len() - 1
    }

    /// Establishes a connection and adds it to the accept queue.
    fn establish(&mut self, client: SocketId, listener: usize) {
        let source = self.sockets[client].source;
        let server = self.add_socket(source);
        for (socket, peer) in [(client, server), (server, client)] {
            self.sockets[socket].peer = Some(peer);
            self.sockets[socket].was_established = true;
        }
        if self.is_layered {
            self.sockets[server].script = Some(Rc::new(ClientScript::Layered));
        }
        self.notify_writable(client);
        let weak = self.weak;
        let listener = &mut self.listeners[listener];
        listener.queue.push_back(client);
        if listener.armed || !weak {
            listener.armed = false;
            listener.pending = true;
        }
        if let Some(pending) = &mut listener.successor {
            *pending = true;
        }
    }
}
