//! Deadlines: one list per class of timeout, in order by itself.
//!
//! All connections of a class wait equally long. So whoever's time starts anew goes to the tail, and the head is always
//! the next that is due: O(1) for each step, no wheel and no heap. To move a connection for every message would still
//! cost; so time is cut into ticks, and a connection moves at its first activity in a tick.

use super::slots::{Slot, Slots};
use crate::net::{Key, Time};
use std::time::Duration;

/// The length of a tick, which is also how late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(250);

/// How many classes of timeout there are.
pub const CLASSES: usize = 6;

/// A list of deadlines of one length. What the classes mean is for the loop's user to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// In no list: nothing is due.
    pub const NONE: Class = Class(u8::MAX);

    /// The class of this index.
    ///
    /// # Panics
    /// At compile time, where it is used, if the index is not below [`CLASSES`].
    #[must_use]
    pub const fn new(index: u8) -> Class {
        assert!((index as usize) < CLASSES, "there are only a few classes");
        Class(index)
    }
}

/// A count of [`TICK`]s since the clock's origin; 32 bits are 34 years of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    /// No tick of any clock.
    const NEVER: Tick = Tick(u32::MAX);

    pub(super) fn of(time: Time) -> Tick {
        let ticks = time.as_nanos() / NANOSECONDS;
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// When the tick is over: whatever happened in it happened before.
    fn end(self) -> Time {
        let ticks = u64::from(self.0) + 1;
        Time::ZERO + Duration::from_nanos(ticks.saturating_mul(NANOSECONDS))
    }
}

/// A tick in nanoseconds. Time is divided by it in every turn, which costs little only in 64 bits.
const NANOSECONDS: u64 = 250_000_000;

const _: () = assert!(TICK.as_nanos() == NANOSECONDS as u128);

/// The index that means nobody.
const NOBODY: u32 = u32::MAX;

/// A slot's place in its list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    previous: u32,
    next: u32,
    since: Tick,
}

impl Default for Link {
    fn default() -> Self {
        Link {
            previous: NOBODY,
            next: NOBODY,
            since: Tick::default(),
        }
    }
}

impl Link {
    /// A point in time before which the connection's time was started.
    pub(super) fn started_before(self) -> Time {
        self.since.end()
    }

    /// Whether the connection's time was started in this tick.
    #[inline]
    pub(super) fn is_since(self, tick: Tick) -> bool {
        self.since == tick
    }
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// How long a connection may stand here; `None`: for ever, and then nobody is listed.
    length: Option<Duration>,
}

/// The lists. Invariant: within each, `since` does not go down from head to tail.
#[derive(Debug)]
pub(super) struct Deadlines {
    lists: [List; CLASSES],
    /// The lists from this index on have no length, so no connection is in them.
    used: usize,
}

impl Deadlines {
    pub(super) fn new(lengths: [Option<Duration>; CLASSES]) -> Self {
        Deadlines {
            used: CLASSES
                - lengths
                    .iter()
                    .rev()
                    .take_while(|length| length.is_none())
                    .count(),
            lists: lengths.map(|length| List {
                first: NOBODY,
                last: NOBODY,
                length,
            }),
        }
    }

    /// Puts a connection into `class`, out of whatever class it was in; its time starts now.
    pub(super) fn enter<S, T, const SET: u32>(
        &mut self,
        slots: &mut Slots<S, T, SET>,
        index: u32,
        class: Class,
        now: Tick,
    ) {
        self.leave(slots, index);
        let list = self.lists.get_mut(usize::from(class.0));
        let list = list.filter(|list| list.length.is_some());
        let Some(slot) = slots.at(index) else { return };
        slot.class = class;
        slot.link = Link {
            // Out of all classes no time runs, so none has been started in this tick.
            since: if class == Class::NONE {
                Tick::NEVER
            } else {
                now
            },
            ..Link::default()
        };
        let Some(list) = list else { return };
        slot.link.previous = list.last;
        match slots.at(list.last) {
            Some(tail) => tail.link.next = index,
            None => list.first = index,
        }
        list.last = index;
    }

    /// Takes a connection out of its list.
    pub(super) fn leave<S, T, const SET: u32>(&mut self, slots: &mut Slots<S, T, SET>, index: u32) {
        let Some(slot) = slots.at(index) else { return };
        let Link { previous, next, .. } = slot.link;
        let class = std::mem::replace(&mut slot.class, Class::NONE);
        let Some(list) = self.lists.get_mut(usize::from(class.0)) else {
            return;
        };
        if list.length.is_none() {
            return;
        }
        match slots.at(previous) {
            Some(slot) => slot.link.next = next,
            None => list.first = next,
        }
        match slots.at(next) {
            Some(slot) => slot.link.previous = previous,
            None => list.last = previous,
        }
    }

    /// Starts a connection's time anew, if that has not been done in this tick already.
    #[inline]
    pub(super) fn touch<S, T, const SET: u32>(
        &mut self,
        slots: &mut Slots<S, T, SET>,
        index: u32,
        now: Tick,
    ) {
        let Some(slot) = slots.at(index) else { return };
        if slot.link.since != now {
            let class = slot.class;
            self.enter(slots, index, class, now);
        }
    }

    /// When the next deadline falls due.
    pub(super) fn next<S, T, const SET: u32>(&self, slots: &mut Slots<S, T, SET>) -> Option<Time> {
        let heads = self.lists[..self.used]
            .iter()
            .filter_map(|list| due(list, slots));
        heads.map(|(time, _)| time).min()
    }

