//! A network that loses, reorders and duplicates packets, the same way for the same seed.

use crate::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What the network does to packets, each way.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss_per_mille: u64,
    pub duplicates_per_mille: u64,
    /// Packets are delayed by up to this time, so that they overtake each other.
    pub most_delay: Duration,
}

pub const NO_FAULTS: Faults = Faults {
    loss_per_mille: 0,
    duplicates_per_mille: 0,
    most_delay: Duration::from_micros(1),
};

/// Packets under way to one side, ordered by arrival and then by transmission.
#[derive(Debug)]
pub struct Network {
    faults: Faults,
    rng: Rng,
    under_way: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    sent: u64,
    /// Packets are delayed by at least this time.
    pub least_delay: Duration,
}

impl Network {
    pub fn new(faults: Faults, seed: u64) -> Network {
        Network {
            faults,
            rng: Rng::new(seed),
            under_way: BinaryHeap::new(),
            sent: 0,
            least_delay: Duration::from_micros(1),
        }
    }

    pub fn send(&mut self, packet: &[u8], now: Duration) {
        let copies = 1 + u64::from(self.rng.chance(self.faults.duplicates_per_mille));
        for _ in 0..copies {
            if self.rng.chance(self.faults.loss_per_mille) {
                continue;
            }
            let delays = [self.least_delay, self.faults.most_delay];
            let [least, most] = delays.map(|delay| u64::try_from(delay.as_micros()).unwrap());
            let delay = Duration::from_micros(self.rng.between(least, most));
            self.sent += 1;
            let entry = (now + delay, self.sent, packet.to_vec());
            self.under_way.push(Reverse(entry));
        }
    }

    pub fn next_arrival(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// A packet that has arrived.
    pub fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        let at = self.next_arrival()?;
        let arrived = (at <= now).then(|| self.under_way.pop()).flatten();
        arrived.map(|Reverse((.., packet))| packet)
    }
}
