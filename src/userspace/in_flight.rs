//! What connections have sent and the server has not acknowledged, with the times of retransmission (RFC 6298).
//!
//! Memory follows what is in flight, not the number of connections.

use super::unacknowledged::Unacknowledged;
use crate::time::Time;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// Collections of at most this size are not shrunk.
const SMALL: usize = 1024;

/// Multiplies the index of a connection: the server does not choose indexes, so collisions cannot be provoked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IndexHasher(u64);

impl Hasher for IndexHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The connections with something in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    entries: HashMap<u32, Unacknowledged, BuildHasherDefault<IndexHasher>>,
    /// Deadlines of connections. An entry is stale if the deadline of its connection is another, or gone.
    /// Invariant: the first is not stale.
    queue: BinaryHeap<Reverse<(Time, u32)>>,
    /// Empty buffers for bytes.
    buffers: Vec<Vec<u8>>,
}

impl InFlight {
    /// The number of connections with something in flight.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The allocated bytes, without a byte of the hash table for each of its places.
    pub(super) fn memory(&self) -> usize {
        let entries = self.entries.values().map(|entry| entry.bytes.capacity());
        let buffers = self.buffers.iter().map(Vec::capacity);
        self.entries.capacity() * size_of::<(u32, Unacknowledged)>()
            + self.queue.capacity() * size_of::<Reverse<(Time, u32)>>()
            + self.buffers.capacity() * size_of::<Vec<u8>>()
            + entries.chain(buffers).sum::<usize>()
    }

    pub(super) fn of(&self, connection: u32) -> Option<&Unacknowledged> {
        self.entries.get(&connection)
    }

    /// The sequence numbers that a connection has in flight.
    pub(super) fn length(&self, connection: u32) -> u32 {
        self.of(connection).map_or(0, Unacknowledged::length)
    }

    /// What a connection has in flight, for additions. If it has nothing in flight, its timers start.
    pub(super) fn entry(
        &mut self,
        connection: u32,
        now: Time,
        limit: Duration,
    ) -> &mut Unacknowledged {
        let (queue, buffers) = (&mut self.queue, &mut self.buffers);
        self.entries.entry(connection).or_insert_with(|| {
            let entry = Unacknowledged::new(buffers.pop().unwrap_or_default(), now, limit);
            queue.push(Reverse((entry.deadline(), connection)));
            entry
        })
    }

    /// Removes acknowledged sequence numbers, and starts the timers again if others are still in flight (RFC 6298, 5.3).
    pub(super) fn acknowledge(&mut self, connection: u32, length: u32, now: Time, limit: Duration) {
        let Some(entry) = self.entries.get_mut(&connection) else {
            return;
        };
        entry.acknowledge(length, now, limit);
        if entry.length() == 0 {
            self.remove(connection);
            return;
        }
        self.queue.push(Reverse((entry.deadline(), connection)));
        self.drop_stale();
    }

    /// Drops what a connection has in flight. Returns the number of its sequence numbers.
    pub(super) fn remove(&mut self, connection: u32) -> u32 {
        let Some(mut entry) = self.entries.remove(&connection) else {
            return 0;
        };
        let length = entry.length();
        if self.buffers.len() <= self.entries.len().max(SMALL) {
            entry.bytes.clear();
            self.buffers.push(entry.bytes);
        }
        self.drop_stale();
        self.shrink();
        length
    }

    /// Doubles the timeout of a connection after a retransmission.
    pub(super) fn back_off(&mut self, connection: u32, now: Time) {
        if let Some(entry) = self.entries.get_mut(&connection) {
            entry.back_off(now);
            self.queue.push(Reverse((entry.deadline(), connection)));
            self.drop_stale();
        }
    }

    /// Notes that the SYN was sent again at once. `false`: it was before, since the last timeout.
    pub(super) fn repeat(&mut self, connection: u32) -> bool {
        let entry = self.entries.get_mut(&connection);
        entry.is_some_and(Unacknowledged::repeat)
    }

