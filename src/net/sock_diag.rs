//! What the kernel knows of one TCP connection: how many bytes are unacknowledged, and for how long.
//!
//! In: the connection's two addresses. Out: a [`Progress`], from one exact `sock_diag` request over a netlink
//! socket (man 7 `sock_diag`). No privilege is needed. The kernel answers during the `send`, so the `recv` after it never waits.

use super::Progress;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
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
/// `struct inet_diag_req_v2` behind its header.
const REQUEST: usize = HEADER + 56;
/// `struct inet_diag_msg`, which attributes follow.
const ANSWER: usize = 72;

// linux/socket.h, linux/in.h, and the states of net/tcp_states.h
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const FIN_WAIT1: u8 = 4;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;
const ALL_STATES: u32 = u32::MAX;
const NO_STATE: u32 = 0;

/// Large enough for any answer: header, message and some attributes are about 500 bytes.
const LARGEST_ANSWER: usize = 4096;

/// How many answers to earlier requests are discarded before a request is given up.
const MAX_STALE_ANSWERS: usize = 16;

/// A netlink socket to `sock_diag`: one file descriptor.
pub(super) struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

impl SockDiag {
    /// Opens the socket and checks that the kernel can answer for TCP (module `tcp_diag`).
    ///
    /// # Errors
    /// What `socket` or `connect` say, and `NotFound` where the kernel has no `tcp_diag`.
    pub(super) fn open() -> io::Result<SockDiag> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, flags, Some(SOCK_DIAG))?;
        // Connected to the kernel, the socket takes messages from no other process.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        let mut diag = SockDiag {
            socket,
            sequence: 0,
        };
        // The connections in no state at all: an empty answer, or the error that any request would get.
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        diag.ask(NLM_F_REQUEST | NLM_F_DUMP, NO_STATE, any, any, |answer| {
            answer.map(|_| ())
        })?;
        Ok(diag)
    }

    /// The connection between `local` and `peer`, as `getsockname` and `getpeername` report them; `None` where the kernel
    /// has no such connection, or the request fails.
    pub(super) fn progress(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<Progress> {
        let found = self.ask(NLM_F_REQUEST, ALL_STATES, local, peer, |answer| {
            Ok(answer?.and_then(progress_of))
        });
        found.ok().flatten()
    }

    /// Sends one request and calls `read` with what answers it: a message, or `None` for an empty list.
    fn ask<T>(
        &mut self,
        flags: u16,
        states: u32,
        local: SocketAddr,
        peer: SocketAddr,
        read: impl FnOnce(Result<Option<&[u8]>, Errno>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(flags, self.sequence, states, local, peer);
        retry_on_intr(|| send(&self.socket, &request, SendFlags::empty()))?;
        let mut buffer = [0; LARGEST_ANSWER];
        for _ in 0..=MAX_STALE_ANSWERS {
            let received =
                retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()));
            let (length, _) = received?;
            if let Some(answer) = answer_to(self.sequence, &buffer[..length]) {
                return read(answer);
            }
        }
        Err(Errno::AGAIN)
    }
}

/// A `struct nlmsghdr` and a `struct inet_diag_req_v2`.
fn request(
    flags: u16,
    sequence: u32,
    states: u32,
    local: SocketAddr,
    peer: SocketAddr,
) -> [u8; REQUEST] {
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
    // An IPv4 peer of an IPv6 socket has a mapped address, by which the kernel finds it under the socket's family.
    put(&[if local.is_ipv4() { AF_INET } else { AF_INET6 }]);
    put(&[IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    put(&states.to_ne_bytes());
    put(&local.port().to_be_bytes());
    put(&peer.port().to_be_bytes());
    put(&address(local));
    put(&address(peer));
    put(&interface(local, peer).to_ne_bytes());
    put(&INET_DIAG_NOCOOKIE);
    bytes
}

/// An address in the 16 bytes of `struct inet_diag_sockid`, where IPv4 takes the first four.
fn address(of: SocketAddr) -> [u8; 16] {
    match of.ip() {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The interface that a connection between link-local addresses is bound to; else 0.
fn interface(local: SocketAddr, peer: SocketAddr) -> u32 {
    match (local, peer) {
        (SocketAddr::V6(local), SocketAddr::V6(peer)) => peer.scope_id().max(local.scope_id()),
        _ => 0,
    }
}

/// What one datagram answers to request number `sequence`; `None` if it answers another one.
fn answer_to(sequence: u32, datagram: &[u8]) -> Option<Result<Option<&[u8]>, Errno>> {
    if u32_at(datagram, 8)? != sequence {
        return None;
    }
    let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
    let Some(body) = datagram.get(HEADER..length) else {
        return Some(Err(Errno::BADMSG));
    };
    let refused = || match u32_at(body, 0).map(u32::cast_signed) {
        Some(error @ ..0) => Err(Errno::from_raw_os_error(error.saturating_neg())),
        _ => Ok(None),
    };
    Some(match u16_at(datagram, 4)? {
        SOCK_DIAG_BY_FAMILY => Ok(Some(body)),
        NLMSG_ERROR | NLMSG_DONE => refused(),
        _ => Err(Errno::BADMSG),
    })
}

/// Reads a `struct inet_diag_msg` with its attributes.
fn progress_of(message: &[u8]) -> Option<Progress> {
    let state = *message.get(1)?;
    let queued = u64::from(u32_at(message, 60)?);
    // Until FIN is acknowledged it counts as a byte.
    let fin = u64::from(matches!(state, FIN_WAIT1 | LAST_ACK | CLOSING));
    let info = attribute(message.get(ANSWER..)?, INET_DIAG_INFO)?;
    let milliseconds = |at| Some(Duration::from_millis(u64::from(u32_at(info, at)?)));
    let last_data_sent = milliseconds(44)?;
    let last_data_received = milliseconds(52)?;
    let last_ack_received = milliseconds(56)?;
    let round_trip = Duration::from_micros(u64::from(u32_at(info, 68)?));
    Some(Progress {
        unacknowledged: queued.saturating_sub(fin),
        since_acknowledged: since_acknowledged(last_data_sent, last_ack_received, round_trip),
        since_received: last_data_received,
    })
}

/// A peer that has vanished lets the kernel retransmit, but sends no ACK. A peer with a zero window answers window probes,
/// but those carry no data, and what was sent before them was acknowledged a round trip later.
fn since_acknowledged(
    last_data_sent: Duration,
    last_ack_received: Duration,
    round_trip: Duration,
) -> Duration {
    last_ack_received.max(last_data_sent.saturating_sub(round_trip))
}

/// The value of the attribute of this type (netlink(7), `struct nlattr`).
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        if u16_at(attributes, 2)? == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests;
