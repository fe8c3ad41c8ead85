//! Who is ready, and for what: the words in which [`Net::wait`](super::Net::wait) speaks.

/// Names a connection: its slot, and the serial of the connection that the slot held when the key was made.
///
/// Events, deadlines and the run queue carry keys. A key whose connection is gone finds nothing, because the slot's
/// serial has passed: one comparison, in one place, ends every stale-event bug. Serial 0 is no connection's; such a
/// key names a [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The index of the slot.
    pub slot: u32,
    /// The number of the connection, the `#17` of the log.
    pub serial: u32,
}

/// Something other than a connection that can be ready: the signals, a standard stream, a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub u32);

impl Source {
    /// A signal has come.
    pub const SIGNALS: Source = Source(0);

    /// There may be something to read from standard input, or its end has come.
    pub const STDIN: Source = Source(1);

    /// Standard output may take something.
    pub const STDOUT: Source = Source(2);

    /// The timer of a [`Net`](super::Net) that sleeps to the microsecond. It wakes the loop, and nobody is told.
    pub(super) const TIMER: Source = Source(u32::MAX);

    /// The listener of this index.
    #[must_use]
    pub const fn listener(index: u32) -> Source {
        Source(3 + index)
    }

    /// Which listener it is, if it is one.
    #[must_use]
    pub const fn listener_index(self) -> Option<u32> {
        self.0.checked_sub(Source::listener(0).0)
    }
}

impl Key {
    /// The key of something that is not a connection.
    #[must_use]
    pub const fn of_source(source: Source) -> Key {
        Key {
            slot: source.0,
            serial: 0,
        }
    }

    /// What the key names, if that is not a connection.
    #[inline]
    #[must_use]
    pub const fn source(self) -> Option<Source> {
        if self.serial == 0 {
            Some(Source(self.slot))
        } else {
            None
        }
    }

    /// The key as one number, as a selector carries it.
    #[inline]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.serial as u64) << 32 | self.slot as u64
    }

    /// The key that [`to_u64`](Key::to_u64) made this number of.
    #[inline]
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is taken apart into its two halves"
    )]
    pub const fn from_u64(number: u64) -> Key {
        Key {
            slot: number as u32,
            serial: (number >> 32) as u32,
        }
    }
}

bitflags::bitflags! {
    /// What something is ready for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// There may be input, the peer's FIN, or an error to read.
        const READABLE = 1;
        /// There may be output space, or an error that a write returns.
        const WRITABLE = 2;
        /// Read until `WouldBlock`, even past a short read.
        ///
        /// With FIN, hang-up or an error, since these stay set and no new event need come for them; with urgent data,
        /// since a read stops short at its mark.
        const DRAIN = 4;
    }
}

impl Readiness {
    /// Nothing; a connection is driven with it when it runs again without an event.
    pub const NONE: Readiness = Readiness::empty();

    /// This set if `condition` holds, else nothing.
    #[inline]
    #[must_use]
    pub const fn when(self, condition: bool) -> Readiness {
        if condition { self } else { Readiness::NONE }
    }
}

/// One event: who is ready, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Who.
    pub key: Key,
    /// For what.
    pub readiness: Readiness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_selector_and_only_serial_zero_is_a_source() {
        for key in [
            Key { slot: 0, serial: 1 },
            Key {
                slot: u32::MAX,
                serial: u32::MAX,
            },
            Key::of_source(Source::listener(3)),
        ] {
            assert_eq!(Key::from_u64(key.to_u64()), key);
        }
        assert_eq!(Key { slot: 0, serial: 1 }.source(), None);
        assert_eq!(
            Key::of_source(Source::listener(3)).source(),
            Some(Source::listener(3))
        );
        assert_eq!(Source::listener(3).listener_index(), Some(3));
        for other in [Source::SIGNALS, Source::STDIN, Source::STDOUT] {
            assert_eq!(other.listener_index(), None, "{other:?}");
        }
    }

    #[test]
    fn readiness_is_a_set() {
        let both = Readiness::READABLE | Readiness::DRAIN;
        assert!(both.contains(Readiness::DRAIN));
        assert!(!both.contains(Readiness::WRITABLE));
        assert_eq!(both.difference(Readiness::DRAIN), Readiness::READABLE);
        assert_eq!(both.when(false), Readiness::NONE);
    }
}