    /// The timeout of a class.
    pub(super) fn timeout(&self, class: Class) -> Option<Duration> {
        self.lists.get(usize::from(class.0))?.length
    }

    /// Whether the time of a connection is up.
    pub(super) fn is_expired<S, T>(&self, slot: &Slot<S, T>, now: Time) -> bool {
        let timeout = self.timeout(slot.class);
        timeout.is_some_and(|timeout| deadline(slot, timeout) <= now)
    }

    /// A connection whose time is up.
    pub(super) fn expired<S, T, const SET: u32>(
        &self,
        slots: &mut Slots<S, T, SET>,
        now: Time,
    ) -> Option<Key> {
        let mut heads = self.lists[..self.used]
            .iter()
            .filter_map(|list| due(list, slots));
        heads.find(|(time, _)| *time <= now).map(|(_, key)| key)
    }
}

/// When the head of a list is due, and who that is.
fn due<S, T, const SET: u32>(list: &List, slots: &mut Slots<S, T, SET>) -> Option<(Time, Key)> {
    let length = list.length?;
    let head: &mut Slot<S, T> = slots.at(list.first)?;
    let key = Key {
        slot: list.first,
        serial: head.serial(),
    };
    Some((deadline(head, length), key))
}

/// When the time of a slot is up: from the end of the tick, since the last activity may have been that late in it.
fn deadline<S, T>(slot: &Slot<S, T>, length: Duration) -> Time {
    slot.link.since.end() + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: Class = Class::new(0);
    const STALLED: Class = Class::new(1);
    const UNLIMITED: Class = Class::new(2);

    fn world(connections: u32) -> (Slots<(), ()>, Deadlines) {
        let mut slots = Slots::new();
        for _ in 0..connections {
            let key = slots.next_key().unwrap();
            slots.insert(key, (), ());
        }
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let lengths = [seconds(10), seconds(3), None, None, None, None];
        (slots, Deadlines::new(lengths))
    }

    fn milliseconds(count: u64) -> Time {
        Time::ZERO + Duration::from_millis(count)
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_a_tick_late() {
        for active_at in [0, 1, 249, 250, 251, 499] {
            let (mut slots, mut deadlines) = world(1);
            let now = Tick::of(milliseconds(active_at));
            deadlines.enter(&mut slots, 0, IDLE, now);
            let due = deadlines.next(&mut slots).unwrap();
            let waited = due.since(milliseconds(active_at));
            assert!(waited > Duration::from_secs(10), "active at {active_at}");
            assert!(waited <= Duration::from_secs(10) + TICK, "{active_at}");
        }
    }

    #[test]
    fn the_next_due_is_the_least_recently_active_of_any_class() {
        let (mut slots, mut deadlines) = world(3);
        deadlines.enter(&mut slots, 0, IDLE, Tick(0));
        deadlines.enter(&mut slots, 1, IDLE, Tick(1));
        deadlines.enter(&mut slots, 2, STALLED, Tick(2));
        deadlines.touch(&mut slots, 0, Tick(3));
        assert_eq!(
            deadlines.next(&mut slots),
            Some(milliseconds(3 * 250 + 3000))
        );
        assert_eq!(deadlines.expired(&mut slots, milliseconds(3749)), None);
        let expired = deadlines.expired(&mut slots, milliseconds(3750));
        assert_eq!(expired.map(|key| key.slot), Some(2));
        deadlines.leave(&mut slots, 2);
        let expired = deadlines.expired(&mut slots, milliseconds(60_000));
        assert_eq!(expired.map(|key| key.slot), Some(1), "0 was touched later");
    }

    #[test]
    fn a_class_without_a_length_lists_nobody() {
        let (mut slots, mut deadlines) = world(1);
        deadlines.enter(&mut slots, 0, UNLIMITED, Tick(0));
        deadlines.touch(&mut slots, 0, Tick(7));
        assert_eq!(deadlines.next(&mut slots), None);
        assert_eq!(slots.at(0).unwrap().class(), UNLIMITED);
    }

    proptest! {
        /// Whatever is done to the lists, they say what a plain search over all connections would say.
        #[test]
        fn lists_agree_with_a_search(steps in proptest::collection::vec((0_u8..3, 0_u32..6, 0_u8..4, 0_u32..3), 1..200)) {
            let (mut slots, mut deadlines) = world(6);
            let mut model: [Option<(Class, u32)>; 6] = [None; 6];
            let mut now = 0;
            for (step, index, class, later) in steps {
                now += later;
                let place = &mut model[index as usize];
                match step {
                    0 => {
                        let class = Class::new(class);
                        deadlines.enter(&mut slots, index, class, Tick(now));
                        *place = Some((class, now));
                    }
                    1 => {
                        deadlines.leave(&mut slots, index);
                        *place = None;
                    }
                    _ => {
                        deadlines.touch(&mut slots, index, Tick(now));
                        if let Some((_, since)) = place { *since = now; }
                    }
                }
                let due = model.iter().flatten().filter_map(|(class, since)| {
                    let length = deadlines.lists[usize::from(class.0)].length?;
                    Some(Tick(*since).end() + length)
                });
                prop_assert_eq!(deadlines.next(&mut slots), due.min());
            }
        }
    }
}
