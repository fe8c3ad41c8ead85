//! How connections come to stand: at once, late, not at all, or by being refused.

use crate::socket::Socket;
use crate::world::{MILLISECOND, SocketId, World};
use std::io::{self, ErrorKind};

/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;

/// After so long an unanswered SYN is sent again (RFC 6298, 2.1).
const RETRANSMISSION: u64 = 1_000 * MILLISECOND;

/// A connection that was begun and has not been answered.
#[derive(Debug)]
pub struct Handshake {
    end: SocketId,
    listener: usize,
    begun_at: u64,
    /// When the answer comes.
    pub answered_at: u64,
    /// What it says, if it is not for the listener to say.
    refusal: Option<ErrorKind>,
}

impl World {
    /// Connects to a listener as somebody who waits for it to be done.
    pub fn connect(&mut self, listener: usize, source: u8) -> io::Result<SocketId> {
        if self.listeners[listener].closed {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        if self.listeners[listener].queue.len() >= BACKLOG {
            return Err(ErrorKind::WouldBlock.into());
        }
        let client = self.add_end(source);
        self.stands(client, listener);
        Ok(client)
    }

    /// The listener that the peer of this number connects to.
    pub fn listener_of(&self, id: u64) -> usize {
        usize::try_from(id).unwrap() % self.listeners.len()
    }

    /// As connect(2) on a socket that does not block: the outcome is told by an event.
    pub fn program_connects(&mut self, listener: usize, source: u8) -> io::Result<SocketId> {
        if self.fault(self.faults.connect_fails) {
            const EMFILE: i32 = 24;
            const EADDRNOTAVAIL: i32 = 99;
            let errno = self.rng.one_of(&[EMFILE, EADDRNOTAVAIL]);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let refusal = self.draw_refusal();
        let answered_at = self.draw_answer();
        let end = self.add_end(source);
        self.trace(8, end as u64);
        self.handshakes.push(Handshake {
            end,
            listener,
            begun_at: self.now,
            answered_at,
            refusal,
        });
        self.shake_hands();
        Ok(end)
    }

    /// What somebody on the way says in the listener's place.
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

    fn draw_answer(&mut self) -> u64 {
        if self.fault(self.faults.connect_lost) {
            return u64::MAX;
        }
        if self.fault(self.faults.connect_late) {
            let milliseconds = self.rng.between(0, self.faults.connect_late_ms);
            return self.now + milliseconds * MILLISECOND;
        }
        self.now
    }

    /// When the next answer comes.
    pub fn next_answer(&self) -> Option<u64> {
        let handshakes = self.handshakes.iter();
        handshakes.map(|handshake| handshake.answered_at).min()
    }

    /// Those whose answer has come stand, or do not.
    pub fn shake_hands(&mut self) {
        for mut handshake in std::mem::take(&mut self.handshakes) {
            if self.sockets[handshake.end].closed {
                continue;
            }
            if self.now < handshake.answered_at {
                self.handshakes.push(handshake);
                continue;
            }
            let listener = &self.listeners[handshake.listener];
            let refusal = listener.closed.then_some(ErrorKind::ConnectionRefused);
            if let Some(error) = handshake.refusal.or(refusal) {
                self.fail_connection(handshake.end, error);
            } else if listener.queue.len() >= BACKLOG {
                // A SYN for which there is no place is dropped.
                handshake.answered_at = self.now + RETRANSMISSION;
                self.handshakes.push(handshake);
            } else {
                self.connect_times.push(self.now - handshake.begun_at);
                self.stands(handshake.end, handshake.listener);
            }
        }
    }

    fn add_end(&mut self, source: u8) -> SocketId {
        self.sockets
            .push(Socket::new(self.window, source, self.now));
        self.sockets.len() - 1
    }

    /// A connection is made, and waits to be accepted.
    fn stands(&mut self, client: SocketId, listener: usize) {
        let source = self.sockets[client].source;
        let server = self.add_end(source);
        for (end, peer) in [(client, server), (server, client)] {
            self.sockets[end].peer = Some(peer);
            self.sockets[end].was_established = true;
        }
        self.writable(client);
        let weak = self.weak;
        let listener = &mut self.listeners[listener];
        listener.queue.push_back(client);
        if listener.armed || !weak {
            listener.armed = false;
            listener.pending = true;
        }
    }
}
