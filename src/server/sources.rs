//! How many connections come from where.

use super::Refusal;
use crate::reactor::has_room;
use slab::Slab;
use std::collections::HashMap;
use std::net::IpAddr;

/// Counts connections per source: an IPv4 address, or the /64 of an IPv6 address, since that is what one host is
/// given (RFC 6177) and may take any address from.
///
/// A connection keeps the index of its source and not the address: after a reset the kernel no longer knows it.
/// Invariant: a source is listed while it has connections, so memory goes with the connections that there are.
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    indices: HashMap<u128, u32>,
    counts: Slab<Source>,
    refuses: bool,
}

#[derive(Debug)]
struct Source {
    prefix: u128,
    connections: usize,
}

impl Sources {
    /// At most `limit` connections are admitted from each source.
    pub(super) fn new(limit: usize) -> Self {
        Sources {
            limit,
            indices: HashMap::new(),
            counts: Slab::new(),
            refuses: false,
        }
    }

    /// From now on grants no memory for another source, or does again.
    pub(super) fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Counts one more connection from `address`; gives the index that [`leave`](Sources::leave) is to be told.
    pub(super) fn enter(&mut self, address: IpAddr) -> Result<u32, Refusal> {
        let prefix = prefix_of(address);
        if let Some(&index) = self.indices.get(&prefix) {
            return match self.counts.get_mut(index as usize) {
                Some(source) if source.connections < self.limit => {
                    source.connections += 1;
                    Ok(index)
                }
                _ => Err(Refusal::MaxPerSource),
            };
        }
        if self.refuses || self.indices.try_reserve(1).is_err() || !has_room(&self.counts) {
            return Err(Refusal::NoMemory);
        }
        let index = u32::try_from(self.counts.vacant_key()).map_err(|_| Refusal::NoMemory)?;
        self.counts.insert(Source {
            prefix,
            connections: 1,
        });
        self.indices.insert(prefix, index);
        Ok(index)
    }

    /// A connection from the source of this index has ended.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(source) = self.counts.get_mut(index as usize) else {
            return;
        };
        source.connections -= 1;
        if source.connections == 0 {
            let prefix = source.prefix;
            self.indices.remove(&prefix);
            self.counts.try_remove(index as usize);
        }
    }
}

/// One number for each source. The low half tells the families apart: zero for IPv6, never for IPv4.
fn prefix_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_source_has_its_own_count() {
        let mut sources = Sources::new(2);
        let first = sources.enter(ip("10.0.0.1")).unwrap();
        assert_eq!(sources.enter(ip("10.0.0.1")), Ok(first));
        assert_eq!(sources.enter(ip("10.0.0.1")), Err(Refusal::MaxPerSource));
        assert!(sources.enter(ip("10.0.0.2")).is_ok());
        sources.leave(first);
        assert_eq!(sources.enter(ip("10.0.0.1")), Ok(first));
    }

    #[test]
    fn an_ipv6_source_is_a_64_and_an_ipv4_client_of_an_ipv6_listener_is_itself() {
        let mut sources = Sources::new(1);
        assert!(sources.enter(ip("2001:db8::1")).is_ok());
        let neighbour = ip("2001:db8::ffff:ffff:ffff:ffff");
        assert_eq!(sources.enter(neighbour), Err(Refusal::MaxPerSource));
        assert!(sources.enter(ip("2001:db8:0:1::1")).is_ok());
        assert!(sources.enter(ip("::ffff:10.0.0.1")).is_ok());
        assert_eq!(sources.enter(ip("10.0.0.1")), Err(Refusal::MaxPerSource));
        assert!(
            sources.enter(ip("::1")).is_ok(),
            "not the same as ::ffff:0:0/96"
        );
    }

    #[test]
    fn without_memory_only_a_source_that_is_not_listed_is_refused() {
        let mut sources = Sources::new(2);
        let first = sources.enter(ip("10.0.0.1")).unwrap();
        sources.refuse(true);
        assert_eq!(sources.enter(ip("10.0.0.2")), Err(Refusal::NoMemory));
        assert_eq!(sources.enter(ip("10.0.0.1")), Ok(first));
        sources.refuse(false);
        assert!(sources.enter(ip("10.0.0.2")).is_ok());
    }

    #[test]
    fn a_source_without_connections_is_forgotten() {
        let mut sources = Sources::new(1);
        for last in 0..=255 {
            let index = sources.enter(IpAddr::from([10, 0, 0, last])).unwrap();
            assert_eq!(index, 0, "the place is used again");
            sources.leave(index);
        }
        assert!(sources.indices.is_empty() && sources.counts.is_empty());
    }
}
