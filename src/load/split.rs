//! The exact split of a load over several processes: no connection is lost to rounding, and no number is used twice.

use super::Config;
use std::ops::Range;
use std::time::Duration;

/// One of several equal shares of a whole, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// Share `index` of `count`; `None` unless `index` is below `count`.
    #[must_use]
    pub fn new(index: u32, count: u32) -> Option<Share> {
        (index < count).then_some(Share { index, count })
    }

    /// The number of this share, from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// The number of shares.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The items of this share, of `whole` items: those of all shares are contiguous and together the whole. Sizes
    /// differ by at most one; the first shares are the larger ones.
    #[must_use]
    pub fn range(self, whole: u32) -> Range<u32> {
        self.range_after(0, whole)
    }

    /// As [`range`](Share::range), where `before` items are divided already: the larger shares are those that follow on
    /// the larger ones of `before`, so that the sizes of both together differ by at most one, too.
    #[must_use]
    pub fn range_after(self, before: u32, whole: u32) -> Range<u32> {
        let (each, rest) = (whole / self.count, whole % self.count);
        let first = before % self.count;
        // The larger shares are `first..first + rest`, of which those from `count` on begin again at 0.
        let wrapped = first.saturating_sub(self.count - rest);
        let larger_below =
            |index: u32| index.min(wrapped) + index.saturating_sub(first).min(rest - wrapped);
        let start = |index: u32| index * each + larger_below(index);
        start(self.index)..start(self.index + 1)
    }

    /// The size of [`range`](Share::range).
    #[must_use]
    pub fn size(self, whole: u32) -> u32 {
        let range = self.range(whole);
        range.end - range.start
    }
}

