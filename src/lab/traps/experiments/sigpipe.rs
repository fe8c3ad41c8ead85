//! The server is a shell, since SIGPIPE has its default action there.

use super::{Outcome, Place, Trap};
use crate::lab::traps::epoll::is_ready;
use crate::lab::traps::loopback::{PATIENCE, pair};
use crate::lab::traps::sigpipe::{right, wrong};
use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "sigpipe",
    sentence: "a write to a reset connection ends the process",
    experiment: "A server writes twice to a client that has reset its connection, then hello to a \
                 client that waits.",
    predicted_wrong: "the server ends with SIGPIPE; the other client reads nothing",
    predicted_right: "the server goes on; the other client reads hello",
    why: "The first write reports ECONNRESET; the second raises SIGPIPE, whose default action ends \
          the process. If the signal is ignored, or with MSG_NOSIGNAL, it returns EPIPE.",
    source: source!("sigpipe.rs"),
    in_echoloop: Place {
        path: "src/net/mio_net.rs",
        item: "fn write",
        how: "Rust ignores SIGPIPE at start, and its sockets write with MSG_NOSIGNAL; EPIPE closes \
              one connection.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

fn run(version: fn(OwnedFd, OwnedFd) -> io::Result<ExitStatus>) -> io::Result<Outcome> {
    let (gone, gone_end) = pair()?;
    let (mut waiting, waiting_end) = pair()?;
    // With a linger time of zero, close sends RST.
    set_socket_linger(&gone, Some(Duration::ZERO))?;
    drop(gone);
    if !is_ready(&gone_end, PollFlags::empty(), PATIENCE)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let status = version(gone_end.into(), waiting_end.into())
        .map_err(|error| io::Error::new(error.kind(), format!("sh cannot be run: {error}")))?;
    let mut received = String::new();
    waiting.read_to_string(&mut received)?;
    let server = match status.signal() {
        Some(13) => "ended by SIGPIPE".to_owned(),
        _ => status.to_string(),
    };
    let read = match received.trim() {
        "" => "nothing",
        received => received,
    };
    let figures = format!("server: {server}; the other client read {read}");
    let (is_wrong, is_right) = (status.signal() == Some(13), received == "hello\n");
    Ok(Outcome::new(is_wrong, is_right, figures))
}
