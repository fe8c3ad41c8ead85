//! The client has four ports, bound one after the other, in place of the 28,232 of most machines.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::{bound, join, listener};
use crate::lab::traps::time_wait::{right, wrong};
use rustix::net::getsockname;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

pub(super) const TRAP: Trap = Trap {
    name: "time-wait",
    sentence: "closed connections keep their ports for a minute",
    experiment: "A client with 4 local ports, in place of the usual 28,232, opens 20 connections \
                 one after the other, with one message each.",
    predicted_wrong: "4 connections, then no port is left",
    predicted_right: "20 connections",
    why: "The side that sends the first FIN waits 60 s in TIME_WAIT, so that no segment of the old \
          connection reaches a new one. A client can open 28,232 connections per minute to a \
          server; then connect(2) fails (EADDRNOTAVAIL).",
    source: source!("time_wait.rs"),
    in_echoloop: Place {
        path: "src/net/mio_net.rs",
        item: "Ending::Reset",
        how: "`load --churn reset` closes so after a complete reply; for many connections `load` \
              uses several source addresses, each with its own ports.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const PORTS: usize = 4;
const CONNECTIONS: usize = 20;

fn run(version: fn(SocketAddr, SocketAddr) -> io::Result<()>) -> io::Result<Outcome> {
    let listener = listener()?;
    let address = listener.local_addr()?;
    let ports = free_ports()?;
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&listener));
        let mut result = Ok(());
        let mut count = 0;
        for local in ports.iter().cycle().take(CONNECTIONS) {
            result = version(*local, address);
            if result.is_err() {
                break;
            }
            count += 1;
        }
        TcpStream::connect(address)?.write_all(b"quit")?;
        join(serving)?;
        let error = result.map_or_else(
            |error| format!(", then: {}", error.kind()),
            |()| String::new(),
        );
        let figures = format!("{count} of {CONNECTIONS} connections{error}");
        let (is_wrong, is_right) = (count == PORTS, count == CONNECTIONS);
        Ok(Outcome::new(is_wrong, is_right, figures))
    })
}

/// The client's loopback address: on it, the ports of other programs are not in the way.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 40)), 0);

/// Local addresses whose port is not in use, and not in `TIME_WAIT`.
fn free_ports() -> io::Result<Vec<SocketAddr>> {
    let sockets = (0..PORTS)
        .map(|_| bound(CLIENT))
        .collect::<io::Result<Vec<_>>>()?;
    let address = |socket| {
        let address = SocketAddr::try_from(getsockname(socket)?);
        Ok(address?)
    };
    sockets.iter().map(address).collect()
}

/// Echoes one message per connection, up to the message `quit`.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut message = [0; 4];
    loop {
        let (mut client, _) = listener.accept()?;
        client.read_exact(&mut message)?;
        if &message == b"quit" {
            return Ok(());
        }
        client.write_all(&message)?;
        // To the client's FIN, or its RST.
        let _ = client.read(&mut message);
    }
}
