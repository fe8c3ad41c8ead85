//! Client and server take turns in one thread, until the client has sent everything or the server has stopped reading.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::{pair, unless_blocked, until_steady};
use crate::lab::traps::slow_reader::{Connection, right, wrong};
use crate::numbers::grouped;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io::{self, Write};
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "slow-reader",
    sentence: "a client that does not read fills the memory of the server",
    experiment: "A client sends 32,000,000 bytes to an echo server, and reads nothing.",
    predicted_wrong: "the server holds most of the bytes in its memory",
    predicted_right: "it holds 16,384 bytes at most",
    why: "A server that reads without a condition has to hold any amount of output. If it stops \
          reading, the receive buffer fills, and TCP flow control stops the client instead.",
    source: source!("slow_reader.rs"),
    in_echoloop: Place {
        path: "src/connection/reading.rs",
        item: "fn is_output_full",
        how: "above --max-pending a connection is not read; --max-buffered limits all connections \
              together, and --stall-timeout ends a client that never reads.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const TOTAL: usize = 32_000_000;
const MANY: usize = TOTAL / 2;

/// One read.
const FEW: usize = 16 * 1024;

fn run(version: fn(&mut Connection) -> io::Result<()>) -> io::Result<Outcome> {
    let (mut client, stream) = pair()?;
    client.set_nonblocking(true)?;
    stream.set_nonblocking(true)?;
    set_socket_send_buffer_size(&stream, 64 * 1024)?;
    let mut connection = Connection {
        stream,
        pending: Vec::new(),
    };
    let piece = vec![b'x'; 65536];
    let mut sent = 0;
    until_steady(Duration::from_millis(300), || {
        let size = piece.len().min(TOTAL - sent);
        sent += unless_blocked(client.write(&piece[..size]))?;
        version(&mut connection)?;
        // What the server reads is progress too.
        Ok(sent + connection.pending.len())
    })?;
    let pending = connection.pending.len();
    let figures = format!(
        "{} bytes in the memory of the server, {} sent",
        grouped(pending as u64),
        grouped(sent as u64)
    );
    Ok(Outcome::new(pending > MANY, pending <= FEW, figures))
}
