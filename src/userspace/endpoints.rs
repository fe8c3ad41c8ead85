//! The addresses of the connections: each connection index has a source address and port, and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first source port of an address: those below are privileged.
const FIRST_PORT: u16 = 1024;

/// The connections of one source address: the ports from 1024 to 65,535.
pub const PORTS_PER_ADDRESS: u32 = 64_512;

/// The server, and the consecutive source addresses of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    server: SocketAddr,
    first: IpAddr,
    addresses: u32,
}

/// The server and the sources do not have the same address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifferentFamilies;

impl Endpoints {
    /// Connections to `server` from `addresses` consecutive addresses that begin with `first`.
    ///
    /// # Errors
    ///
    /// If one is an IPv4 address and the other an IPv6 address.
    pub fn new(
        server: SocketAddr,
        first: IpAddr,
        addresses: u32,
    ) -> Result<Endpoints, DifferentFamilies> {
        if server.is_ipv4() != first.is_ipv4() {
            return Err(DifferentFamilies);
        }
        Ok(Endpoints {
            server,
            first,
            addresses,
        })
    }

    /// The address of the server.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The number of connections that have a source of their own.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.addresses) * u64::from(PORTS_PER_ADDRESS)
    }

    /// The source address and port of a connection.
    #[must_use]
    pub fn source(&self, connection: u32) -> SocketAddr {
        let (address, port) = (
            connection / PORTS_PER_ADDRESS,
            connection % PORTS_PER_ADDRESS,
        );
        // The remainder is below 64,512.
        let port = FIRST_PORT + u16::try_from(port).unwrap_or_default();
        let ip = match self.first {
            IpAddr::V4(first) => {
                IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().wrapping_add(address)))
            }
            IpAddr::V6(first) => {
                let bits = first.to_bits().wrapping_add(u128::from(address));
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
        };
        SocketAddr::new(ip, port)
    }

    /// The connection with this source address and port.
    #[must_use]
    pub fn connection(&self, source: SocketAddr) -> Option<u32> {
        let address = match (source.ip(), self.first) {
            (IpAddr::V4(ip), IpAddr::V4(first)) => ip.to_bits().wrapping_sub(first.to_bits()),
            (IpAddr::V6(ip), IpAddr::V6(first)) => {
                u32::try_from(ip.to_bits().wrapping_sub(first.to_bits())).ok()?
            }
            _ => return None,
        };
        if address >= self.addresses {
            return None;
        }
        let port = source.port().checked_sub(FIRST_PORT)?;
        address
            .checked_mul(PORTS_PER_ADDRESS)?
            .checked_add(u32::from(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(server: &str, first: &str, addresses: u32) -> Endpoints {
        Endpoints::new(server.parse().unwrap(), first.parse().unwrap(), addresses).unwrap()
    }

    #[test]
    fn each_connection_has_its_source_and_back() {
        let v4 = endpoints("10.0.0.1:7777", "198.18.0.2", 78);
        let v6 = endpoints("[2001:db8::1]:7777", "2001:db8:1::ffff:fffe", 78);
        for (endpoints, connection, source) in [
            (v4, 0, "198.18.0.2:1024"),
            (v4, 64_511, "198.18.0.2:65535"),
            (v4, 64_512, "198.18.0.3:1024"),
            (v4, 4_999_999, "198.18.0.79:33599"),
            (v6, 1, "[2001:db8:1::ffff:fffe]:1025"),
            (v6, 129_024, "[2001:db8:1::1:0:0]:1024"),
        ] {
            let source: SocketAddr = source.parse().unwrap();
            assert_eq!(endpoints.source(connection), source);
            assert_eq!(endpoints.connection(source), Some(connection));
        }
        assert_eq!(v4.capacity(), 78 * 64_512);
    }

    #[test]
    fn other_sources_have_no_connection() {
        let v4 = endpoints("10.0.0.1:7777", "198.18.0.2", 2);
        let v6 = endpoints("[2001:db8::1]:7777", "2001:db8:1::", 2);
        for source in [
            "198.18.0.1:1024",
            "198.18.0.4:1024",
            "198.18.0.2:1023",
            "[2001:db8:1::]:1024",
        ] {
            assert_eq!(v4.connection(source.parse().unwrap()), None, "{source}");
        }
        for source in [
            "[2001:db8:1::2]:1024",
            "[2001:db9:1::]:1024",
            "198.18.0.2:1024",
        ] {
            assert_eq!(v6.connection(source.parse().unwrap()), None, "{source}");
        }
    }

    #[test]
    fn families_differ_is_an_error() {
        let server = "10.0.0.1:1".parse().unwrap();
        let first = "2001:db8::".parse().unwrap();
        assert_eq!(Endpoints::new(server, first, 1), Err(DifferentFamilies));
    }
}