    /// When something is due next.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// A connection for which something is due.
    pub(super) fn due(&self, now: Time) -> Option<u32> {
        let Reverse((deadline, connection)) = self.queue.peek()?;
        (*deadline <= now).then_some(*connection)
    }

    fn drop_stale(&mut self) {
        while let Some(Reverse((deadline, connection))) = self.queue.peek() {
            let entry = self.entries.get(connection);
            if entry.is_some_and(|entry| entry.deadline() == *deadline) {
                return;
            }
            self.queue.pop();
        }
    }

    /// Returns memory after a decrease. Each time, as many entries were removed as are moved.
    fn shrink(&mut self) {
        let entries = self.entries.len();
        if self.queue.len() > 2 * entries + SMALL {
            let valid = &self.entries;
            self.queue.retain(|Reverse((deadline, connection))| {
                let entry = valid.get(connection);
                entry.is_some_and(|entry| entry.deadline() == *deadline)
            });
        }
        let least = 2 * entries + SMALL;
        if self.entries.capacity() > 4 * least {
            self.entries.shrink_to(least);
            self.queue.shrink_to(least);
            self.buffers.truncate(least);
            self.buffers.shrink_to(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn add_syn(in_flight: &mut InFlight, connection: u32, now: Time) {
        in_flight.entry(connection, now, LIMIT).syn = true;
    }

    #[test]
    fn timeouts_double_until_the_limit() {
        let mut in_flight = InFlight::default();
        add_syn(&mut in_flight, 7, Time::ZERO);
        for due in [1, 3, 7] {
            assert_eq!(in_flight.next_deadline(), Some(seconds(due)));
            assert_eq!(in_flight.due(seconds(due - 1)), None);
            assert_eq!(in_flight.due(seconds(due)), Some(7));
            assert!(!in_flight.of(7).unwrap().has_timed_out(seconds(due)));
            in_flight.back_off(7, seconds(due));
        }
        assert_eq!(in_flight.due(seconds(10)), Some(7));
        assert!(in_flight.of(7).unwrap().has_timed_out(seconds(10)));
        assert_eq!(in_flight.remove(7), 1);
        assert_eq!((in_flight.next_deadline(), in_flight.len()), (None, 0));
    }

    #[test]
    fn acknowledgment_removes_from_the_front_and_restarts() {
        let mut in_flight = InFlight::default();
        let entry = in_flight.entry(1, Time::ZERO, LIMIT);
        (entry.syn, entry.fin) = (true, true);
        entry.bytes.extend(b"abcd");
        assert_eq!(in_flight.length(1), 6);
        in_flight.acknowledge(1, 3, seconds(5), LIMIT);
        let entry = in_flight.of(1).unwrap();
        assert_eq!(
            (entry.syn, &entry.bytes[..], entry.fin),
            (false, &b"cd"[..], true)
        );
        assert_eq!(in_flight.next_deadline(), Some(seconds(6)));
        assert!(!entry.has_timed_out(seconds(14)) && entry.has_timed_out(seconds(15)));
        in_flight.acknowledge(1, 3, seconds(5), LIMIT);
        assert_eq!((in_flight.next_deadline(), in_flight.len()), (None, 0));
    }

    #[test]
    fn memory_follows_what_is_in_flight() {
        let mut in_flight = InFlight::default();
        for connection in 0..100_000 {
            add_syn(&mut in_flight, connection, Time::ZERO);
            in_flight.entry(connection, Time::ZERO, LIMIT).bytes.push(1);
        }
        assert!(in_flight.entries.capacity() >= 100_000);
        for connection in 1..100_000 {
            in_flight.remove(connection);
        }
        // One connection remains, the oldest: the entries of the others are not at the front of the queue.
        assert_eq!((in_flight.len(), in_flight.due(seconds(1))), (1, Some(0)));
        let capacities = [
            in_flight.entries.capacity(),
            in_flight.queue.capacity(),
            in_flight.buffers.capacity(),
        ];
        assert!(
            capacities.iter().all(|most| *most <= 10 * SMALL),
            "{capacities:?}"
        );
        assert!(in_flight.queue.len() <= 2 * SMALL);
    }
}
