//! The addresses of a network prefix: that of the interface, and those of connections.

use ipnet::IpNet;
use std::net::IpAddr;

/// The ports of a connection's address: all but the first 1,024.
pub const PORTS_PER_SOURCE: u32 = 64_512;

/// The addresses of a prefix. Connection `index` has the address `first_source` plus `index / PORTS_PER_SOURCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixAddresses {
    /// The address of the interface, so of this machine: the one after the address of the network.
    pub interface: IpAddr,
    /// The first source address of connections: the one after that of the interface.
    pub first_source: IpAddr,
    /// The number of source addresses, as far as it fits: all but the last address, which may be that of a broadcast.
    pub sources: u32,
}

impl PrefixAddresses {
    /// The addresses of a prefix; `None` if there is none for a connection.
    #[must_use]
    pub fn of(prefix: IpNet) -> Option<PrefixAddresses> {
        let host_bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
        // Without the network, the interface and the last address.
        let sources = 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        let sources = sources.checked_sub(3).filter(|count| *count > 0)?;
        Some(PrefixAddresses {
            interface: address(prefix, 1),
            first_source: address(prefix, 2),
            sources: u32::try_from(sources).unwrap_or(u32::MAX),
        })
    }

    /// The number of connections to one address and port of a server.
    #[must_use]
    pub fn connections(&self) -> u64 {
        u64::from(self.sources) * u64::from(PORTS_PER_SOURCE)
    }
}

/// An address of a prefix that has at least two host bits.
fn address(prefix: IpNet, index: u8) -> IpAddr {
    match prefix.network() {
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() | u32::from(index)).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() | u128::from(index)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_follow_the_address_of_the_interface() {
        for (prefix, interface, first_source, sources) in [
            ("198.18.0.0/15", "198.18.0.1", "198.18.0.2", 131_069),
            ("10.1.2.9/30", "10.1.2.9", "10.1.2.10", 1),
            ("fd00:7::/64", "fd00:7::1", "fd00:7::2", u32::MAX),
            ("fd00:7::/120", "fd00:7::1", "fd00:7::2", 253),
        ] {
            let found = PrefixAddresses::of(prefix.parse().unwrap()).unwrap();
            assert_eq!(found.interface.to_string(), interface);
            assert_eq!(found.first_source.to_string(), first_source);
            assert_eq!(found.sources, sources, "{prefix}");
        }
        let default = PrefixAddresses::of("198.18.0.0/15".parse().unwrap()).unwrap();
        assert_eq!(default.connections(), 131_069 * 64_512);
    }

    #[test]
    fn prefix_of_two_addresses_has_none_for_connections() {
        for prefix in ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127", "fd00::/128"] {
            assert_eq!(PrefixAddresses::of(prefix.parse().unwrap()), None);
        }
    }
}
