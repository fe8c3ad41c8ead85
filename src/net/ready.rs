//! The events that [`Net::wait`](super::Net::wait) reports: which connection or source is ready, and for what.

pub use crate::protocol::ConnectionId as Key;

/// An event source other than a connection: signals, a standard stream or a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub u32);

impl Source {
    /// A signal has been received.
    pub const SIGNALS: Source = Source(0);

    /// Standard input may have bytes to read, or is at end of file.
    pub const STDIN: Source = Source(1);

    /// Standard output may accept bytes.
    pub const STDOUT: Source = Source(2);

    /// A file descriptor that the program watches beside its server.
    pub const PROGRAM: Source = Source(u32::MAX - 1);

    /// The event loop of a second server of the program, such as that of an admin listener.
    pub const ADMIN: Source = Source(u32::MAX - 2);

    /// A [packet link](super::MioNet::watch_fd) has packets to read.
    pub const PACKETS: Source = Source(u32::MAX - 3);

    /// The precise timer of [`MioNet`](super::MioNet). It ends a wait, and is not reported.
    pub(super) const TIMER: Source = Source(u32::MAX);

    /// The listener with this index.
    #[must_use]
    pub const fn listener(index: u32) -> Source {
        Source(3 + index)
    }

    /// The index of the listener; `None` for other sources.
    #[must_use]
    pub const fn listener_index(self) -> Option<u32> {
        self.0.checked_sub(Source::listener(0).0)
    }
}

impl Key {
    /// The key of a source: its serial is 0.
    #[must_use]
    pub const fn of_source(source: Source) -> Key {
        Key {
            slot: source.0,
            serial: 0,
        }
    }

    /// The source that the key identifies; `None` for a connection.
    #[inline]
    #[must_use]
    pub fn source(self) -> Option<Source> {
        (self.serial == 0).then_some(Source(self.slot))
    }

    /// The key as one number: the user data of an epoll event.
    #[inline]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.serial as u64) << 32 | self.slot as u64
    }

    /// The key for a number from [`to_u64`](Key::to_u64).
    #[inline]
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is split into two halves"
    )]
    pub const fn from_u64(number: u64) -> Key {
        Key {
            slot: number as u32,
            serial: (number >> 32) as u32,
        }
    }
}

bitflags::bitflags! {
    /// The operations for which a connection or source is ready.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// A read may return input, the peer's FIN, or an error.
        const READABLE = 1;
        /// A write may be accepted, or return an error.
        const WRITABLE = 2;
        /// Read until `WouldBlock`, even past a short read.
        ///
        /// Set for FIN, hang-up and errors, for which no further edge is guaranteed, and for urgent data, at whose mark
        /// a read ends.
        const DRAIN = 4;
    }
}

impl Readiness {
    /// The empty set; used to drive a connection without an event.
    pub const NONE: Readiness = Readiness::empty();

    /// This set if `condition` holds, else the empty set.
    #[inline]
    #[must_use]
    pub const fn when(self, condition: bool) -> Readiness {
        if condition { self } else { Readiness::NONE }
    }
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The connection or source that is ready.
    pub key: Key,
    /// The operations for which it is ready.
    pub readiness: Readiness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_round_trips_and_only_serial_0_is_a_source() {
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
    fn readiness_is_a_set_of_operations() {
        let both = Readiness::READABLE | Readiness::DRAIN;
        assert!(both.contains(Readiness::DRAIN));
        assert!(!both.contains(Readiness::WRITABLE));
        assert_eq!(both.difference(Readiness::DRAIN), Readiness::READABLE);
        assert_eq!(both.when(false), Readiness::NONE);
    }
}
