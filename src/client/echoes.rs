//! The echoes of `ping`: what was sent and when, what has come back, and whether it is what was sent.
//!
//! Pure: bytes and times in, findings out. The bytes of an echo follow from its number, so none are kept; since a stream
//! brings everything back in order, the echo at hand is always the oldest one that is not complete.

use super::mixing::fill;
use crate::time::Time;
use hdrhistogram::{CreationError, Histogram};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest round trip that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// Echoes that may be on their way at once; then none is sent until some have come back.
const MOST_UNDERWAY: usize = 65_536;

/// What is to be told of an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It has come back as it was sent.
    Back {
        /// Its number, from 1 on.
        number: u64,
        /// How long it was under way.
        round_trip: Duration,
        /// It had been given up already.
        is_late: bool,
    },
    /// It has come back, but not as it was sent.
    Wrong {
        /// Its number, from 1 on.
        number: u64,
        /// Where the first wrong byte is.
        at: usize,
        /// What stands there.
        found: u8,
        /// What was sent.
        expected: u8,
    },
    /// It has not come back in time.
    GivenUp {
        /// Its number, from 1 on.
        number: u64,
    },
    /// So many bytes came for which nothing had been sent.
    Surplus(usize),
}

#[derive(Clone, Copy, Debug)]
struct Underway {
    number: u64,
    sent_at: Time,
}

/// Counts of echoes, and their times. All of what is sent is either under way, back, wrong or lost.
#[derive(Clone, Debug)]
pub struct Echoes {
    size: usize,
    patience: Duration,
    underway: VecDeque<Underway>,
    /// How many of these, the oldest, have been given up.
    given_up: usize,
    /// How much of the oldest has come.
    position: usize,
    /// The oldest, as it was sent.
    expected: Vec<u8>,
    wrong: Option<(usize, u8)>,
    /// Echoes sent.
    pub sent: u64,
    /// Those that came back in time and as they were sent.
    pub received: u64,
    /// Those that came back as they were sent, but not in time.
    pub late: u64,
    /// Those that did not come back in time. The late are among them.
    pub lost: u64,
    /// Those that did not come back as they were sent.
    pub wrong_echoes: u64,
    /// Bytes that came for which nothing had been sent.
    pub surplus: u64,
    /// Round trips in nanoseconds, of those that are [`received`](Echoes::received).
    pub round_trips: Histogram<u64>,
}

impl Echoes {
    /// For echoes of `size` bytes, which is not zero, given up after `patience`.
    ///
    /// # Errors
    /// The histogram cannot be made; with these bounds it can.
    pub fn new(size: usize, patience: Duration) -> Result<Echoes, CreationError> {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Ok(Echoes {
            size: size.max(1),
            patience,
            underway: VecDeque::new(),
            given_up: 0,
            position: 0,
            expected: Vec::new(),
            wrong: None,
            sent: 0,
            received: 0,
            late: 0,
            lost: 0,
            wrong_echoes: 0,
            surplus: 0,
            round_trips: Histogram::new_with_bounds(1, longest, 3)?,
        })
    }

