//! Edge-triggered epoll reports a change, not a state: bytes that a server leaves in a socket cause no further event.

use super::epoll::has_event;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

/// Reads once per event, which is enough with level-triggered epoll only.
pub(super) fn wrong(epoll: &OwnedFd, mut stream: &TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let mut received = 0;
    while has_event(epoll)? {
        received += stream.read(&mut buffer)?;
    }
    Ok(received)
}

/// Reads until the socket is empty (EAGAIN): only then does the next byte cause an event.
pub(super) fn right(epoll: &OwnedFd, mut stream: &TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let mut received = 0;
    while has_event(epoll)? {
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(received),
                Ok(count) => received += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(received)
}
