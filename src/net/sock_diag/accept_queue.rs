//! Reads the accept queues of the listeners that a client of this machine reaches at an address.
//!
//! In: the address. Out: an [`AcceptQueue`], from one list of the listening sockets on its port (`sock_diag(7)`). Unlike
//! `/proc/net/tcp`, the list has the backlog, and takes microseconds however many connections exist.

use super::{AF_INET, NLM_F_DUMP, REPLY, SockDiag, attribute, request, u32_at};
use crate::net::netlink::MAX_DATAGRAM;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

// linux/inet_diag.h, net/tcp_states.h
const INET_DIAG_SKV6ONLY: u16 = 11;
const TCP_LISTEN: u32 = 10;

/// The accept queue of a server: connections that are established and not accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections in it; of a server with several listeners (`SO_REUSEPORT`), in all of their queues.
    pub length: u32,
    /// Connections that it holds: one more than the backlog (listen(2)). Of several, that of the fullest queue.
    pub capacity: u32,
    /// Further connections before the kernel drops SYNs; the least of several queues.
    pub room: u32,
}

impl AcceptQueue {
    /// The queue of a listener with this backlog.
    #[must_use]
    pub fn new(length: u32, backlog: u32) -> AcceptQueue {
        let capacity = backlog.saturating_add(1);
        AcceptQueue {
            length,
            capacity,
            room: capacity.saturating_sub(length),
        }
    }

    /// This queue together with that of another listener on the same address.
    #[must_use]
    pub fn and(self, other: AcceptQueue) -> AcceptQueue {
        let fullest = if other.room < self.room { other } else { self };
        AcceptQueue {
            length: self.length.saturating_add(other.length),
            ..fullest
        }
    }
}

/// Reads the accept queue at one address of this machine. Takes one file descriptor.
pub struct AcceptQueueReader {
    diag: SockDiag,
    target: SocketAddr,
}

impl AcceptQueueReader {
    /// A reader for the listeners at `target`; `None` if that is not an address of this machine.
    ///
    /// # Errors
    /// See `socket(2)` and getifaddrs(3); `NotFound` if the kernel lacks `tcp_diag`.
    pub fn open(target: SocketAddr) -> io::Result<Option<AcceptQueueReader>> {
        let target = SocketAddr::new(target.ip().to_canonical(), target.port());
        if !is_of_this_machine(target.ip())? {
            return Ok(None);
        }
        let diag = SockDiag::open()?;
        Ok(Some(AcceptQueueReader { diag, target }))
    }

    /// The queue now; `None` if there is no listener in this network namespace, or if the request fails.
    pub fn read(&mut self) -> Option<AcceptQueue> {
        let unspecified: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        // An IPv6 listener on the wildcard address accepts IPv4 connections that no IPv4 listener does (ipv6(7)).
        let families = &unspecified[usize::from(self.target.is_ipv6())..];
        families
            .iter()
            .find_map(|family| self.diag.accept_queue(*family, self.target).ok()?)
    }
}

fn is_of_this_machine(ip: IpAddr) -> io::Result<bool> {
    if ip.is_loopback() || ip.is_unspecified() {
        return Ok(true);
    }
    // Without the sysctl `ip_nonlocal_bind`, only addresses of this machine can be bound.
    match UdpSocket::bind((ip, 0)) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => Ok(false),
        bound => bound.map(|_| true),
    }
}

impl SockDiag {
    /// The accept queue of the listeners for `target` in the address family of `unspecified`.
    fn accept_queue(
        &mut self,
        unspecified: IpAddr,
        target: SocketAddr,
    ) -> io::Result<Option<AcceptQueue>> {
        let addresses = [target.port(), 0].map(|port| SocketAddr::new(unspecified, port));
        let request = request(NLM_F_DUMP, addresses, 0, 1 << TCP_LISTEN);
        let mut sum: Option<AcceptQueue> = None;
        self.0
            .request(request, &mut [0; MAX_DATAGRAM], &mut |message| {
                let queue = parse_queue(message, target.ip());
                sum = match (sum, queue) {
                    (Some(one), Some(other)) => Some(one.and(other)),
                    (one, other) => one.or(other),
                };
            })?;
        Ok(sum)
    }
}

