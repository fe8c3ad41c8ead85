//! How many connections come from where.

use super::Refusal;
use crate::memory::can_grow;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Into how many parts the table is divided. Each grows alone, so that a connection waits for a thousandth of the table
/// to be moved, and not for all of it.
const PARTS: usize = 1024;

/// Counts connections per source: an IPv4 address, or the /64 of an IPv6 address, since that is what one host is
/// given (RFC 6177) and may take any address from.
///
/// A connection keeps the index of its source and not the address: after a reset the kernel no longer knows it.
/// Invariant: a source is listed while it has connections, so memory goes with the connections that there are.
#[derive(Debug)]
pub(super) struct Sources {
    limit: usize,
    /// Decides which part a source belongs to, by random keys, so that no peer can choose one part for all its addresses.
    hasher: RandomState,
    parts: Box<[Part]>,
    refuses: bool,
}

/// The sources whose hash leads here.
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
    /// At most `limit` connections are admitted from each source.
    pub(super) fn new(limit: usize) -> Self {
        Sources {
            limit,
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| Part::default()).collect(),
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
        let number = self.part_of(prefix);
        let part = &mut self.parts[number];
        if let Some(&place) = part.indices.get(&prefix) {
            return match part.counts.get_mut(place) {
                Some(source) if source.connections < self.limit => {
                    source.connections += 1;
                    index_of(number, place)
                }
                _ => Err(Refusal::MaxPerSource),
            };
        }
        if self.refuses || part.indices.try_reserve(1).is_err() || !can_grow(&part.counts) {
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

    /// A connection from the source of this index has ended.
    pub(super) fn leave(&mut self, index: u32) {
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

    /// The number of the part that a source belongs to.
    fn part_of(&self, prefix: u128) -> usize {
        // The part's own map hashes by other keys, so that its buckets do not depend on which part it is.
        let hash = self.hasher.hash_one(prefix) % PARTS as u64;
        usize::try_from(hash).unwrap_or_default()
    }
}

/// What a connection keeps of its source: the part, and the place in it.
fn index_of(part: usize, place: usize) -> Result<u32, Refusal> {
    let index = place.checked_mul(PARTS).map(|start| start + part);
    index
        .and_then(|index| u32::try_from(index).ok())
        .ok_or(Refusal::NoMemory)
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
            let address = IpAddr::from([10, 0, 0, last]);
            let index = sources.enter(address).unwrap();
            sources.leave(index);
            assert_eq!(sources.enter(address), Ok(index), "the place is free again");
            sources.leave(index);
        }
        let mut parts = sources.parts.iter();
        assert!(parts.all(|part| part.indices.is_empty() && part.counts.is_empty()));
    }

    #[test]
    fn no_connection_waits_for_more_than_1_000_sources_to_be_moved() {
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
            let index = sources.enter(address).unwrap();
            assert_eq!(index as usize % PARTS, part);
            let has_grown = size(&sources) != before;
            assert!(!has_grown || length <= 1_000, "{length} were moved");
        }
        let count: usize = sources.parts.iter().map(|part| part.counts.len()).sum();
        assert_eq!(count, SOURCES as usize);
    }
}
