//! The client does not read until the connection is reset or a second has passed. So most of the reply is still in the
//! server's send buffer when the server closes.

use super::{Outcome, Place, Trap};
use crate::lab::traps::close::{right, wrong};
use crate::lab::traps::epoll::is_ready;
use crate::lab::traps::loopback::{join, pair, unread, until};
use crate::numbers::grouped;
use rustix::event::PollFlags;
use rustix::net::sockopt::socket_send_buffer_size;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "close",
    sentence: "closing with unread input destroys the reply",
    experiment: "A client sends 10,000 bytes and reads the reply a little later. The server reads 4 \
                 bytes, sends a reply of megabytes and closes the connection.",
    predicted_wrong: "a part of the reply, then a reset",
    predicted_right: "the whole reply, then FIN",
    why: "close(2) with unread input sends RST, since data was lost, and drops what is in the send \
          buffer. A small reply arrives before the RST, so no test notices.",
    source: source!("close.rs"),
    in_echoloop: Place {
        path: "src/connection/reading.rs",
        item: "fn linger",
        how: "after its FIN the server reads and drops input until the client's FIN, for at most \
              2 s.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const REQUEST: usize = 10_000;

/// How long the client waits before it reads.
const PAUSE: Duration = Duration::from_secs(1);

fn run(version: fn(TcpStream, &[u8]) -> io::Result<()>) -> io::Result<Outcome> {
    let (mut client, server) = pair()?;
    client.write_all(&[b'q'; REQUEST])?;
    until(|| Ok(unread(&server)? == REQUEST as u64))?;
    // It fits into the send buffer, so the server does not wait for the client.
    let reply = vec![b'r'; socket_send_buffer_size(&server)? / 4 * 3];
    thread::scope(|scope| {
        let answering = scope.spawn(|| version(server, &reply));
        is_ready(&client, PollFlags::RDHUP, PAUSE)?;
        let (received, ending) = read_to_end(&mut client);
        drop(client);
        join(answering)?;
        let is_complete = received == reply.len();
        let (received, sent) = (grouped(received as u64), grouped(reply.len() as u64));
        let figures = format!("{received} of {sent} bytes, then {ending}");
        Ok(Outcome::new(!is_complete, is_complete, figures))
    })
}

/// Reads to FIN or an error; the number of bytes and what ended them.
fn read_to_end(client: &mut TcpStream) -> (usize, String) {
    let mut buffer = [0; 4096];
    let mut received = 0;
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return (received, "FIN".to_owned()),
            Ok(count) => received += count,
            Err(error) => return (received, error.kind().to_string()),
        }
    }
}
