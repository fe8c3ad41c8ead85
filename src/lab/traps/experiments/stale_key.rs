//! One batch has three events, in this order: a message that closes another connection, a new connection, and the FIN of
//! the closed connection.

use super::{Outcome, Place, Trap};
use crate::lab::traps::epoll::{create, is_ready, wait_until_readable};
use crate::lab::traps::loopback::PATIENCE;
use crate::lab::traps::loopback::listener;
use crate::lab::traps::stale_key::{Server, right, wrong};
use rustix::event::PollFlags;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

pub(super) const TRAP: Trap = Trap {
    name: "stale-key",
    sentence: "an event of a closed connection reaches a new one",
    experiment: "In one batch of epoll_wait: client A sends a message that makes the server close \
                 client B, client C connects, and B sends FIN. Then C sends a message.",
    predicted_wrong: "the server closes C",
    predicted_right: "C reads its echo",
    why: "The kernel gives the new connection the lowest free file descriptor, which is the one of \
          B. The event with B's FIN comes last in the batch, and its key now finds C.",
    source: source!("stale_key.rs"),
    in_echoloop: Place {
        path: "src/reactor/slots.rs",
        item: "fn find",
        how: "a key is a slot and a serial number; the key of a closed connection finds nothing.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

fn run(key_of: fn(&TcpStream, u64) -> u64) -> io::Result<Outcome> {
    let mut server = Server {
        epoll: create()?,
        listener: listener()?,
        key_of,
        accepted: 0,
        clients: HashMap::new(),
    };
    let mut a = connect(&mut server)?;
    let b = connect(&mut server)?;
    // From now on, since its earlier events would put it at the head of the batch.
    server.listen()?;
    a.write_all(b"only me")?;
    wait_until_readable(end_of(&a, &server)?)?;
    let mut c = TcpStream::connect(server.listener.local_addr()?)?;
    wait_until_readable(&server.listener)?;
    let end_of_b = end_of(&b, &server)?.try_clone()?;
    // Not dropped: its own file descriptor would be free too.
    b.shutdown(Shutdown::Write)?;
    if !is_ready(&end_of_b, PollFlags::RDHUP, PATIENCE)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // The server has the only file descriptor, so that its close is the end of the connection.
    drop(end_of_b);
    server.run_iteration()?;

    c.set_read_timeout(Some(PATIENCE))?;
    c.write_all(b"hello")?;
    server.run_iteration()?;
    let mut echo = [0; 5];
    let count = c.read(&mut echo)?;
    let figures = match count {
        0 => "C reads FIN instead of its echo",
        _ => "C reads its echo",
    };
    Ok(Outcome::new(count == 0, count == 5, figures.to_owned()))
}

fn connect(server: &mut Server) -> io::Result<TcpStream> {
    let client = TcpStream::connect(server.listener.local_addr()?)?;
    server.accept()?;
    Ok(client)
}

/// The connection of a client at the server.
fn end_of<'a>(client: &TcpStream, server: &'a Server) -> io::Result<&'a TcpStream> {
    let address = client.local_addr()?;
    let mut ends = server.clients.values();
    let end = ends.find(|end| end.peer_addr().is_ok_and(|peer| peer == address));
    end.ok_or_else(|| io::ErrorKind::NotFound.into())
}
