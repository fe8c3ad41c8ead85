//! The reply is larger than all buffers of the kernel.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::{join, pair};
use crate::lab::traps::short_write::{right, wrong};
use crate::numbers::grouped;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::thread;

pub(super) const TRAP: Trap = Trap {
    name: "short-write",
    sentence: "a non-blocking write takes only a part of the output",
    experiment: "A server sends a reply of 16,000,000 bytes with non-blocking writes.",
    predicted_wrong: "what fits into the send buffer arrives",
    predicted_right: "16,000,000 bytes arrive",
    why: "write(2) copies into the send buffer of the kernel what fits there, and returns the count: \
          a success, even if it is a part. Small replies always fit, so no test notices.",
    source: source!("short_write.rs"),
    in_echoloop: Place {
        path: "src/connection/sending.rs",
        item: "fn write_until_blocked",
        how: "the rest goes to an output buffer, and only then the connection is watched for \
              EPOLLOUT.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const REPLY: usize = 16_000_000;

fn run(version: fn(&TcpStream, &[u8]) -> io::Result<()>) -> io::Result<Outcome> {
    let (client, server) = pair()?;
    server.set_nonblocking(true)?;
    set_socket_send_buffer_size(&server, 64 * 1024)?;
    thread::scope(|scope| {
        let reading = scope.spawn(|| io::copy(&mut &client, &mut io::sink()));
        version(&server, &vec![b'r'; REPLY])?;
        server.shutdown(Shutdown::Write)?;
        let received = join(reading)?;
        let figures = format!(
            "{} of {} bytes arrived",
            grouped(received),
            grouped(REPLY as u64)
        );
        let is_complete = received == REPLY as u64;
        Ok(Outcome::new(!is_complete, is_complete, figures))
    })
}
