//! All bytes are in the socket before the server waits: one event.

use super::{Outcome, Place, Trap};
use crate::lab::traps::edge::{right, wrong};
use crate::lab::traps::epoll::{create, watch};
use crate::lab::traps::loopback::{pair, unread, until};
use crate::numbers::grouped;
use rustix::event::epoll::EventFlags;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

pub(super) const TRAP: Trap = Trap {
    name: "edge",
    sentence: "one read per event leaves input behind (edge-triggered epoll)",
    experiment: "A client sends 10,000 bytes and waits. The server reads up to 4,096 bytes at a time.",
    predicted_wrong: "4,096 bytes arrive; the rest waits, without an event",
    predicted_right: "10,000 bytes arrive",
    why: "EPOLLET reports that input has arrived, once. It does not report that input is still there, \
          as level-triggered epoll does.",
    source: source!("edge.rs"),
    in_echoloop: Place {
        path: "src/connection/reading.rs",
        item: "fn on_short_read",
        how: "a connection stays readable until EAGAIN, or until a read does not fill its buffer, \
              which means the same (epoll(7), question 9).",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const SENT: usize = 10_000;

fn run(version: fn(&OwnedFd, &TcpStream) -> io::Result<usize>) -> io::Result<Outcome> {
    let (mut client, server) = pair()?;
    server.set_nonblocking(true)?;
    client.write_all(&[b'x'; SENT])?;
    until(|| Ok(unread(&server)? == SENT as u64))?;
    let epoll = create()?;
    watch(&epoll, &server, EventFlags::IN | EventFlags::ET)?;
    let received = version(&epoll, &server)?;
    let rest = match unread(&server)? {
        0 => String::new(),
        rest => format!(
            "; {} wait in the socket, and no event for 200 ms",
            grouped(rest)
        ),
    };
    let (count, sent) = (grouped(received as u64), grouped(SENT as u64));
    let figures = format!("{count} of {sent} bytes{rest}");
    Ok(Outcome::new(received == 4096, received == SENT, figures))
}
