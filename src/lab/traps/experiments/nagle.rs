//! Both ends are in one thread, so no thread waits for a CPU; the median of several requests decides, at half of the
//! delay that the kernel's timer causes.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::{now, pair};
use crate::lab::traps::nagle::{right, wrong};
use crate::sorting;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "nagle",
    sentence: "two small writes wait for a delayed ACK",
    experiment: "A client sends a request of 15 bytes in two writes and reads the reply, 15 times.",
    predicted_wrong: "about 40 ms for a request, on a network without delay",
    predicted_right: "far less than 40 ms (20 ms decide)",
    why: "Nagle's algorithm holds the second segment back until the first is acknowledged; the \
          server delays its ACK for up to 40 ms, to send it with a reply that cannot come yet.",
    source: source!("nagle.rs"),
    in_echoloop: Place {
        path: "src/net/listener.rs",
        item: "set_tcp_nodelay(true)",
        how: "the option is set on the listener, and all connections inherit it. The server also \
              gathers small replies, and sends them with one write.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const REQUESTS: usize = 15;

/// The ACK timer of Linux is 40 ms at least (`TCP_DELACK_MIN`).
const DELAYED: Duration = Duration::from_millis(20);

fn run(version: fn(&TcpStream) -> io::Result<()>) -> io::Result<Outcome> {
    let (client, server) = pair()?;
    // The kernel delays ACKs on a connection with requests and replies in turn, not at its start.
    for _ in 0..50 {
        (&client).write_all(b"length: 5\nhello")?;
        reply(&server, &client)?;
    }
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let start = now();
        version(&client)?;
        reply(&server, &client)?;
        times.push(now().saturating_sub(start));
    }
    sorting::sort(&mut times);
    let median = times[REQUESTS / 2];
    let milliseconds = median.as_secs_f64() * 1e3;
    let figures = format!("{milliseconds:.3} ms for a request (median of {REQUESTS})");
    Ok(Outcome::new(median > DELAYED, median <= DELAYED, figures))
}

/// The server reads a request and replies; the client reads the reply.
fn reply(mut server: &TcpStream, mut client: &TcpStream) -> io::Result<()> {
    server.read_exact(&mut [0; 15])?;
    server.write_all(b"ok")?;
    client.read_exact(&mut [0; 2])
}
