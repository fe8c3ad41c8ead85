//! The kernel takes the urgent byte (`MSG_OOB`) out of the stream, unless the socket keeps it in line.

use rustix::net::sockopt::set_socket_oobinline;
use std::io::{self, Read};
use std::net::TcpStream;

/// Reads the stream. The urgent byte is not a part of it.
pub(super) fn wrong(mut stream: &TcpStream) -> io::Result<String> {
    let mut received = String::new();
    stream.read_to_string(&mut received)?;
    Ok(received)
}

/// Reads the urgent byte at its place in the stream, as RFC 6093 recommends.
pub(super) fn right(mut stream: &TcpStream) -> io::Result<String> {
    let mut received = String::new();
    set_socket_oobinline(stream, true)?;
    stream.read_to_string(&mut received)?;
    Ok(received)
}
