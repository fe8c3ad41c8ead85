//! The side that closes first keeps its port in `TIME_WAIT` for 60 s. A client that opens and closes many connections
//! uses up its ports.

use super::loopback::{connect_from, ping};
use rustix::net::sockopt::set_socket_linger;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Sends one message from a local port, and closes the connection with FIN.
pub(super) fn wrong(local: SocketAddr, server: SocketAddr) -> io::Result<()> {
    let stream = connect_from(local, server)?;
    ping(&stream)
}

/// Closes with RST when the reply is complete: no `TIME_WAIT`. One connection for all messages is better still.
pub(super) fn right(local: SocketAddr, server: SocketAddr) -> io::Result<()> {
    let stream = connect_from(local, server)?;
    ping(&stream)?;
    Ok(set_socket_linger(&stream, Some(Duration::ZERO))?)
}
