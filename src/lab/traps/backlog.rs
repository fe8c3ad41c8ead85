//! The backlog limits the accept queue. While it is full, the kernel drops SYNs, and each client repeats its SYN after a
//! second.

use rustix::net::listen;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Listens with a backlog of 8: at most 9 connections wait for accept(2).
pub(super) fn wrong(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listen(&listener, 8)?;
    Ok(listener)
}

/// Listens with a backlog for a burst of clients. The kernel caps it at `net.core.somaxconn`.
pub(super) fn right(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listen(&listener, 4096)?;
    Ok(listener)
}
