//! The echoes of `ping`: which were sent when, which are outstanding, and what became of the others.
//!
//! Pure: bytes and times in, events out.

use crate::echo::{Message, Pattern, Verifier};
use crate::time::Time;
use hdrhistogram::{CreationError, Histogram};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The longest round trip measured; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(3600);

/// The most echoes in flight at once.
const MAX_IN_FLIGHT: usize = 65_536;

/// There is only one connection, so its number is the same in all messages.
const CONNECTION: u32 = 0;

/// What happened to an echo. Echoes are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoEvent {
    /// It was received as it was sent.
    Received {
        /// Its number.
        number: u64,
        /// The time from sending to receiving.
        round_trip: Duration,
        /// It was received after its timeout.
        is_late: bool,
    },
    /// It was received with different bytes.
    Mismatched {
        /// Its number.
        number: u64,
        /// The offset of the first wrong byte.
        at: u32,
        /// The byte received there.
        found: u8,
        /// The byte sent there.
        expected: u8,
    },
    /// It was not received within its timeout.
    Lost {
        /// Its number.
        number: u64,
    },
    /// This many bytes were received that answer no echo.
    Surplus(usize),
}

/// Tracks echoes from sending to receiving. Every echo sent is in flight, received, mismatched or lost.
#[derive(Clone, Debug)]
pub struct EchoTracker {
    pattern: Rc<Pattern>,
    verifier: Verifier,
    timeout: Duration,
    /// When the echoes without a complete reply were sent, oldest first.
    sent_at: VecDeque<Time>,
    /// How many of these, the oldest, have timed out.
    expired: usize,
    /// Echoes sent.
    pub sent: u64,
    /// Echoes received unchanged within the timeout.
    pub received: u64,
    /// Echoes received unchanged after the timeout.
    pub late: u64,
    /// Echoes not received within the timeout, including the late ones.
    pub lost: u64,
    /// Echoes received within the timeout with different bytes.
    pub mismatched: u64,
    /// Bytes received that answer no echo.
    pub surplus: u64,
    /// Round trips in nanoseconds of the echoes [`received`](EchoTracker::received).
    pub round_trips: Histogram<u64>,
    /// The shortest and the longest of them, exactly.
    pub extremes: Option<(Duration, Duration)>,
}

impl EchoTracker {
    /// A tracker of echoes of `size` bytes, at least 1.
    ///
    /// # Errors
    /// The histogram rejects its bounds, which are constant and valid.
    pub fn new(size: usize, timeout: Duration) -> Result<EchoTracker, CreationError> {
        Ok(EchoTracker {
            pattern: Rc::new(Pattern::new(size.max(1))),
            verifier: Verifier::default(),
            timeout,
            sent_at: VecDeque::new(),
            expired: 0,
            sent: 0,
            received: 0,
            late: 0,
            lost: 0,
            mismatched: 0,
            surplus: 0,
            round_trips: Histogram::new_with_bounds(1, nanoseconds(LONGEST), 3)?,
            extremes: None,
        })
    }

    /// The messages of all echoes.
    pub(super) fn pattern(&self) -> Rc<Pattern> {
        Rc::clone(&self.pattern)
    }

