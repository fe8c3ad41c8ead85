//! Queries the progress of one TCP connection: unacknowledged bytes, and for how long.
//!
//! In: the two addresses of the connection. Out: a [`Progress`], from one exact `sock_diag` request over a netlink
//! socket (man 7 `sock_diag`). No privilege is needed. The kernel replies during the `send`, so the following `recv`
//! never blocks.

mod accept_queue;

pub use accept_queue::{AcceptQueue, AcceptQueueReader};

use super::Progress;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const HEADER: usize = 16;

// linux/sock_diag.h, linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_NOCOOKIE: [u8; 8] = [0xff; 8];
/// `struct inet_diag_req_v2` with its header.
const REQUEST: usize = HEADER + 56;
/// `struct inet_diag_msg`, before its attributes.
const REPLY: usize = 72;

// linux/socket.h, linux/in.h, and the states of net/tcp_states.h
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const FIN_WAIT1: u8 = 4;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// Enough for any reply: header, message and some attributes are about 500 bytes.
const MAX_REPLY: usize = 4096;

/// The number of replies to earlier requests that are discarded before a request fails.
const MAX_STALE_REPLIES: usize = 16;

/// A netlink socket to `sock_diag`: one file descriptor.
pub(super) struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

impl SockDiag {
    /// Opens the socket and checks that the kernel supports queries about TCP (module `tcp_diag`).
    ///
    /// # Errors
    /// Errors of `socket` or `connect`, and `NotFound` if the kernel has no `tcp_diag`.
    pub(super) fn open() -> io::Result<SockDiag> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, flags, Some(SOCK_DIAG))?;
        // Connected to the kernel, the socket receives messages from no other process.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        let mut diag = SockDiag::from_fd(socket);
        // A list without states is empty, but fails as any request would.
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        diag.query(NLM_F_REQUEST | NLM_F_DUMP, any, any)?;
        Ok(diag)
    }

    /// A socket that another process has opened and checked.
    pub(super) fn from_fd(socket: OwnedFd) -> SockDiag {
        SockDiag {
            socket,
            sequence: 0,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The progress of the connection between `local` and `peer`, addresses as returned by `getsockname` and
    /// `getpeername`; `None` if the kernel has no such connection, or if the request fails.
    pub(super) fn progress(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<Progress> {
        self.query(NLM_F_REQUEST, local, peer).ok().flatten()
    }

    /// Sends one request and parses the reply; `None` for an empty or incomplete one.
    fn query(
        &mut self,
        flags: u16,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> io::Result<Option<Progress>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(flags, self.sequence, local, peer);
        retry_on_intr(|| send(&self.socket, &request, SendFlags::empty()))?;
        let mut buffer = [0; MAX_REPLY];
        for _ in 0..=MAX_STALE_REPLIES {
            let (length, _) =
                retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()))?;
            if let Some(reply) = reply_to(self.sequence, &buffer[..length]) {
                return Ok(reply?.and_then(parse_progress));
            }
        }
        Err(Errno::AGAIN.into())
    }
}

/// A `struct nlmsghdr` and a `struct inet_diag_req_v2`.
fn request(flags: u16, sequence: u32, local: SocketAddr, peer: SocketAddr) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut end = 0;
    let mut put = |field: &[u8]| {
        bytes[end..end + field.len()].copy_from_slice(field);
        end += field.len();
    };
    put(&72_u32.to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&flags.to_ne_bytes());
    put(&sequence.to_ne_bytes());
    put(&[0; 4]);
    // An IPv4 peer of an IPv6 socket has a mapped address, and the kernel finds it under the family of the socket.
    put(&[if local.is_ipv4() { AF_INET } else { AF_INET6 }]);
    put(&[IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    // The states to list; ignored in a request for one connection.
    put(&[0; 4]);
    put(&local.port().to_be_bytes());
    put(&peer.port().to_be_bytes());
    put(&address(local));
    put(&address(peer));
    put(&interface(local, peer).to_ne_bytes());
    put(&INET_DIAG_NOCOOKIE);
    bytes
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

/// The message in the reply to request number `sequence`, if the reply is not empty; `None` if the datagram is the
/// reply to another request.
fn reply_to(sequence: u32, datagram: &[u8]) -> Option<Result<Option<&[u8]>, Errno>> {
    if u32_at(datagram, 8)? != sequence {
        return None;
    }
    let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
    let Some(body) = datagram.get(HEADER..length) else {
        return Some(Err(Errno::BADMSG));
    };
    Some(match u16_at(datagram, 4)? {
        SOCK_DIAG_BY_FAMILY => Ok(Some(body)),
        NLMSG_ERROR | NLMSG_DONE => match u32_at(body, 0).map(u32::cast_signed) {
            Some(error @ ..0) => Err(Errno::from_raw_os_error(error.saturating_neg())),
            _ => Ok(None),
        },
        _ => Err(Errno::BADMSG),
    })
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

/// The value of the attribute of type `kind` (netlink(7), `struct nlattr`).
pub(super) fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        if u16_at(attributes, 2)? == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests;
