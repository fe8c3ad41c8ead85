//! A server that reads one connection until it is empty serves no other meanwhile.

use super::loopback::unless_blocked;
use std::io::{self, Read};
use std::net::TcpStream;

/// Reads until the socket is empty.
pub(super) fn wrong(mut client: &TcpStream, on_input: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match unless_blocked(client.read(&mut buffer))? {
            0 => return Ok(()),
            count => on_input(&buffer[..count]),
        }
    }
}

/// Reads at most 4 times, then serves the next connection. Level-triggered epoll reports the rest again; with
/// edge-triggered epoll the server has to queue the connection itself.
pub(super) fn right(mut client: &TcpStream, on_input: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = [0; 4096];
    for _ in 0..4 {
        match unless_blocked(client.read(&mut buffer))? {
            0 => return Ok(()),
            count => on_input(&buffer[..count]),
        }
    }
    Ok(())
}
