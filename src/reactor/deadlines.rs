//! Deadlines: one list for each class of timeout, sorted without effort.
//!
//! All connections of a class have the same timeout. So a connection whose timer restarts goes to the tail of the list,
//! and the head is always the next to expire: each operation takes constant time, without a wheel or a heap. Time is
//! divided into ticks, and a connection moves only at its first activity in a tick, not for every message.

use super::list::List;
use super::slots::{Slot, Slots};
use crate::net::{Key, Time};
use std::time::Duration;

/// The length of a tick, which is also the largest delay of a timeout.
pub const TICK: Duration = Duration::from_millis(250);

/// The number of classes of timeout.
pub const CLASSES: usize = 7;

/// A class of connections with the same timeout. The user of the event loop assigns the meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// No class: no deadline.
    pub const NONE: Class = Class(u8::MAX);

    /// The class of this index.
    ///
    /// # Panics
    /// At compile time, in a constant, if the index is not below [`CLASSES`].
    #[must_use]
    pub const fn new(index: u8) -> Class {
        assert!((index as usize) < CLASSES, "the index is too large");
        Class(index)
    }

    /// The class as a number, for [`from_number`](Class::from_number).
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// The class of a number, if it has one.
    pub(crate) fn from_number(number: u8) -> Option<Class> {
        let class = Class(number);
        (usize::from(number) < CLASSES || class == Class::NONE).then_some(class)
    }
}

/// A count of [`TICK`]s since the clock's origin; 32 bits are 34 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    /// A tick that no clock reaches.
    const NEVER: Tick = Tick(u32::MAX);

    /// The tick as a number, for [`from_number`](Tick::from_number).
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn from_number(number: u32) -> Tick {
        Tick(number)
    }

    pub(super) fn of(time: Time) -> Tick {
        let ticks = time.as_nanos() / NANOSECONDS;
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// The end of the tick, which is after every event in it.
    pub(super) fn end(self) -> Time {
        let ticks = u64::from(self.0) + 1;
        Time::ZERO + Duration::from_nanos(ticks.saturating_mul(NANOSECONDS))
    }
}

/// A tick in nanoseconds. Every iteration divides by it, which is cheap in 64 bits only.
const NANOSECONDS: u64 = 250_000_000;

const _: () = assert!(TICK.as_nanos() == NANOSECONDS as u128);

/// The connections of a class that has a timeout; without one, no connection is listed.
#[derive(Clone, Copy, Debug)]
struct ClassList {
    list: List,
    timeout: Option<Duration>,
}

/// The lists of all classes, of the connections of one set of slots.
///
/// Invariant: within each list, the ticks in which timers were started do not decrease from head to tail.
#[derive(Debug)]
pub(super) struct Deadlines {
    classes: [ClassList; CLASSES],
    /// The classes from this index on have no timeout, so their lists are empty.
    used: usize,
}

impl Deadlines {
    pub(super) fn new(timeouts: [Option<Duration>; CLASSES]) -> Self {
        let last_used = timeouts.iter().rposition(Option::is_some);
        Deadlines {
            used: last_used.map_or(0, |index| index + 1),
            classes: timeouts.map(|timeout| ClassList {
                list: List::EMPTY,
                timeout,
            }),
        }
    }

    /// The list of a class that has a timeout.
    fn list(&mut self, class: Class) -> Option<&mut List> {
        let class = self.classes.get_mut(usize::from(class.0))?;
        class.timeout.is_some().then_some(&mut class.list)
    }

    /// The lists of the classes that have a timeout.
    pub(super) fn lists(&self) -> impl Iterator<Item = List> {
        let used = self.classes[..self.used].iter();
        used.map(|class| class.list)
    }

    /// The number of connections in a class that has a timeout.
    pub(super) fn armed(&self, class: Class) -> usize {
        let class = self.classes.get(usize::from(class.0));
        class.map_or(0, |class| class.list.len())
    }

    /// The timeout of a class.
    pub(super) fn timeout(&self, class: Class) -> Option<Duration> {
        self.classes.get(usize::from(class.0))?.timeout
    }
}

impl<S, T> Slots<S, T> {
    /// Moves a connection from its class into `class`, and restarts its timer.
    pub(super) fn enter(&mut self, index: u32, class: Class, now: Tick) {
        self.leave(index);
        let Some(slot) = self.slab.get_mut(index as usize) else {
            return;
        };
        slot.class = class;
        // Without a class there is no timer, so none was started in this tick.
        slot.timer_start = if class == Class::NONE {
            Tick::NEVER
        } else {
            now
        };
        if let Some(list) = self.deadlines.list(class) {
            list.append(&mut self.slab, index);
        }
    }

    /// Moves a connection into `class` with a timer that was started at `start`, or at the same time as that of the last
    /// connection in the class if that is later.
    pub(super) fn restore(&mut self, slot: u32, class: Class, start: Tick) {
        let last = self.deadlines.list(class).map(|list| list.last());
        let last = last.and_then(|index| self.slab.get(index as usize));
        let latest = last.map_or(0, |slot| slot.timer_start.0);
        self.enter(slot, class, Tick(start.0.max(latest)));
    }