    /// Whether another echo may be in flight.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.sent_at.len() < MAX_IN_FLIGHT
    }

    /// Records that the next echo is sent now; returns its message, which lies in `pattern`.
    pub(super) fn send<'a>(&mut self, pattern: &'a Pattern, now: Time) -> Message<'a> {
        let message = pattern.message(CONNECTION, self.sent);
        self.sent += 1;
        self.sent_at.push_back(now);
        message
    }

    /// Verifies received bytes.
    pub fn receive(&mut self, input: &[u8], now: Time) -> Vec<EchoEvent> {
        let (mut replies, mut events) = (Vec::new(), Vec::new());
        let verifier = &mut self.verifier;
        let surplus = verifier.receive(&self.pattern, CONNECTION, self.sent, input, |reply| {
            replies.push(reply);
        });
        for reply in replies {
            let number = self.oldest();
            let Some(sent_at) = self.sent_at.pop_front() else {
                debug_assert!(false, "a reply answers an echo in flight");
                break;
            };
            let was_lost = self.expired > 0;
            self.expired -= usize::from(was_lost);
            events.push(match reply {
                Ok(()) => self.on_received(number, now.since(sent_at), was_lost),
                Err(wrong) => {
                    self.mismatched += u64::from(!was_lost);
                    EchoEvent::Mismatched {
                        number,
                        at: wrong.offset,
                        found: wrong.found,
                        expected: wrong.expected,
                    }
                }
            });
        }
        if surplus > 0 {
            self.surplus += surplus as u64;
            events.push(EchoEvent::Surplus(surplus));
        }
        events
    }

    fn on_received(&mut self, number: u64, round_trip: Duration, was_lost: bool) -> EchoEvent {
        // The deadline may have passed since `expire` was called.
        let is_late = was_lost || round_trip > self.timeout;
        if is_late {
            self.late += 1;
            self.lost += u64::from(!was_lost);
        } else {
            self.received += 1;
            self.round_trips.saturating_record(nanoseconds(round_trip));
            let (shortest, longest) = self.extremes.unwrap_or((round_trip, round_trip));
            self.extremes = Some((shortest.min(round_trip), longest.max(round_trip)));
        }
        EchoEvent::Received {
            number,
            round_trip,
            is_late,
        }
    }

    /// Counts the echoes as lost whose deadline has passed.
    pub fn expire(&mut self, now: Time) -> Vec<EchoEvent> {
        let mut events = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let number = self.oldest() + self.expired as u64;
            self.expired += 1;
            self.lost += 1;
            events.push(EchoEvent::Lost { number });
        }
        events
    }

    /// When the next echo in flight times out.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let sent_at = self.sent_at.get(self.expired)?;
        Some(*sent_at + self.timeout)
    }

    /// How many echoes are in flight and not lost.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        (self.sent_at.len() - self.expired) as u64
    }

    /// The number of the oldest echo without a complete reply.
    fn oldest(&self) -> u64 {
        self.sent + 1 - self.sent_at.len() as u64
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(100);

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    fn tracker(size: usize) -> EchoTracker {
        EchoTracker::new(size, TIMEOUT).unwrap()
    }

    fn send(tracker: &mut EchoTracker, now: Time) -> Vec<u8> {
        tracker.send(&tracker.pattern(), now).bytes().collect()
    }

    fn received(number: u64, milliseconds: u64, is_late: bool) -> EchoEvent {
        EchoEvent::Received {
            number,
            round_trip: Duration::from_millis(milliseconds),
            is_late,
        }
    }

    #[test]
    fn echoes_split_anywhere_are_received_in_order() {
        let mut tracker = tracker(10);
        let first = send(&mut tracker, at(0));
        let second = send(&mut tracker, at(10));
        assert_ne!(first, second, "messages differ");
        let all = [first, second].concat();
        assert_eq!(tracker.receive(&all[..3], at(15)), []);
        let events = tracker.receive(&all[3..], at(20));
        assert_eq!(events, [received(1, 20, false), received(2, 10, false)]);
        assert_eq!((tracker.received, tracker.in_flight()), (2, 0));
        assert_eq!(tracker.round_trips.len(), 2);
    }

    #[test]
    fn wrong_byte_is_one_mismatch_and_the_next_echo_is_right() {
        for wrong in 0..10 {
            let mut tracker = tracker(10);
            let mut first = send(&mut tracker, at(0));
            let second = send(&mut tracker, at(0));
            let expected = first[wrong];
            first[wrong] ^= 1;
            assert_eq!(tracker.receive(&first[..5], at(1)), []);
            let events = tracker.receive(&[&first[5..], &second].concat(), at(1));
            let mismatched = EchoEvent::Mismatched {
                number: 1,
                at: u32::try_from(wrong).unwrap(),
                found: expected ^ 1,
                expected,
            };
            assert_eq!(events, [mismatched, received(2, 1, false)]);
            assert_eq!((tracker.mismatched, tracker.received), (1, 1));
        }
    }

    #[test]
    fn late_echo_is_lost_once_with_or_without_expire() {
        let mut tracker = tracker(4);
        let first = send(&mut tracker, at(0));
        let second = send(&mut tracker, at(50));
        assert_eq!(tracker.next_deadline(), Some(at(100)));
        assert_eq!(tracker.expire(at(99)), []);
        assert_eq!(tracker.expire(at(100)), [EchoEvent::Lost { number: 1 }]);
        assert_eq!(tracker.expire(at(120)), []);
        assert_eq!(tracker.next_deadline(), Some(at(150)));
        assert_eq!(tracker.receive(&first, at(140)), [received(1, 140, true)]);
        let counts = (tracker.lost, tracker.late, tracker.in_flight());
        assert_eq!(counts, (1, 1, 1));
        // `expire` is not called after the deadline of the second.
        assert_eq!(tracker.receive(&second, at(200)), [received(2, 150, true)]);
        let counts = (tracker.lost, tracker.late, tracker.in_flight());
        assert_eq!(counts, (2, 2, 0));
        assert_eq!(tracker.round_trips.len(), 0, "late ones are not measured");
    }

    #[test]
    fn bytes_that_answer_no_echo_are_surplus() {
        let mut tracker = tracker(4);
        let mut input = send(&mut tracker, at(0));
        input.extend_from_slice(b"xyz");
        let events = tracker.receive(&input, at(1));
        assert_eq!(events, [received(1, 1, false), EchoEvent::Surplus(3)]);
        assert_eq!(tracker.surplus, 3);
    }
}
