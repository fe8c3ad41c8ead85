//! A client that has sent FIN may still read: FIN ends one direction.

use rustix::event::epoll::EventFlags;
use std::io;
use std::net::TcpStream;

/// Closes the connection as soon as the client has sent FIN.
pub(super) fn wrong(client: &TcpStream, events: EventFlags) -> io::Result<()> {
    if events.contains(EventFlags::RDHUP) {
        return Ok(());
    }
    echo(client)
}

/// Answers everything that was sent before the FIN, and closes the connection then.
pub(super) fn right(client: &TcpStream, _events: EventFlags) -> io::Result<()> {
    echo(client)
}

/// Echoes up to the client's FIN.
fn echo(mut client: &TcpStream) -> io::Result<()> {
    let mut input = client;
    io::copy(&mut input, &mut client)?;
    Ok(())
}
