//! Queries the progress of one TCP connection: unacknowledged bytes, and for how long.
//!
//! In: the two addresses of the connection. Out: a [`Progress`], from one exact `sock_diag` request over a netlink
//! socket (man 7 `sock_diag`). No privilege is needed. The kernel replies during the `send`, so the following `recv`
//! never blocks.

mod accept_queue;

pub use accept_queue::{AcceptQueue, AcceptQueueReader};

use super::Progress;
use super::netlink::{AF_INET, AF_INET6, NLM_F_DUMP, Request, Socket, attribute, u32_at};
use rustix::net::connect;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

// linux/sock_diag.h, linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_NOCOOKIE: [u8; 8] = [0xff; 8];
/// `struct inet_diag_msg`, before its attributes.
const REPLY: usize = 72;

// linux/in.h, and the states of net/tcp_states.h
const IPPROTO_TCP: u8 = 6;
const FIN_WAIT1: u8 = 4;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// Enough for any reply: header, message and some attributes are about 500 bytes.
const MAX_REPLY: usize = 4096;

/// A netlink socket to `sock_diag`: one file descriptor.
pub(super) struct SockDiag(Socket);

impl SockDiag {
    /// Opens the socket and checks that the kernel supports queries about TCP (module `tcp_diag`).
    ///
    /// # Errors
    /// Errors of `socket` or `connect`, and `NotFound` if the kernel has no `tcp_diag`.
    pub(super) fn open() -> io::Result<SockDiag> {
        let mut socket = Socket::open(Some(SOCK_DIAG))?;
        // Connected to the kernel, the socket receives messages from no other process.
        connect(&socket.fd, &SocketAddrNetlink::new(0, 0))?;
        // A list without states is empty, but fails as any request would.
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let list = request(NLM_F_DUMP, [any, any], 0, 0);
        socket.request(list, &mut [0; MAX_REPLY], &mut |_| ())?;
        Ok(SockDiag(socket))
    }

    /// A socket that another process has opened and checked.
    pub(super) fn from_fd(socket: OwnedFd) -> SockDiag {
        SockDiag(Socket::from_fd(socket))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    /// The progress of the connection between `local` and `peer`, addresses as returned by `getsockname` and
    /// `getpeername`; `None` if the kernel has no such connection, or if the request fails.
    pub(super) fn progress(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<Progress> {
        let request = request(0, [local, peer], 1 << (INET_DIAG_INFO - 1), 0);
        let mut progress = None;
        let mut on_message = |message: &[u8]| progress = parse_progress(message);
        let mut buffer = [0; MAX_REPLY];
        self.0.request(request, &mut buffer, &mut on_message).ok()?;
        progress
    }
}

/// A request with a `struct inet_diag_req_v2`: `extensions` are the attributes wanted, `states` those of the sockets in a
/// list.
fn request(flags: u16, [local, peer]: [SocketAddr; 2], extensions: u8, states: u32) -> Request {
    // An IPv4 peer of an IPv6 socket has a mapped address, and the kernel finds it under the family of the socket.
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    Request::new(SOCK_DIAG_BY_FAMILY, flags)
        .with(&[family, IPPROTO_TCP, extensions, 0])
        .with(&states.to_ne_bytes())
        .with(&local.port().to_be_bytes())
        .with(&peer.port().to_be_bytes())
        .with(&address(local))
        .with(&address(peer))
        .with(&interface(local, peer).to_ne_bytes())
        .with(&INET_DIAG_NOCOOKIE)
}

/// An address in the 16 bytes of `struct inet_diag_sockid`, of which IPv4 uses the first four.
fn address(of: SocketAddr) -> [u8; 16] {
    match of.ip() {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96).to_be_bytes(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The interface to which a connection between link-local addresses is bound; otherwise 0.
fn interface(local: SocketAddr, peer: SocketAddr) -> u32 {
    match (local, peer) {
        (SocketAddr::V6(local), SocketAddr::V6(peer)) => peer.scope_id().max(local.scope_id()),
        _ => 0,
    }
}

/// Parses a `struct inet_diag_msg` with its attributes.
fn parse_progress(message: &[u8]) -> Option<Progress> {
    let state = *message.get(1)?;
    let queued = u64::from(u32_at(message, 60)?);
    // An unacknowledged FIN counts as a byte.
    let fin = u64::from(matches!(state, FIN_WAIT1 | LAST_ACK | CLOSING));
    let info = attribute(message.get(REPLY..)?, INET_DIAG_INFO)?;
    let milliseconds = |at| Some(Duration::from_millis(u64::from(u32_at(info, at)?)));
    let (data_sent, ack_received) = (milliseconds(44)?, milliseconds(56)?);
    let round_trip = Duration::from_micros(u64::from(u32_at(info, 68)?));
    Some(Progress {
        unacknowledged: queued.saturating_sub(fin),
        since_acknowledged: since_acknowledged(data_sent, ack_received, round_trip),
        since_received: milliseconds(52)?,
    })
}

/// How long no byte was acknowledged, from the times since data was last sent and an ACK last received.
///
/// A vanished peer sends no ACK, while the kernel retransmits. A peer with a zero window acknowledges window probes;
/// these carry no data, and the data sent before them was acknowledged a round trip later.
fn since_acknowledged(sent: Duration, ack_received: Duration, round_trip: Duration) -> Duration {
    ack_received.max(sent.saturating_sub(round_trip))
}

#[cfg(test)]
mod tests;