    /// Whether one more may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.underway.len() < MOST_UNDERWAY
    }

    /// Fills `payload` with the next echo, which is sent now.
    pub fn send(&mut self, now: Time, payload: &mut Vec<u8>) {
        self.sent += 1;
        payload.resize(self.size, 0);
        fill(self.sent, payload);
        self.underway.push_back(Underway {
            number: self.sent,
            sent_at: now,
        });
    }

    /// Compares what came with what was sent.
    pub fn receive(&mut self, input: &[u8], now: Time, mut tell: impl FnMut(Finding)) {
        let mut rest = input;
        while !rest.is_empty() {
            let Some(oldest) = self.underway.front().copied() else {
                self.surplus += rest.len() as u64;
                return tell(Finding::Surplus(rest.len()));
            };
            if self.position == 0 {
                self.expected.resize(self.size, 0);
                fill(oldest.number, &mut self.expected);
            }
            let expected = &self.expected[self.position..];
            let (piece, behind) = rest.split_at(expected.len().min(rest.len()));
            rest = behind;
            if self.wrong.is_none() && piece != &expected[..piece.len()] {
                let mut pairs = piece.iter().zip(expected);
                self.wrong = pairs
                    .position(|(found, expected)| found != expected)
                    .map(|at| (self.position + at, piece[at]));
            }
            self.position += piece.len();
            if self.position == self.size {
                self.underway.pop_front();
                self.position = 0;
                let was_given_up = self.given_up > 0;
                self.given_up -= usize::from(was_given_up);
                tell(self.complete(oldest, was_given_up, now));
            }
        }
    }

    fn complete(&mut self, echo: Underway, was_given_up: bool, now: Time) -> Finding {
        let number = echo.number;
        if let Some((at, found)) = self.wrong.take() {
            // One that was given up is counted already.
            self.wrong_echoes += u64::from(!was_given_up);
            let expected = self.expected[at];
            return Finding::Wrong {
                number,
                at,
                found,
                expected,
            };
        }
        let round_trip = now.since(echo.sent_at);
        // It may have come too late before anybody looked.
        let is_late = was_given_up || round_trip > self.patience;
        if is_late {
            self.late += 1;
            self.lost += u64::from(!was_given_up);
        } else {
            self.received += 1;
            let nanoseconds = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
            self.round_trips.saturating_record(nanoseconds);
        }
        Finding::Back {
            number,
            round_trip,
            is_late,
        }
    }

    /// Gives those up whose time is over.
    pub fn give_up(&mut self, now: Time, mut tell: impl FnMut(Finding)) {
        while let Some(echo) = self.oldest_waited_for()
            && now >= echo.sent_at + self.patience
        {
            self.given_up += 1;
            self.lost += 1;
            tell(Finding::GivenUp {
                number: echo.number,
            });
        }
    }

    /// When the next one is to be given up.
    #[must_use]
    pub fn next_given_up(&self) -> Option<Time> {
        let echo = self.oldest_waited_for()?;
        Some(echo.sent_at + self.patience)
    }

    fn oldest_waited_for(&self) -> Option<Underway> {
        self.underway.get(self.given_up).copied()
    }

    /// How many are under way and not given up.
    #[must_use]
    pub fn waited_for(&self) -> u64 {
        (self.underway.len() - self.given_up) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    fn echoes(size: usize) -> Echoes {
        Echoes::new(size, PATIENCE).unwrap()
    }

    fn receive(echoes: &mut Echoes, input: &[u8], now: Time) -> Vec<Finding> {
        let mut findings = Vec::new();
        echoes.receive(input, now, |finding| findings.push(finding));
        findings
    }

    fn give_up(echoes: &mut Echoes, now: Time) -> Vec<Finding> {
        let mut findings = Vec::new();
        echoes.give_up(now, |finding| findings.push(finding));
        findings
    }

    fn back(number: u64, milliseconds: u64, is_late: bool) -> Finding {
        Finding::Back {
            number,
            round_trip: Duration::from_millis(milliseconds),
            is_late,
        }
    }

    #[test]
    fn echoes_come_back_in_order_in_any_pieces() {
        let mut echoes = echoes(10);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        echoes.send(at(0), &mut first);
        echoes.send(at(10), &mut second);
        assert_ne!(first, second, "each has bytes of its own");
        let all = [first, second].concat();
        assert_eq!(receive(&mut echoes, &all[..3], at(15)), []);
        let found = receive(&mut echoes, &all[3..], at(20));
        assert_eq!(found, [back(1, 20, false), back(2, 10, false)]);
        assert_eq!((echoes.received, echoes.waited_for()), (2, 0));
        assert_eq!(echoes.round_trips.len(), 2);
    }

    #[test]
    fn a_wrong_byte_is_found_wherever_it_is_and_the_next_echo_is_judged_by_itself() {
        for wrong in 0..10 {
            let mut echoes = echoes(10);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            echoes.send(at(0), &mut first);
            echoes.send(at(0), &mut second);
            let expected = first[wrong];
            first[wrong] ^= 1;
            assert_eq!(receive(&mut echoes, &first[..5], at(1)), []);
            let found = receive(&mut echoes, &[&first[5..], &second].concat(), at(1));
            let finding = Finding::Wrong {
                number: 1,
                at: wrong,
                found: expected ^ 1,
                expected,
            };
            assert_eq!(found, [finding, back(2, 1, false)]);
            assert_eq!((echoes.wrong_echoes, echoes.received), (1, 1));
        }
    }

    #[test]
    fn one_that_does_not_come_in_time_is_lost_once_even_if_it_comes_late() {
        let mut echoes = echoes(4);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        echoes.send(at(0), &mut first);
        echoes.send(at(50), &mut second);
        assert_eq!(echoes.next_given_up(), Some(at(100)));
        assert_eq!(give_up(&mut echoes, at(99)), []);
        let given_up = give_up(&mut echoes, at(100));
        assert_eq!(given_up, [Finding::GivenUp { number: 1 }]);
        assert_eq!(give_up(&mut echoes, at(120)), []);
        assert_eq!(echoes.next_given_up(), Some(at(150)));
        assert_eq!(receive(&mut echoes, &first, at(140)), [back(1, 140, true)]);
        assert_eq!((echoes.lost, echoes.late, echoes.waited_for()), (1, 1, 1));
        // Nobody has looked at the clock in between.
        assert_eq!(receive(&mut echoes, &second, at(200)), [back(2, 150, true)]);
        assert_eq!((echoes.lost, echoes.late, echoes.waited_for()), (2, 2, 0));
        assert_eq!(echoes.round_trips.len(), 0, "no time of theirs is told");
    }

    #[test]
    fn bytes_that_nobody_asked_for_are_told() {
        let mut echoes = echoes(4);
        let mut payload = Vec::new();
        echoes.send(at(0), &mut payload);
        payload.extend_from_slice(b"xyz");
        let found = receive(&mut echoes, &payload, at(1));
        assert_eq!(found, [back(1, 1, false), Finding::Surplus(3)]);
        assert_eq!(echoes.surplus, 3);
    }
}
