//! The end of a load: is every idle connection still good? Each is asked for an echo, some at a time.

use super::session::Verdict;
use super::surroundings::{Stage, Surroundings};
use super::tester::{Loop, Tester};
use crate::net::{Net, Time};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// How many are asked at once.
const AT_ONCE: usize = 256;

/// How far the probing is.
#[derive(Debug)]
pub(super) struct Probing {
    limit: u32,
    patience: Duration,
    /// Where in the loop's slots to look on for idle connections.
    cursor: usize,
    /// How many are still to be asked.
    left: u64,
    awaited: HashSet<u32>,
    /// Who was asked when, in that order; some have answered since.
    asked: VecDeque<(Time, u32)>,
    answered: u64,
}

impl Probing {
    pub(super) fn new(limit: u32, patience: Duration) -> Probing {
        Probing {
            limit,
            patience,
            cursor: 0,
            left: 0,
            awaited: HashSet::new(),
            asked: VecDeque::new(),
            answered: 0,
        }
    }

    pub(super) fn is_awaited(&self, number: u32) -> bool {
        self.awaited.contains(&number)
    }

    /// How many have answered, or will not.
    pub(super) fn done(&self) -> u64 {
        self.answered
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        if self.awaited.len() < AT_ONCE && self.left > 0 || self.awaited.is_empty() {
            return Some(Time::ZERO);
        }
        self.asked.front().map(|(asked, _)| *asked + self.patience)
    }

    fn strike_off(&mut self, number: u32) -> bool {
        let was_awaited = self.awaited.remove(&number);
        self.answered += u64::from(was_awaited);
        was_awaited
    }
}

impl<S: Surroundings> Tester<S> {
    pub(super) fn begin_probing<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let limit = u64::from(self.probing.limit);
        let tally = &mut self.tally;
        let standing = tally.opened_idle.saturating_sub(tally.lost_idle);
        self.probing.left = standing.min(limit);
        tally.probe.asked = self.probing.left;
        if limit >= tally.opened_idle {
            // Who was lost does not answer either.
            tally.probe.asked += tally.lost_idle;
            tally.probe.dead = tally.lost_idle;
        }
        self.stage = Stage::Probing;
        let now = reactor.net.now();
        self.step_probing(reactor, now);
    }

    pub(super) fn step_probing<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.give_up_on_the_silent(now);
        while self.probing.left > 0 && self.probing.awaited.len() < AT_ONCE {
            if self.probing.cursor >= reactor.slots_end() {
                // Some were lost meanwhile that could not be asked any more.
                self.tally.probe.dead += self.probing.left;
                self.probing.left = 0;
                break;
            }
            self.probe_next(reactor, now);
        }
        if self.probing.left == 0 && self.probing.awaited.is_empty() {
            self.stage = Stage::Done;
        }
    }

    /// Asks the connection in the next slot, if it is an idle one.
    fn probe_next<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        let index = self.probing.cursor;
        self.probing.cursor += 1;
        let Some(key) = reactor.key_at(index) else {
            return;
        };
        let Some(number) = reactor.find(key).map(|slot| slot.tenant.tag()) else {
            return;
        };
        if number < self.config.active {
            return;
        }
        self.probing.left -= 1;
        self.probing.awaited.insert(number);
        self.probing.asked.push_back((now, number));
        let sequence = self.driver.common.protocol.ask(number);
        self.say(reactor, key, number, sequence);
    }

    fn give_up_on_the_silent(&mut self, now: Time) {
        while let Some((asked, number)) = self.probing.asked.front().copied() {
            let is_late = asked + self.probing.patience <= now;
            if self.probing.is_awaited(number) && !is_late {
                return;
            }
            self.probing.asked.pop_front();
            if self.probing.strike_off(number) {
                self.tally.probe.dead += 1;
                self.driver.common.protocol.forget(number);
            }
        }
    }

    /// An idle connection that was asked has answered: all of it, if it is `done`.
    pub(super) fn probe_answered(&mut self, number: u32, verdict: Verdict, done: bool) {
        if verdict.is_ok() && !done {
            return;
        }
        self.probing.strike_off(number);
        match verdict {
            Ok(()) => self.tally.probe.alive += 1,
            Err(_) => self.tally.probe.mismatched += 1,
        }
    }

    /// A connection is gone; if it was asked, it does not answer.
    pub(super) fn probe_lost(&mut self, number: u32) {
        if self.probing.strike_off(number) {
            self.tally.probe.dead += 1;
        }
    }

    /// Who has not been asked, or has not answered so far, is not spoken of.
    pub(super) fn cut_probing_short(&mut self) {
        let probe = &mut self.tally.probe;
        probe.asked = probe.alive + probe.dead + probe.mismatched;
        self.stage = Stage::Done;
    }
}
