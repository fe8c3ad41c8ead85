//! Messages with file descriptors over a Unix socket.
//!
//! A message is a header, the payload, and up to [`MAX_FDS`] descriptors, which the kernel passes with the first byte:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind |
//! | 1 | 1 if a process that does not know the kind must fail, 0 if it may skip the message |
//! | 2 | number of descriptors |
//! | 4 | length of the payload |
//! | 4 | CRC-32 of the payload |
//!
//! Numbers are little-endian.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The most descriptors in one message (`SCM_MAX_FD` of the kernel).
pub(super) const MAX_FDS: usize = 253;

const HEADER: usize = 12;

/// A longer payload is rejected before memory is reserved for it.
const MAX_PAYLOAD: usize = 1 << 30;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    Rehearsal,
    Rehearsed,
    Begin,
    Connections,
    Received,
    End,
    Taken,
    Commit,
    Serving,
    /// The new process cannot take over; the payload is the reason.
    Failed,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Hello,
        Kind::Rehearsal,
        Kind::Rehearsed,
        Kind::Begin,
        Kind::Connections,
        Kind::Received,
        Kind::End,
        Kind::Taken,
        Kind::Commit,
        Kind::Serving,
        Kind::Failed,
    ];

    fn of(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A received message.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
}

/// One end of the connection between the two processes.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    /// The part of the next message that was received.
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Channel {
        Channel {
            stream,
            bytes: Vec::new(),
            fds: Vec::new(),
        }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// From now on each system call takes at most `timeout`, and fails with [`WouldBlock`](ErrorKind::WouldBlock) then.
    pub(super) fn block_for(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(timeout)?;
        self.stream.set_write_timeout(timeout)
    }

    pub(super) fn send(
        &self,
        kind: Kind,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let too_large = |_| io::Error::from(ErrorKind::InvalidInput);
        let mut header = [0; HEADER];
        header[0] = kind as u8;
        header[1] = 1;
        let count = u16::try_from(fds.len()).map_err(too_large)?;
        header[2..4].copy_from_slice(&count.to_le_bytes());
        let length = u32::try_from(payload.len()).map_err(too_large)?;
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let pieces = [IoSlice::new(&header), IoSlice::new(payload)];
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.stream, &pieces, &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        let mut stream = &self.stream;
        stream.write_all(&header[sent.min(HEADER)..])?;
        stream.write_all(&payload[sent.saturating_sub(HEADER)..])
    }

    /// The next message.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if it has not arrived completely, or not [in time](Channel::block_for);
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the other process has closed its end; or an invalid message.
    pub(super) fn receive(&mut self) -> io::Result<Received> {
        loop {
            self.fill(HEADER)?;
            let header = self.bytes.first_chunk::<HEADER>().copied();
            let [kind, critical, fds @ .., l0, l1, l2, l3, c0, c1, c2, c3] =
                header.unwrap_or_default();
            let fds = usize::from(u16::from_le_bytes(fds));
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
            let known = Kind::of(kind);
            if critical > 1 || length > MAX_PAYLOAD || known.is_none() && critical == 1 {
                return Err(invalid(&format!("a message of the unknown kind {kind}")));
            }
            self.fill(HEADER + length)?;
            let mut payload = std::mem::take(&mut self.bytes);
            payload.drain(..HEADER);
            let received = std::mem::take(&mut self.fds);
            if crc32fast::hash(&payload) != checksum {
                return Err(invalid("a message with a wrong checksum"));
            }
            let Some(kind) = known else { continue };
            if received.len() != fds {
                return Err(invalid(&format!(
                    "{} of {fds} file descriptors of a message",
                    received.len()
                )));
            }
            return Ok(Received {
                kind,
                payload,
                fds: received,
            });
        }
    }

    /// Receives until `length` bytes of the message are there.
    fn fill(&mut self, length: usize) -> io::Result<()> {
        /// Memory is reserved for this many bytes at a time.
        const STEP: usize = 1 << 20;
        while self.bytes.len() < length {
            let start = self.bytes.len();
            let more = (length - start).min(STEP);
            let reserved = self.bytes.try_reserve(more);
            reserved.map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
            self.bytes.resize(start + more, 0);
            let received = receive(&self.stream, &mut self.bytes[start..], &mut self.fds);
            let count = *received.as_ref().unwrap_or(&0);
            self.bytes.truncate(start + count);
            match received {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Receives bytes, and the descriptors that were passed with them.
fn receive(stream: &UnixStream, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(buffer)];
    let message = recvmsg(stream, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for received in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = received {
            fds.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel drops the descriptors beyond the limit of this process.
        return Err(invalid("not all file descriptors: their limit is too low"));
    }
    Ok(message.bytes)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("received {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn pair() -> (Channel, Channel) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Channel::new(ours), Channel::new(theirs))
    }

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (ours, mut theirs) = pair();
        let files: Vec<_> = (0..MAX_FDS)
            .map(|_| io::stdin().as_fd().try_clone_to_owned().unwrap())
            .collect();
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        ours.send(Kind::Commit, b"", &[]).unwrap();
        ours.send(Kind::Connections, b"first", &fds).unwrap();
        ours.send(Kind::Connections, b"second", &fds[..3]).unwrap();
        for (kind, payload, fds) in [
            (Kind::Commit, &b""[..], 0),
            (Kind::Connections, b"first", MAX_FDS),
            (Kind::Connections, b"second", 3),
        ] {
            let received = theirs.receive().unwrap();
            assert_eq!(
                (received.kind, &*received.payload, received.fds.len()),
                (kind, payload, fds)
            );
        }
        drop(ours);
        assert_eq!(
            theirs.receive().unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn incomplete_message_would_block_until_its_rest_arrives() {
        let (ours, mut theirs) = pair();
        let (mut forward, recorder) = UnixStream::pair().unwrap();
        Channel::new(recorder)
            .send(Kind::Hello, b"hello", &[])
            .unwrap();
        let mut bytes = [0; HEADER + 5];
        io::Read::read_exact(&mut forward, &mut bytes).unwrap();
        theirs.stream().set_nonblocking(true).unwrap();
        for byte in bytes {
            assert_eq!(theirs.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
            ours.stream().write_all(&[byte]).unwrap();
        }
        assert_eq!(theirs.receive().unwrap().payload, b"hello");
    }

    /// The bytes of a message.
    fn raw(kind: u8, critical: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let checksum = crc32fast::hash(payload).to_le_bytes();
        [&[kind, critical, 0, 0][..], &length, &checksum, payload].concat()
    }

    #[test]
    fn unknown_message_is_skipped_unless_it_is_critical() {
        let (ours, mut theirs) = pair();
        ours.stream().write_all(&raw(200, 0, b"news")).unwrap();
        ours.send(Kind::Commit, b"", &[]).unwrap();
        assert_eq!(theirs.receive().unwrap().kind, Kind::Commit);
        ours.stream().write_all(&raw(200, 1, b"news")).unwrap();
        let error = theirs.receive().unwrap_err().to_string();
        assert_eq!(error, "received a message of the unknown kind 200");
    }

    #[test]
    fn flipped_bit_is_detected() {
        for bit in HEADER * 8..(HEADER + 4) * 8 {
            let (ours, mut theirs) = pair();
            let mut bytes = raw(Kind::Hello as u8, 1, b"text");
            bytes[bit / 8] ^= 1 << (bit % 8);
            ours.stream().write_all(&bytes).unwrap();
            assert_eq!(theirs.receive().unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}
