//! Limits the number of connections per source.

use super::Refusal;
use crate::memory::can_grow;
use crate::protocol::UNADMITTED;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The number of parts of the table. Each part grows separately, so an admission moves at most a thousandth of the
/// table and not all of it.
const PARTS: usize = 1024;

/// The index of no source, for a connection that is not counted.
pub(super) const UNCOUNTED: u32 = UNADMITTED - 1;

/// Counts connections per source: an IPv4 address, or the /64 of an IPv6 address, since a host may use any address of
/// its /64 (RFC 6177).
///
/// A connection stores the index of its source: after a reset, the kernel no longer returns the address of the peer.
/// Invariant: a source is in the table while it has connections, so the memory is in proportion to the connections.
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    /// Assigns sources to parts, with random keys: no client can select addresses that share one part.
    hasher: RandomState,
    parts: Box<[Part]>,
    /// Allocations fail, for a test.
    pub(super) is_out_of_memory: bool,
}

/// The sources with the same hash modulo [`PARTS`].
#[derive(Debug, Default)]
struct Part {
    indices: HashMap<u128, usize>,
    counts: Slab<Source>,
}

#[derive(Debug)]
struct Source {
    prefix: u128,
    connections: usize,
}

impl Sources {
    /// A table that admits at most `limit` connections of each source.
    pub(super) fn new(limit: usize) -> Self {
        Sources {
            limit,
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            is_out_of_memory: false,
        }
    }

    /// Counts a connection from `address`. Returns the index for [`release`](Sources::release).
    pub(super) fn admit(&mut self, address: IpAddr) -> Result<u32, Refusal> {
        self.count(prefix_of(address), self.limit)
    }

    /// Counts a connection that another process has admitted.
    pub(super) fn restore(&mut self, prefix: u128) -> Result<u32, Refusal> {
        self.count(prefix, usize::MAX)
    }

    /// The prefix of the source of this index.
    pub(super) fn prefix(&self, index: u32) -> Option<u128> {
        let (number, place) = (index as usize % PARTS, index as usize / PARTS);
        let source = self.parts[number].counts.get(place)?;
        Some(source.prefix)
    }

    fn count(&mut self, prefix: u128, limit: usize) -> Result<u32, Refusal> {
        let number = self.part_of(prefix);
        let part = &mut self.parts[number];
        if let Some(&place) = part.indices.get(&prefix) {
            return match part.counts.get_mut(place) {
                Some(source) if source.connections < limit => {
                    source.connections += 1;
                    index_of(number, place)
                }
                _ => Err(Refusal::MaxPerSource),
            };
        }
        if self.is_out_of_memory || part.indices.try_reserve(1).is_err() || !can_grow(&part.counts)
        {
            return Err(Refusal::NoMemory);
        }
        let index = index_of(number, part.counts.vacant_key())?;
        let place = part.counts.insert(Source {
            prefix,
            connections: 1,
        });
        part.indices.insert(prefix, place);
        Ok(index)
    }

    /// Uncounts a closed connection from the source of this index.
    pub(super) fn release(&mut self, index: u32) {
        let (number, place) = (index as usize % PARTS, index as usize / PARTS);
        let part = &mut self.parts[number];
        let Some(source) = part.counts.get_mut(place) else {
            return;
        };
        source.connections -= 1;
        if source.connections == 0 {
            let prefix = source.prefix;
            part.indices.remove(&prefix);
            part.counts.try_remove(place);
        }
    }

    /// The number of the part of a source.
    fn part_of(&self, prefix: u128) -> usize {
        // The map of a part hashes with its own keys, so its buckets do not depend on the part.
        let hash = self.hasher.hash_one(prefix) % PARTS as u64;
        usize::try_from(hash).unwrap_or_default()
    }
}

/// The index of a source, from its part and the place in it.
fn index_of(part: usize, place: usize) -> Result<u32, Refusal> {
    let index = place as u64 * PARTS as u64 + part as u64;
    match u32::try_from(index) {
        Ok(index) if index < UNCOUNTED => Ok(index),
        _ => Err(Refusal::NoMemory),
    }
}

/// Identifies a source. The lower half is zero for IPv6 only, so the address families do not overlap.
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
    fn sources_are_counted_separately() {
        let mut sources = Sources::new(2);
        let first = sources.admit(ip("10.0.0.1")).unwrap();
        assert_eq!(sources.admit(ip("10.0.0.1")), Ok(first));
        assert_eq!(sources.admit(ip("10.0.0.1")), Err(Refusal::MaxPerSource));
        assert!(sources.admit(ip("10.0.0.2")).is_ok());
        sources.release(first);
        assert_eq!(sources.admit(ip("10.0.0.1")), Ok(first));
    }

    #[test]
    fn ipv6_source_is_a_64_and_mapped_ipv4_source_is_the_address() {
        let mut sources = Sources::new(1);
        assert!(sources.admit(ip("2001:db8::1")).is_ok());
        let neighbour = ip("2001:db8::ffff:ffff:ffff:ffff");
        assert_eq!(sources.admit(neighbour), Err(Refusal::MaxPerSource));
        assert!(sources.admit(ip("2001:db8:0:1::1")).is_ok());
        assert!(sources.admit(ip("::ffff:10.0.0.1")).is_ok());
        assert_eq!(sources.admit(ip("10.0.0.1")), Err(Refusal::MaxPerSource));
        assert!(
            sources.admit(ip("::1")).is_ok(),
            "another source than ::ffff:0:0/96"
        );
    }

    #[test]
    fn without_memory_only_new_sources_are_refused() {
        let mut sources = Sources::new(2);
        let first = sources.admit(ip("10.0.0.1")).unwrap();
        sources.is_out_of_memory = true;
        assert_eq!(sources.admit(ip("10.0.0.2")), Err(Refusal::NoMemory));
        assert_eq!(sources.admit(ip("10.0.0.1")), Ok(first));
        sources.is_out_of_memory = false;
        assert!(sources.admit(ip("10.0.0.2")).is_ok());
    }

    #[test]
    fn source_without_connections_is_removed() {
        let mut sources = Sources::new(1);
        for last in 0..=255 {
            let address = IpAddr::from([10, 0, 0, last]);
            let index = sources.admit(address).unwrap();
            sources.release(index);
            assert_eq!(sources.admit(address), Ok(index), "the entry is reused");
            sources.release(index);
        }
        let mut parts = sources.parts.iter();
        assert!(parts.all(|part| part.indices.is_empty() && part.counts.is_empty()));
    }

    #[test]
    fn admission_moves_at_most_1000_sources() {
        const SOURCES: u32 = 300_000;
        let mut sources = Sources::new(1);
        for number in 0..SOURCES {
            let address = IpAddr::from(number.to_be_bytes());
            let part = sources.part_of(prefix_of(address));
            let size = |sources: &Sources| {
                let part = &sources.parts[part];
                (part.indices.capacity(), part.counts.capacity())
            };
            let (before, length) = (size(&sources), sources.parts[part].counts.len());
            let index = sources.admit(address).unwrap();
            assert_eq!(index as usize % PARTS, part);
            let has_grown = size(&sources) != before;
            assert!(!has_grown || length <= 1_000, "{length} sources were moved");
        }
        let count: usize = sources.parts.iter().map(|part| part.counts.len()).sum();
        assert_eq!(count, SOURCES as usize);
    }
}
