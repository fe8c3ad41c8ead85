//! A client that sends and does not read makes a server collect replies, up to all the memory there is.

use super::loopback::unless_blocked;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Reads whatever the client sends.
pub(super) fn wrong(connection: &mut Connection) -> io::Result<()> {
    connection.read()?;
    connection.write()
}

/// Does not read while output is pending, so TCP flow control stops the client (back-pressure).
pub(super) fn right(connection: &mut Connection) -> io::Result<()> {
    if connection.pending.is_empty() {
        connection.read()?;
    }
    connection.write()
}

/// A non-blocking connection whose input is echoed, with the output that the kernel has not accepted.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) pending: Vec<u8>,
}

impl Connection {
    /// Reads once.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16384];
        let count = unless_blocked(self.stream.read(&mut buffer))?;
        self.pending.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Writes as much of the pending output as the kernel accepts.
    fn write(&mut self) -> io::Result<()> {
        let count = unless_blocked(self.stream.write(&self.pending))?;
        self.pending.drain(..count);
        Ok(())
    }
}
