//! Opening connections from many addresses, and proving by an echo that the server has accepted them.

use super::TIMEOUT;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Connections opened before they are proven: fewer than the backlog of any server.
const BATCH: usize = 500;

/// Connections per source address: beyond some 14,000, the kernel's search for a free port is slow.
const PER_SOURCE: usize = 10_000;

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    Fin,
    /// With RST, which leaves no socket in `TIME_WAIT`.
    Reset,
}

/// Opens blocking connections, on each of which a message has been echoed.
pub(super) fn open_proven(target: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let batch = BATCH.min(count - streams.len());
        let from = streams.len();
        streams.extend((from..from + batch).map(|number| open(target, number, Close::Reset)));
        prove(&mut streams[from..]);
    }
    streams
}

/// Opens one blocking connection; its number determines the source address.
pub(super) fn open(target: SocketAddr, number: usize, close: Close) -> TcpStream {
    let third = u8::try_from(number / PER_SOURCE % 250).unwrap();
    open_from(Ipv4Addr::new(127, 0, third, 1), target, close)
}

/// Opens one blocking connection, from `source` if the target is a loopback address.
pub(super) fn open_from(source: Ipv4Addr, target: SocketAddr, close: Close) -> TcpStream {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None).unwrap();
    if matches!(target.ip(), IpAddr::V4(address) if address.is_loopback()) {
        // The kernel chooses the port at connect, when the target is known (IP_BIND_ADDRESS_NO_PORT, ip(7)).
        setsockopt(&socket, IpBindAddressNoPort, &true).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    }
    if close == Close::Reset {
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
    socket.set_tcp_nodelay(true).unwrap();
    let connected = socket.connect(&target.into());
    connected.unwrap_or_else(|error| panic!("cannot connect to {target} from {source}: {error}"));
    socket.into()
}

/// Verifies an echo on each connection.
pub(super) fn prove(streams: &mut [TcpStream]) {
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(&number.to_le_bytes()).unwrap();
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut reply = [0; size_of::<usize>()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(
            reply,
            number.to_le_bytes(),
            "the echo of another connection"
        );
    }
}
