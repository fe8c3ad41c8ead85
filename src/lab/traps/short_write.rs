//! A non-blocking write(2) takes what fits into the send buffer, and returns how much that was.

use super::epoll::wait_until_writable;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;

/// Ignores how many bytes were written.
pub(super) fn wrong(mut client: &TcpStream, reply: &[u8]) -> io::Result<()> {
    let _count = client.write(reply)?;
    Ok(())
}

/// Keeps the rest, and writes it when the socket is writable again.
pub(super) fn right(mut client: &TcpStream, reply: &[u8]) -> io::Result<()> {
    let mut rest = reply;
    while !rest.is_empty() {
        match client.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_until_writable(client)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
