//! Closing a socket with unread input sends RST, and the kernel drops the output that it has not sent yet.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

/// Replies after the first bytes of the request, and closes the connection.
pub(super) fn wrong(mut client: TcpStream, reply: &[u8]) -> io::Result<()> {
    client.read_exact(&mut [0; 4])?;
    client.write_all(reply)
}

/// Sends FIN after the reply, and reads to the client's FIN before it closes the connection.
pub(super) fn right(mut client: TcpStream, reply: &[u8]) -> io::Result<()> {
    client.read_exact(&mut [0; 4])?;
    client.write_all(reply)?;
    client.shutdown(Shutdown::Write)?;
    while client.read(&mut [0; 4096])? > 0 {}
    Ok(())
}
