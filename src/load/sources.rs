//! The local addresses of a load: enough of them that none runs short of ports.
//!
//! When more than half of the ephemeral ports of an address are used, the kernel needs ever longer to find a free one: 1,300
//! connects per second instead of 53,000. So each address gets at most half.

use super::Share;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The addresses of the loopback interface (RFC 1122, section 3.2.1.3).
const LOOPBACK: IpNet = IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);

/// The number of addresses for churn: each closed connection keeps its port for a minute in `TIME_WAIT`.
const ADDRESSES_FOR_CHURN: u64 = 250;

/// How many addresses of a network can be bound, at most 2^32: all but the first and the last of an IPv4 network of more
/// than two.
#[inline(never)]
fn usable(network: IpNet) -> u64 {
    let hosts = network.hosts().size_hint().0;
    u64::try_from(hosts).unwrap_or(u64::MAX).min(1 << 32)
}

/// The local addresses of a load, used in turn.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    network: Option<IpNet>,
    /// The only address, given with its port and scope.
    single: Option<SocketAddr>,
    first: u64,
    count: u64,
    /// How many addresses the shares of these begin in.
    span: u64,
}

impl Sources {
    /// The address that the kernel selects.
    #[must_use]
    pub const fn any() -> Sources {
        Sources {
            network: None,
            single: None,
            first: 0,
            count: 1,
            span: 1,
        }
    }

    /// All addresses of a network.
    #[must_use]
    pub fn of(network: IpNet) -> Sources {
        Sources {
            network: Some(network),
            single: None,
            first: 0,
            count: usable(network),
            span: usable(network),
        }
    }

    /// This address for all connections.
    #[must_use]
    pub fn from_address(address: SocketAddr) -> Sources {
        Sources {
            single: Some(address),
            ..Sources::of(address.ip().into())
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
        if !(target.is_ipv4() && target.is_loopback()) {
            return Sources::any();
        }
        let each = u64::from(ports / 2).max(1);
        let needed = u64::from(connections).div_ceil(each).max(1);
        // Blocks of 256 addresses, except the first, in which servers listen.
        let block = 1 + u64::from(process) % ((1 << 16) - 1);
        let count = needed + if churns { ADDRESSES_FOR_CHURN } else { 0 };
        Sources {
            network: Some(LOOPBACK),
            single: None,
            first: block << 8,
            count,
            span: count,
        }
    }

    /// The addresses of one of several loads on this machine. Of automatic addresses each load has its own; those of a
    /// given network are used by all, each beginning at another one.
    #[must_use]
    pub fn share(self, share: Share) -> Sources {
        let Some(network) = self.network.filter(|_| self.single.is_none()) else {
            return self;
        };
        let usable = usable(network);
        let (index, count) = (u64::from(share.index()), u64::from(share.count()));
        let ahead = if self.count < usable {
            index * self.count
        } else {
            self.span * index / count
        };
        Sources {
            first: self.first + ahead,
            span: (self.span / count).max(1),
            ..self
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
        if self.single.is_some() {
            return self.single;
        }
        let network = self.network?;
        let index = (self.first + index % self.count) % usable(network);
        let host = network.hosts().nth(usize::try_from(index).ok()?)?;
        Some(SocketAddr::new(host, 0))
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
            let network = IpNet::new_assert(Ipv4Addr::from_bits(bits).into(), prefix);
            let address = Sources::of(network).address(index).unwrap().ip();
            prop_assert!(network.contains(&address), "{address} of {network}");
        }
    }

    #[test]
    fn first_and_last_address_of_an_ipv4_network_are_unused() {
        let address = |network: &str, index| {
            let sources = Sources::of(network.parse().unwrap());
            sources.address(index).unwrap().ip().to_string()
        };
        assert_eq!(address("127.1.0.0/30", 0), "127.1.0.1");
        assert_eq!(address("127.1.0.0/30", 1), "127.1.0.2");
        assert_eq!(address("127.1.0.0/30", 2), "127.1.0.1");
        assert_eq!(address("127.1.0.0/31", 0), "127.1.0.0");
        assert_eq!(address("fd00::/127", 1), "fd00::1");
        assert_eq!(address("fd00::/0", 0), "::");
    }

    #[test]
    fn kernel_selects_the_source_for_other_targets() {
        let sources = Sources::automatic("192.0.2.1".parse().unwrap(), 100_000, false, 28_232, 1);
        assert_eq!(sources.address(7), None);
        assert_eq!(sources.network(), None);
    }

    #[test]
    fn bound_address_is_used_with_its_port_for_all() {
        let address = "[fe80::1%2]:7".parse().unwrap();
        let sources = Sources::from_address(address);
        assert_eq!(sources.address(0), Some(address));
        assert_eq!((sources.address(9), sources.count()), (Some(address), 1));
        assert_eq!(sources.network().unwrap().to_string(), "fe80::1/128");
    }

    #[test]
    fn single_address_is_used_for_all_connections() {
        let sources = Sources::of("127.9.9.9/32".parse().unwrap());
        assert_eq!(sources.address(0), sources.address(12_345));
        assert_eq!(sources.address(3).unwrap().ip().to_string(), "127.9.9.9");
    }
}
