//! Data and FIN are both at the server before it handles the event.

use super::{Outcome, Place, Trap};
use crate::lab::traps::epoll::{create, is_ready, wait, watch};
use crate::lab::traps::half_close::{right, wrong};
use crate::lab::traps::loopback::{PATIENCE, pair};
use rustix::event::PollFlags;
use rustix::event::epoll::EventFlags;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

pub(super) const TRAP: Trap = Trap {
    name: "half-close",
    sentence: "a client that has sent FIN still reads",
    experiment: "A client sends hello and FIN, as `echo hello | nc -N` does, and reads the echo.",
    predicted_wrong: "no echo",
    predicted_right: "hello",
    why: "FIN ends one direction of a connection. EPOLLRDHUP reports it while input is unread, so it \
          means neither that the client has gone nor that nothing is left to do.",
    source: source!("half_close.rs"),
    in_echoloop: Place {
        path: "src/connection/receiving.rs",
        item: "fn on_eof",
        how: "only a read that returns 0 is the end of input; all output is sent before the FIN of \
              the server.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

fn run(version: fn(&TcpStream, EventFlags) -> io::Result<()>) -> io::Result<Outcome> {
    let (mut client, server) = pair()?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    if !is_ready(&server, PollFlags::RDHUP, PATIENCE)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let epoll = create()?;
    watch(&epoll, &server, EventFlags::IN | EventFlags::RDHUP)?;
    for event in wait(&epoll)? {
        version(&server, event.flags)?;
    }
    drop(server);
    let mut echo = String::new();
    let ending = match client.read_to_string(&mut echo) {
        Ok(_) => "FIN".to_owned(),
        Err(error) => error.kind().to_string(),
    };
    let (is_wrong, is_right) = (echo.is_empty(), echo == "hello");
    let shown = if is_wrong { "no echo" } else { &echo };
    let figures = format!("{shown}, then {ending}");
    Ok(Outcome::new(is_wrong, is_right, figures))
}
