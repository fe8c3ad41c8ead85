//! The server of this project: one thread, edge-triggered epoll by way of `mio`, and all that the small patterns omit.
//!
//! Budgets per client and per iteration, limits on memory, connections and time, EMFILE without a busy loop, a drain, urgent
//! data, buffers only while output is pending. A short read ends an event without a second read(2) that finds nothing.
//!
//! Good for: production, and for reading: `docs/architecture.md` has a reading path of 300 lines.
//!
//! Fails when: one CPU is not enough. Then several processes share the port (`--reuse-port`), each with a loop.

use crate::net::{MioNet, Traced};
use crate::protocol::Raw;
use crate::server::{Config, Server};
use std::io;
use std::net::TcpListener;

/// Serves all clients on this thread until SIGTERM.
///
/// # Errors
/// See `epoll_wait(2)`.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // As `serve` does, so that the program has the code of the server once.
    let net = Traced::new(MioNet::with_signals()?);
    let mut server = Server::new(net, Raw, Config::default());
    server.restore_listener(MioNet::listener(listener.into()))?;
    server.run().map(drop)
}