    /// Removes a connection from its class.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(slot) = self.slab.get_mut(index as usize) else {
            return;
        };
        let class = std::mem::replace(&mut slot.class, Class::NONE);
        if let Some(list) = self.deadlines.list(class) {
            list.unlink(&mut self.slab, index);
        }
    }

    /// Restarts a connection's timer, unless it was started in this tick already.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32, now: Tick) {
        let entry = self.slab.get(slot as usize);
        if let Some(entry) = entry.filter(|entry| entry.timer_start != now) {
            self.enter(slot, entry.class, now);
        }
    }

    /// The first connection of each list, and its deadline.
    fn heads(&self) -> impl Iterator<Item = (Time, Key)> {
        let classes = self.deadlines.classes[..self.deadlines.used].iter();
        classes.filter_map(|class| {
            let timeout = class.timeout?;
            let slot = class.list.first();
            let head = self.slab.get(slot as usize)?;
            let serial = head.serial;
            Some((deadline(head, timeout), Key { slot, serial }))
        })
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.heads().map(|(time, _)| time).min()
    }

    /// Whether the deadline of a connection has passed.
    pub(super) fn is_expired(&self, key: Key, now: Time) -> bool {
        self.get(key).is_some_and(|slot| {
            let timeout = self.deadlines.timeout(slot.class);
            timeout.is_some_and(|timeout| deadline(slot, timeout) <= now)
        })
    }

    /// A connection whose deadline has passed.
    pub(super) fn expired(&self, now: Time) -> Option<Key> {
        let mut expired = self.heads().filter(|(time, _)| *time <= now);
        expired.next().map(|(_, key)| key)
    }
}

/// The deadline of a slot: it counts from the end of the tick, since the last activity may have been that late.
fn deadline<S, T>(slot: &Slot<S, T>, timeout: Duration) -> Time {
    slot.timer_start.end() + timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: Class = Class::new(0);
    const STALLED: Class = Class::new(1);
    const UNLIMITED: Class = Class::new(2);

    fn slots(connections: u32) -> Slots<(), ()> {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let mut slots = Slots::new([seconds(10), seconds(3), None, None, None, None, None]);
        for _ in 0..connections {
            let key = slots.next_key().unwrap();
            slots.insert(key, (), ());
        }
        slots
    }

    fn milliseconds(count: u64) -> Time {
        Time::ZERO + Duration::from_millis(count)
    }

    #[test]
    fn deadline_is_never_early_and_at_most_one_tick_late() {
        for active_at in [0, 1, 249, 250, 251, 499] {
            let mut slots = slots(1);
            let now = Tick::of(milliseconds(active_at));
            slots.enter(0, IDLE, now);
            let due = slots.next_deadline().unwrap();
            let waited = due.since(milliseconds(active_at));
            assert!(waited > Duration::from_secs(10), "active at {active_at}");
            assert!(waited <= Duration::from_secs(10) + TICK, "{active_at}");
        }
    }

    #[test]
    fn earliest_deadline_of_all_classes_expires_first() {
        let mut slots = slots(3);
        slots.enter(0, IDLE, Tick(0));
        slots.enter(1, IDLE, Tick(1));
        slots.enter(2, STALLED, Tick(2));
        slots.touch(0, Tick(3));
        assert_eq!(slots.next_deadline(), Some(milliseconds(3 * 250 + 3000)));
        assert_eq!(slots.expired(milliseconds(3749)), None);
        let expired = slots.expired(milliseconds(3750));
        assert_eq!(expired.map(|key| key.slot), Some(2));
        slots.leave(2);
        let expired = slots.expired(milliseconds(60_000));
        assert_eq!(expired.map(|key| key.slot), Some(1), "0 was touched later");
    }

    #[test]
    fn class_without_timeout_has_no_deadline() {
        let mut slots = slots(1);
        slots.enter(0, UNLIMITED, Tick(0));
        slots.touch(0, Tick(7));
        assert_eq!(slots.next_deadline(), None);
        assert_eq!(slots.slab[0].class(), UNLIMITED);
    }

    proptest! {
        /// After any operations, the lists agree with a search over all connections.
        #[test]
        fn lists_agree_with_a_search(steps in proptest::collection::vec((0_u8..3, 0_u32..6, 0_u8..4, 0_u32..3), 1..200)) {
            let mut slots = slots(6);
            let mut model: [Option<(Class, u32)>; 6] = [None; 6];
            let mut now = 0;
            for (step, index, class, later) in steps {
                now += later;
                let entry = &mut model[index as usize];
                match step {
                    0 => {
                        let class = Class::new(class);
                        slots.enter(index, class, Tick(now));
                        *entry = Some((class, now));
                    }
                    1 => {
                        slots.leave(index);
                        *entry = None;
                    }
                    _ => {
                        slots.touch(index, Tick(now));
                        if let Some((_, start)) = entry { *start = now; }
                    }
                }
                let due = model.iter().flatten().filter_map(|(class, start)| {
                    let timeout = slots.deadlines.timeout(*class)?;
                    Some(Tick(*start).end() + timeout)
                });
                prop_assert_eq!(slots.next_deadline(), due.min());
                for class in [IDLE, STALLED, UNLIMITED] {
                    let members = model.iter().flatten().filter(|(member, _)| *member == class);
                    let timed = slots.deadlines.timeout(class).map_or(0, |_| members.count());
                    prop_assert_eq!(slots.deadlines.armed(class), timed);
                }
            }
        }
    }
}
