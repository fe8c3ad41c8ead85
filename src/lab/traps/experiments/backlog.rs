//! The server accepts nothing until the kernel establishes no further connection; then it accepts as fast as it can.

use super::{Outcome, Place, Trap};
use crate::lab::traps::backlog::{right, wrong};
use crate::lab::traps::epoll::is_ready;
use crate::lab::traps::loopback::{ANY_PORT, PATIENCE, now, until_steady};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "backlog",
    sentence: "a short accept queue costs the clients a second each",
    experiment: "60 clients connect while the server is busy for half a second.",
    predicted_wrong: "about 9 are connected; most of the others need a second or more, \
                      although the server accepts them all after half a second",
    predicted_right: "60 are connected",
    why: "The kernel completes handshakes only while the accept queue has space. It drops further \
          SYNs, and a client repeats its SYN after 1 s. Rust's TcpListener has a backlog of 128.",
    source: source!("backlog.rs"),
    in_echoloop: Place {
        path: "src/net/listener.rs",
        item: "DEFAULT_BACKLOG",
        how: "4096, and the log has the value in force, since the kernel caps it.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const CLIENTS: usize = 60;

/// The kernel is given this time to establish one more connection.
const BUSY: Duration = Duration::from_millis(500);

fn run(version: fn(SocketAddr) -> io::Result<TcpListener>) -> io::Result<Outcome> {
    let listener = version(ANY_PORT)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let start = now();
    let mut clients = (0..CLIENTS)
        .map(|_| start_connecting(address))
        .collect::<io::Result<Vec<_>>>()?;
    let at_once = until_steady(BUSY, || established(&mut clients))?;
    let busy = format!("{at_once} of {CLIENTS} are connected while the server is busy");
    if at_once > CLIENTS / 2 {
        return Ok(Outcome::new(false, at_once == CLIENTS, busy));
    }
    let mut accepted = Vec::new();
    while established(&mut clients)? <= CLIENTS / 2 && now() < start + PATIENCE {
        is_ready(&listener, PollFlags::IN, Duration::from_millis(10))?;
        while let Ok((client, _)) = listener.accept() {
            accepted.push(client);
        }
    }
    let seconds = now().saturating_sub(start).as_secs_f64();
    let figures = format!("{busy}; half of them after {seconds:.2} s");
    Ok(Outcome::new(true, false, figures))
}

/// A client that has sent its SYN.
fn start_connecting(address: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// How many connections are established.
fn established(clients: &mut [OwnedFd]) -> io::Result<usize> {
    let mut count = 0;
    for client in clients {
        count += usize::from(is_ready(client, PollFlags::OUT, Duration::ZERO)?);
    }
    Ok(count)
}
