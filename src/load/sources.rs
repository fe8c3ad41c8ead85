//! The local addresses of a load: enough of them that none runs short of ports.
//!
//! When more than half of the ephemeral ports of an address are used, the kernel needs ever longer to find a free one: 1,300
//! connects per second instead of 53,000. So each address gets at most half.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The number of addresses for churn: each closed connection keeps its port for a minute in `TIME_WAIT`.
const ADDRESSES_FOR_CHURN: u64 = 250;

/// Parses a network of local addresses, such as `127.0.0.0/8`, or a single address.
///
/// # Errors
/// It is neither.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse().map(|address: IpAddr| IpNet::from(address));
    let network: Result<IpNet, _> = text.parse().or_else(|_| single());
    network
        .map(|network| network.trunc())
        .map_err(|_| "not a network: write 127.0.0.0/8, 10.1.2.3 or auto".to_owned())
}

/// How many addresses at the beginning of a network, and at its end, are reserved: one in IPv4 networks of more than two.
fn reserved(network: IpNet) -> u64 {
    u64::from(network.addr().is_ipv4() && network.prefix_len() < 31)
}

/// The number of addresses that can be bound, at most 2^32.
fn usable(network: IpNet) -> u64 {
    let host_bits = network.max_prefix_len() - network.prefix_len();
    (1 << host_bits.min(32)) - 2 * reserved(network)
}

/// The local addresses of a load, used in turn.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    network: Option<IpNet>,
    first: u64,
    count: u64,
}

impl Sources {
    /// The address that the kernel selects.
    #[must_use]
    pub const fn any() -> Sources {
        Sources {
            network: None,
            first: 0,
            count: 1,
        }
    }

    /// All addresses of a network.
    #[must_use]
    pub fn of(network: IpNet) -> Sources {
        Sources {
            network: Some(network),
            first: 0,
            count: usable(network),
        }
    }

    /// Addresses for `connections` to `target`, none with more than half of its `ports` used.
    ///
    /// For a loopback target these are addresses of 127/8, from a different block for each `process`, so that several loads
    /// on one machine do not share ports. For any other target the kernel selects the address, since the other addresses
    /// of the machine are not this program's to use.
    #[must_use]
    pub fn automatic(
        target: IpAddr,
        connections: u32,
        churns: bool,
        ports: u32,
        process: u32,
    ) -> Sources {
        let loopback = IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        let (true, Ok(loopback)) = (target.is_ipv4() && target.is_loopback(), loopback) else {
            return Sources::any();
        };
        let each = u64::from(ports / 2).max(1);
        let needed = u64::from(connections).div_ceil(each).max(1);
        // Blocks of 256 addresses, except the first, in which servers listen.
        let block = 1 + u64::from(process) % ((1 << 16) - 1);
        Sources {
            network: Some(loopback),
            first: block << 8,
            count: needed + if churns { ADDRESSES_FOR_CHURN } else { 0 },
        }
    }

    /// The network, unless the kernel selects the address.
    #[must_use]
    pub fn network(&self) -> Option<IpNet> {
        self.network
    }

    /// The number of addresses.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The local address of connection `index`; port 0 lets the kernel select one that is free for the target.
    #[must_use]
    pub fn address(&self, index: u64) -> Option<SocketAddr> {
        let network = self.network?;
        let index = (self.first + index % self.count) % usable(network) + reserved(network);
        let address = match network.network() {
            IpAddr::V4(first) => {
                let bits = u64::from(first.to_bits()) + index;
                Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into()
            }
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + u128::from(index)).into(),
        };
        Some(SocketAddr::new(address, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn no_address_uses_more_than_half_of_its_ports(connections in 1_u32..60_000, ports in 2_u32..30_000, process: u32) {
            let target = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let sources = Sources::automatic(target, connections, false, ports, process);
            let mut filled = HashMap::new();
            for index in 0..u64::from(connections) {
                let address = sources.address(index).unwrap();
                prop_assert!(address.ip().is_loopback(), "{address}");
                *filled.entry(address).or_insert(0) += 1;
            }
            prop_assert!(filled.values().all(|count| *count <= ports / 2), "{filled:?}");
        }

        #[test]
        fn addresses_stay_within_their_network(bits: u32, prefix in 0_u8..=32, index: u64) {
            let network = parse_network(&format!("{}/{prefix}", Ipv4Addr::from_bits(bits))).unwrap();
            let IpAddr::V4(address) = Sources::of(network).address(index).unwrap().ip() else { unreachable!() };
            let inside = parse_network(&format!("{address}/{prefix}")).unwrap();
            prop_assert_eq!(inside, network);
        }
    }

    #[test]
    fn networks_parse_with_and_without_a_prefix() {
        assert_eq!(
            parse_network("127.1.2.3/8").unwrap().to_string(),
            "127.0.0.0/8"
        );
        assert_eq!(
            parse_network("10.1.2.3").unwrap().to_string(),
            "10.1.2.3/32"
        );
        assert_eq!(
            parse_network("fd00::7/64").unwrap().to_string(),
            "fd00::/64"
        );
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(parse_network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kernel_selects_the_source_for_other_targets() {
        let sources = Sources::automatic("192.0.2.1".parse().unwrap(), 100_000, false, 28_232, 1);
        assert_eq!(sources.address(7), None);
        assert_eq!(sources.network(), None);
    }

    #[test]
    fn single_address_is_used_for_all_connections() {
        let sources = Sources::of(parse_network("127.9.9.9").unwrap());
        assert_eq!(sources.address(0), sources.address(12_345));
        assert_eq!(sources.address(3).unwrap().ip().to_string(), "127.9.9.9");
    }
}
