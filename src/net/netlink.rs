//! Netlink (netlink(7)): requests to the kernel, and the messages of its replies.
//!
//! The kernel replies during the `send`, and continues a list during each `recv`, so that no call blocks.

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io;
use std::os::fd::OwnedFd;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const HEADER: usize = 16;

// linux/socket.h
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

/// The kernel fills no datagram of a list beyond this, unless a larger one was received before (`NLMSG_GOODSIZE`).
pub(super) const MAX_DATAGRAM: usize = 16 * 1024;

/// The length of the longest request.
const MAX_REQUEST: usize = 80;

/// The number of replies to earlier requests that are discarded before a request fails.
pub(super) const MAX_STALE_REPLIES: usize = 16;

/// A request, written field by field.
pub(super) struct Request {
    bytes: [u8; MAX_REQUEST],
    length: usize,
    /// The type of the messages of the reply.
    reply: u16,
    is_list: bool,
}

impl Request {
    /// The header (`struct nlmsghdr`) of a request, whose reply has the same type. With the flags `NLM_F_DUMP`, the reply is a
    /// list.
    pub(super) fn new(kind: u16, flags: u16) -> Request {
        let empty = Request {
            bytes: [0; MAX_REQUEST],
            length: 0,
            reply: kind,
            is_list: flags & NLM_F_DUMP == NLM_F_DUMP,
        };
        // The length and the sequence number are known when it is sent.
        let header = empty.with(&[0; 4]).with(&kind.to_ne_bytes());
        header
            .with(&(NLM_F_REQUEST | flags).to_ne_bytes())
            .with(&[0; 8])
    }

    /// The messages of the reply have another type than the request.
    #[cfg(feature = "program")]
    pub(super) fn with_reply(self, reply: u16) -> Request {
        Request { reply, ..self }
    }

    /// Appends a field.
    pub(super) fn with(mut self, field: &[u8]) -> Request {
        let end = self.length + field.len();
        self.bytes[self.length..end].copy_from_slice(field);
        self.length = end;
        self
    }

    /// Appends an attribute (`struct nlattr`) whose value needs no padding.
    #[cfg(feature = "program")]
    pub(super) fn with_attribute(self, kind: u16, value: &[u8]) -> Request {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        let header = self.with(&length.to_ne_bytes()).with(&kind.to_ne_bytes());
        header.with(value)
    }

    /// What was written so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A netlink socket.
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    /// The number of the last request.
    sequence: u32,
}

impl Socket {
    /// Opens a socket; without a protocol, to the routing tables (`NETLINK_ROUTE` is 0).
    ///
    /// # Errors
    /// See socket(2).
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Socket::from_fd(fd))
    }

    /// A socket that is open.
    pub(super) fn from_fd(fd: OwnedFd) -> Socket {
        Socket { fd, sequence: 0 }
    }

    /// Sends a request and calls the function with the body of each message of the reply. A datagram has at most the size
    /// of the buffer.
    ///
    /// # Errors
    /// See send(2) and recv(2), or the error in the reply. A message of another type than requested is an error.
    pub(super) fn request(
        &mut self,
        request: Request,
        buffer: &mut [u8],
        on_message: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let (reply, is_list) = (request.reply, request.is_list);
        self.send(request)?;
        let mut stale = 0;
        while stale <= MAX_STALE_REPLIES {
            stale += 1;
            let (length, _) =
                retry_on_intr(|| recv(&self.fd, &mut buffer[..], RecvFlags::empty()))?;
            let mut datagram = buffer.get(..length).unwrap_or_default();
            while !datagram.is_empty() {
                let (message, rest) = Message::split(datagram).ok_or(Errno::BADMSG)?;
                datagram = rest;
                if message.sequence != self.sequence {
                    continue;
                }
                stale = 0;
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => return message.result(),
                    kind if kind == reply => on_message(message.body),
                    _ => return Err(Errno::BADMSG.into()),
                }
                if !is_list {
                    return Ok(());
                }
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Sends a request.
    pub(super) fn send(&mut self, mut request: Request) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(request.length).unwrap_or(u32::MAX);
        request.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        request.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        retry_on_intr(|| send(&self.fd, request.bytes(), SendFlags::empty()))?;
        Ok(())
    }
}

/// A message from the kernel.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first message of a datagram, and the messages after it.
    fn split(datagram: &'a [u8]) -> Option<(Message<'a>, &'a [u8])> {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            sequence: u32_at(datagram, 8)?,
            body: datagram.get(HEADER..length)?,
        };
        let rest = datagram.get(length.next_multiple_of(4)..);
        Some((message, rest.unwrap_or_default()))
    }

    /// The result in a message that ends a reply.
    fn result(&self) -> io::Result<()> {
        match u32_at(self.body, 0).map(u32::cast_signed) {
            Some(error @ ..0) => Err(Errno::from_raw_os_error(error.saturating_neg()).into()),
            _ => Ok(()),
        }
    }
}

/// The value of the attribute of type `kind` (`struct nlattr`).
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// A message with this body.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let fields = [
            &length.to_ne_bytes()[..],
            &kind.to_ne_bytes(),
            &[0; 10],
            body,
        ];
        fields.concat()
    }

    #[test]
    fn reply_of_another_type_is_an_error() {
        let requested = |kind: u16| {
            let (socket, kernel) = UnixDatagram::pair().unwrap();
            let mut reply = message(kind, &[7; 4]);
            reply[8..12].copy_from_slice(&1_u32.to_ne_bytes());
            kernel.send(&reply).unwrap();
            let mut body = None;
            let request = Request::new(20, 0);
            let result =
                Socket::from_fd(socket.into()).request(request, &mut [0; 64], &mut |message| {
                    body = message.first().copied();
                });
            (result.is_ok(), body)
        };
        assert_eq!(requested(20), (true, Some(7)));
        assert_eq!(requested(21), (false, None));
        assert_eq!(requested(4), (false, None));
    }

    #[test]
    fn messages_of_a_datagram_are_split_at_multiples_of_4() {
        let datagram = [message(20, b"abcde"), vec![0; 3], message(3, &[0; 4])].concat();
        let (first, rest) = Message::split(&datagram).unwrap();
        assert_eq!((first.kind, first.body), (20, &b"abcde"[..]));
        let (last, rest) = Message::split(rest).unwrap();
        assert_eq!((last.kind, last.body, rest), (3, &[0; 4][..], &[][..]));
    }

    #[test]
    fn cut_and_empty_messages_are_none() {
        assert!(Message::split(&[]).is_none());
        assert!(Message::split(&[0; HEADER]).is_none(), "a length of 0");
        let whole = message(20, &[7; 8]);
        for length in 0..whole.len() {
            assert!(Message::split(&whole[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn error_number_in_a_reply_is_an_error() {
        let result = |number: i32| {
            let message = message(NLMSG_ERROR, &number.to_ne_bytes());
            let (message, _) = Message::split(&message).unwrap();
            message.result().map_err(|error| error.kind())
        };
        assert_eq!(result(0), Ok(()));
        assert_eq!(result(-17), Err(io::ErrorKind::AlreadyExists));
    }
}
