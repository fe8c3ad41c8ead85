//! Who connects from where: local addresses, as many as it takes so that none runs short of ports.
//!
//! Past half of the ephemeral ports of one address the kernel searches longer and longer for a free one: 1,300
//! connects a second in place of 53,000. So an address is given no more than half.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// How many addresses churn goes around: each closed connection holds its port for a minute in `TIME_WAIT`.
const ADDRESSES_FOR_CHURN: u64 = 250;

/// A network in which all addresses are ours to connect from, such as `127.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether its addresses are those of IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// How many addresses in it can be connected from, at most 2^32: in IPv4 neither the first nor the last, where there
    /// are more than two.
    fn usable(self) -> u64 {
        match self.first {
            IpAddr::V4(_) if self.prefix >= 31 => 1 << (32 - self.prefix),
            IpAddr::V4(_) => (1 << (32 - self.prefix)) - 2,
            IpAddr::V6(_) => 1 << (128 - self.prefix).min(32),
        }
    }

    /// The usable address of this index.
    fn address(self, index: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => {
                let skipped = u64::from(self.prefix < 31);
                let bits = u64::from(first.to_bits()) + skipped + index;
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)))
            }
            IpAddr::V6(first) => {
                IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + u128::from(index)))
            }
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || "not a network: write 127.0.0.0/8, 10.1.2.3 or auto".to_owned();
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            "" if !text.contains('/') => longest,
            _ => prefix.parse().map_err(|_| wrong())?,
        };
        if prefix > longest {
            return Err(wrong());
        }
        let first = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Ok(Network { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// The local addresses of a load, in turn.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    network: Option<Network>,
    /// The only address, if it is given with its port and scope.
    single: Option<SocketAddr>,
    first: u64,
    count: u64,
}

impl Sources {
    /// What the kernel chooses.
    #[must_use]
    pub const fn any() -> Sources {
        Sources {
            network: None,
            single: None,
            first: 0,
            count: 1,
        }
    }

    /// All addresses of a network.
    #[must_use]
    pub fn of(network: Network) -> Sources {
        Sources {
            network: Some(network),
            single: None,
            first: 0,
            count: network.usable().max(1),
        }
    }

    /// This address, for all connections.
    #[must_use]
    pub fn from_address(address: SocketAddr) -> Sources {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let first = address.ip();
        Sources {
            single: Some(address),
            ..Sources::of(Network { first, prefix })
        }
    }

    /// For `connections` to `target`, of which no address is to get more than half of `ports`.
    ///
    /// For a loopback target these are addresses of 127/8, beginning with a block of their own for each `process`, so that
    /// several loads on one machine do not fill the same; for another, the kernel's choice, since what other
    /// addresses the machine has is not for a program to take.
    #[must_use]
    pub fn automatic(
        target: IpAddr,
        connections: u32,
        churns: bool,
        ports: u32,
        process: u32,
    ) -> Sources {
        let network = Network {
            first: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
            prefix: 8,
        };
        if !matches!(target, IpAddr::V4(target) if target.is_loopback()) {
            return Sources::any();
        }
        let each = u64::from(ports / 2).max(1);
        let needed = u64::from(connections).div_ceil(each).max(1);
        let count = needed + if churns { ADDRESSES_FOR_CHURN } else { 0 };
        // Blocks of 256; the first stays free, because programs listen there.
        let block = 1 + u64::from(process) % ((1 << 16) - 1);
        Sources {
            network: Some(network),
            single: None,
            first: block << 8,
            count,
        }
    }

    /// The network, if the kernel is not to choose.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// How many addresses are taken in turn.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where connection `index` comes from; port 0, so that the kernel picks one that is free for its target.
    #[must_use]
    pub fn address(&self, index: u64) -> Option<SocketAddr> {
        if self.single.is_some() {
            return self.single;
        }
        let network = self.network?;
        let index = (self.first + index % self.count) % network.usable().max(1);
        Some(SocketAddr::new(network.address(index), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn no_address_is_filled_past_half_of_its_ports(connections in 1_u32..60_000, ports in 2_u32..30_000, process: u32) {
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
            let network: Network = format!("{}/{prefix}", Ipv4Addr::from_bits(bits)).parse().unwrap();
            let IpAddr::V4(address) = Sources::of(network).address(index).unwrap().ip() else { unreachable!() };
            let inside: Network = format!("{address}/{prefix}").parse().unwrap();
            prop_assert_eq!(inside, network);
        }
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        assert_eq!(
            "127.1.2.3/8".parse::<Network>().unwrap().to_string(),
            "127.0.0.0/8"
        );
        assert_eq!(
            "10.1.2.3".parse::<Network>().unwrap().to_string(),
            "10.1.2.3/32"
        );
        assert_eq!(
            "fd00::7/64".parse::<Network>().unwrap().to_string(),
            "fd00::/64"
        );
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn elsewhere_the_kernel_chooses() {
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
    fn a_single_address_is_used_for_all() {
        let sources = Sources::of("127.9.9.9".parse().unwrap());
        assert_eq!(sources.address(0), sources.address(12_345));
        assert_eq!(sources.address(3).unwrap().ip().to_string(), "127.9.9.9");
    }
}
