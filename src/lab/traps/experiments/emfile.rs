//! Runs in a child process, whose limit of file descriptors it lowers.

use super::{Outcome, Place, Trap};
use crate::lab::traps::emfile::{right, wrong};
use crate::lab::traps::epoll::Wakeups;
use crate::lab::traps::loopback::listener;
use crate::numbers::grouped;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "emfile",
    sentence: "the loop spins when file descriptors are exhausted",
    experiment: "30 clients connect to a server that has 4 file descriptors left, for 1 s.",
    predicted_wrong: "thousands of wake-ups for connections that cannot be accepted",
    predicted_right: "about ten wake-ups",
    why: "accept(2) fails with EMFILE before it takes the connection out of the queue, so the \
          listener is still ready: the loop uses a whole CPU. With edge-triggered epoll the loop \
          sleeps instead, and may never accept again.",
    source: source!("emfile.rs"),
    in_echoloop: Place {
        path: "src/server/accepting.rs",
        item: "fn pause_accepting",
        how: "accepting pauses for 250 ms, or until a connection closes, with one log line every \
              5 s.",
    },
    is_child: true,
    wrong: || run(wrong),
    right: || run(right),
};

const CLIENTS: usize = 30;
const AVAILABLE: u64 = 4;

/// The right version wakes up about 10 times, the wrong one tens of thousands of times.
const FEW: u64 = 50;
const MANY: u64 = 1000;

fn run(version: fn(&mut Wakeups, &TcpListener) -> io::Result<()>) -> io::Result<Outcome> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let clients = (0..CLIENTS)
        .map(|_| TcpStream::connect(address))
        .collect::<io::Result<Vec<_>>>()?;
    let mut wakeups = Wakeups::new(Duration::from_secs(1))?;
    // The kernel assigns the lowest free number, and none from the limit on.
    let next = u64::from(listener.try_clone()?.as_raw_fd().unsigned_abs());
    let limit = Rlimit {
        current: Some(next + AVAILABLE),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit)?;
    version(&mut wakeups, &listener)?;
    drop(clients);
    let count = wakeups.count;
    let figures = format!("{} wake-ups in 1 s", grouped(count));
    Ok(Outcome::new(count > MANY, count < FEW, figures))
}