/// Parses a `struct inet_diag_msg` of a listener; `None` if it accepts no connections to `target`.
fn parse_queue(message: &[u8], target: IpAddr) -> Option<AcceptQueue> {
    let address = message.get(8..24)?;
    let local = if *message.first()? == AF_INET {
        IpAddr::from(*address.first_chunk::<4>()?)
    } else {
        IpAddr::from(*address.first_chunk::<16>()?)
    };
    let is_v6_only = attribute(message.get(REPLY..)?, INET_DIAG_SKV6ONLY)
        .is_some_and(|value| value.first() == Some(&1));
    let accepts_any = local.is_unspecified() && (target.is_ipv6() || !is_v6_only);
    if !accepts_any && local.to_canonical() != target {
        return None;
    }
    Some(AcceptQueue::new(u32_at(message, 56)?, u32_at(message, 60)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::net::TcpStream;

    fn listener(address: &str, backlog: i32, only_v6: bool) -> (Socket, u16) {
        let address: SocketAddr = address.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if address.is_ipv6() {
            socket.set_only_v6(only_v6).unwrap();
        }
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SockAddr::from(address)).unwrap();
        socket.listen(backlog).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        (socket, port)
    }

    fn reader(ip: &str, port: u16) -> AcceptQueueReader {
        let target = SocketAddr::new(ip.parse().unwrap(), port);
        let reader = AcceptQueueReader::open(target).unwrap();
        reader.expect("an address of this machine")
    }

    #[test]
    fn queue_of_a_listener_grows_until_it_accepts() {
        let (socket, port) = listener("127.0.0.1:0", 5, false);
        let mut reader = reader("127.0.0.1", port);
        assert_eq!(reader.read(), Some(AcceptQueue::new(0, 5)));
        let clients = [0; 3].map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap());
        let queue = reader.read().unwrap();
        assert_eq!((queue.length, queue.capacity, queue.room), (3, 6, 3));
        let _accepted = socket.accept().unwrap();
        assert_eq!(reader.read(), Some(AcceptQueue::new(2, 5)));
        drop(clients);
    }

    #[test]
    fn wildcard_listener_is_found_in_both_families() {
        let (_v4, port) = listener("0.0.0.0:0", 7, false);
        assert_eq!(reader("127.0.0.9", port).read().unwrap().capacity, 8);
        let (_v6, port) = listener("[::]:0", 8, false);
        assert_eq!(reader("::1", port).read().unwrap().capacity, 9);
        assert_eq!(reader("127.0.0.1", port).read().unwrap().capacity, 9);
        assert_eq!(reader("::ffff:127.0.0.1", port).read().unwrap().capacity, 9);
    }

    #[test]
    fn listeners_of_other_addresses_are_ignored() {
        let (_v4, port) = listener("127.0.0.2:0", 7, false);
        assert_eq!(reader("127.0.0.1", port).read(), None);
        let (_v6, port) = listener("[::]:0", 7, true);
        assert_eq!(reader("127.0.0.1", port).read(), None);
    }

    #[test]
    fn fullest_of_several_listeners_limits_the_room() {
        let (_one, port) = listener("127.0.0.1:0", 100, false);
        let (_other, _) = listener(&format!("127.0.0.1:{port}"), 9, false);
        let mut reader = reader("127.0.0.1", port);
        let _clients = [0; 4].map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap());
        let queue = reader.read().unwrap();
        assert_eq!((queue.length, queue.capacity), (4, 10));
        assert!((6..=10).contains(&queue.room), "{queue:?}");
    }

    #[test]
    fn remote_address_has_no_reader() {
        // TEST-NET-1 (RFC 5737): no address of any machine.
        let remote = "192.0.2.1:80".parse().unwrap();
        assert!(AcceptQueueReader::open(remote).unwrap().is_none());
    }

    #[test]
    fn list_of_many_listeners_is_read_to_its_end() {
        let (first, port) = listener("127.0.0.1:0", 3, false);
        let address = format!("127.0.0.1:{port}");
        let more: Vec<_> = (0..300).map(|_| listener(&address, 3, false)).collect();
        let mut reader = reader("127.0.0.1", port);
        for _ in 0..3 {
            assert_eq!(reader.read(), Some(AcceptQueue::new(0, 3)));
        }
        drop((first, more));
        assert_eq!(reader.read(), None);
    }
}
