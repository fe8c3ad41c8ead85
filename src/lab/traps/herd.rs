//! Several workers wait for connections of one listener: each connection wakes them all, and one of them accepts it.

use rustix::event::epoll::{self, EventData, EventFlags};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

/// Watches the listener in the epoll instance of one worker.
pub(super) fn wrong(epoll: &OwnedFd, listener: &TcpListener) -> io::Result<()> {
    let events = EventFlags::IN;
    Ok(epoll::add(epoll, listener, EventData::new_u64(0), events)?)
}

/// The same, and the kernel wakes one of the workers that wait, not all.
pub(super) fn right(epoll: &OwnedFd, listener: &TcpListener) -> io::Result<()> {
    let events = EventFlags::IN | EventFlags::EXCLUSIVE;
    Ok(epoll::add(epoll, listener, EventData::new_u64(0), events)?)
}