impl Config {
    /// The share of this load that one of several processes runs: of `--jobs` and of `--part`. A share can be divided
    /// again.
    ///
    /// Rate and ramp are divided in proportion to the connections of the share, so that each connection has the same pace
    /// as in the whole load. The schedules of the shares are shifted against each other, so that the processes do not
    /// send at the same moments.
    #[must_use]
    pub fn share(&self, share: Share) -> Config {
        let idle = share.range(self.idle);
        let active = share.range_after(self.idle, self.active);
        let (own_idle, own_active) = (idle.end - idle.start, active.end - active.start);
        let part_of = |rate: Option<f64>, part: u32, whole: u32| {
            let rate = rate.filter(|_| part > 0)?;
            Some(rate * f64::from(part) / f64::from(whole))
        };
        let own = own_idle + own_active;
        Config {
            idle: own_idle,
            active: own_active,
            first_number: self.first_number + idle.start + active.start,
            rate: part_of(self.rate, own_active, self.active),
            phase: self.phase
                + self.rate.map_or(Duration::ZERO, |rate| {
                    Duration::try_from_secs_f64(f64::from(share.index) / rate).unwrap_or_default()
                }),
            ramp: part_of(self.ramp, own, self.connections()),
            probe: match self.probe {
                u32::MAX => u32::MAX,
                count => share.size(count),
            },
            // All processes connect to the same server, whose backlog limits the sum.
            window: self.window.map(|window| share.size(window).max(1)),
            sources: self.sources.share(share),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sources;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::net::SocketAddr;

    fn shares(count: u32) -> impl Iterator<Item = Share> {
        (0..count).map(move |index| Share::new(index, count).unwrap())
    }

    fn target() -> SocketAddr {
        "127.0.0.1:7".parse().unwrap()
    }

    proptest! {
        #[test]
        fn shares_are_contiguous_and_differ_by_at_most_one(whole in 0_u32..1 << 24, count in 1_u32..300) {
            let mut next = 0;
            for share in shares(count) {
                let range = share.range(whole);
                prop_assert_eq!(range.start, next);
                next = range.end;
                prop_assert_eq!(share.size(whole), range.end - range.start);
                prop_assert!(share.size(whole) - whole / count <= 1);
            }
            prop_assert_eq!(next, whole);
        }

        #[test]
        fn shares_of_two_kinds_are_exact_and_differ_by_at_most_one_together(
            before in 0_u32..1 << 24, whole in 0_u32..1 << 24, count in 1_u32..300,
        ) {
            let mut next = 0;
            for share in shares(count) {
                let range = share.range_after(before, whole);
                prop_assert_eq!(range.start, next);
                next = range.end;
                let both = share.size(before) + (range.end - range.start);
                let each = (before + whole) / count;
                prop_assert!(both == each || both == each + 1, "{both} of {each}");
            }
            prop_assert_eq!(next, whole);
        }

        #[test]
        fn shares_of_shares_are_the_whole_load(
            idle in 0_u32..2000, active in 0_u32..300, rate in 1_u32..1_000_000, parts in 1_u32..9, jobs in 1_u32..9,
        ) {
            let rate = f64::from(rate);
            let whole = Config { idle, active, rate: Some(rate), ..Config::new(target()) };
            let mut numbers = Vec::new();
            let (mut sum, mut sums) = (0.0, (0, 0));
            for part in shares(parts) {
                for job in shares(jobs) {
                    let own = whole.share(part).share(job);
                    numbers.extend(own.first_number..own.first_number + own.connections());
                    sums = (sums.0 + own.idle, sums.1 + own.active);
                    sum += own.rate.unwrap_or(0.0);
                }
            }
            prop_assert_eq!(numbers, (0..idle + active).collect::<Vec<_>>());
            prop_assert_eq!(sums, (idle, active));
            prop_assert!(active == 0 || (sum - rate).abs() <= rate * 1e-12, "{} of {}", sum, rate);
        }

        #[test]
        fn shares_of_shares_of_a_given_network_begin_at_different_addresses(parts in 1_u32..16, jobs in 1_u32..16) {
            let sources = Sources::of("10.0.0.0/16".parse().unwrap());
            let mut first = HashSet::new();
            for part in shares(parts) {
                for job in shares(jobs) {
                    let address = sources.share(part).share(job).address(0).unwrap();
                    prop_assert!(first.insert(address), "{address} is the first of two");
                }
            }
        }

        #[test]
        fn shares_of_a_load_add_up_and_have_distinct_connection_numbers(
            idle in 0_u32..2000, active in 0_u32..300, rate in proptest::option::of(1_u32..1_000_000),
            ramp in proptest::option::of(1_u32..100_000), probe in 0_u32..3000, count in 1_u32..9,
        ) {
            let whole = Config {
                idle,
                active,
                rate: rate.map(f64::from),
                ramp: ramp.map(f64::from),
                probe,
                ..Config::new(target())
            };
            let all: Vec<Config> = shares(count).map(|share| whole.share(share)).collect();
            prop_assert_eq!(all.iter().map(|one| one.idle).sum::<u32>(), idle);
            prop_assert_eq!(all.iter().map(|one| one.active).sum::<u32>(), active);
            prop_assert_eq!(all.iter().map(|one| one.probe).sum::<u32>(), probe);
            let is_sum = |parts: f64, whole: f64| (parts - whole).abs() <= whole * 1e-12;
            if let Some(rate) = whole.rate.filter(|_| active > 0) {
                prop_assert!(is_sum(all.iter().filter_map(|one| one.rate).sum(), rate));
                let each = rate / f64::from(active);
                let keeps_pace = |one: &Config| {
                    one.active == 0 || is_sum(one.rate.unwrap_or(0.0), each * f64::from(one.active))
                };
                prop_assert!(all.iter().all(keeps_pace));
            }
            if let Some(ramp) = whole.ramp.filter(|_| idle + active > 0) {
                prop_assert!(is_sum(all.iter().filter_map(|one| one.ramp).sum(), ramp));
            }
            // An idle connection is probed if the whole load probes all.
            prop_assert!(probe < idle || all.iter().all(|one| one.probe >= one.idle));
            let numbers = all.iter().flat_map(|one| one.first_number..one.first_number + one.connections());
            let numbers: Vec<u32> = numbers.collect();
            prop_assert_eq!(numbers, (0..idle + active).collect::<Vec<_>>());
        }

        #[test]
        fn shares_of_a_schedule_are_shifted_within_one_period(active in 1_u32..100, rate in 1_u32..100_000, count in 1_u32..9) {
            let whole = Config { active, rate: Some(rate.into()), ..Config::new(target()) };
            let phases: Vec<_> = shares(count).map(|share| whole.share(share).phase).collect();
            let period = Duration::from_secs(1) / rate;
            prop_assert!(phases.is_sorted() && phases[0] == Duration::ZERO);
            prop_assert!(phases[phases.len() - 1] <= period * count);
        }

        #[test]
        fn automatic_sources_of_shares_are_distinct(connections in 1_u32..100_000, churns: bool, count in 1_u32..9, process: u32) {
            let sources = Sources::automatic(target().ip(), connections, churns, 28_232, process);
            let mut seen = HashSet::new();
            for share in shares(count) {
                let own = sources.share(share);
                let addresses = (0..own.count()).map(|index| own.address(index).unwrap());
                for address in addresses.collect::<HashSet<_>>() {
                    prop_assert!(seen.insert(address), "{address} is used twice");
                }
            }
        }
    }

    #[test]
    fn index_must_be_below_the_count() {
        assert_eq!(Share::new(3, 3), None);
        assert_eq!(Share::new(0, 0), None);
        let last = Share::new(2, 3).unwrap();
        assert_eq!((last.index(), last.count()), (2, 3));
        assert_eq!(last.range(10), 7..10);
    }

    #[test]
    fn shares_of_a_given_network_begin_at_different_addresses() {
        let sources = Sources::of("10.0.0.0/24".parse().unwrap());
        let first = |index| {
            let share = Share::new(index, 4).unwrap();
            sources.share(share).address(0).unwrap().ip().to_string()
        };
        assert_eq!([first(0), first(1)], ["10.0.0.1", "10.0.0.64"]);
        let single = Sources::from_address("10.0.0.9:0".parse().unwrap());
        let share = Share::new(1, 2).unwrap();
        assert_eq!(single.share(share).address(5), single.address(0));
        assert_eq!(Sources::any().share(share).address(5), None);
    }
}
