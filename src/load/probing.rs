//! The end of a load: is every idle connection still good? Each is asked for an echo, some at a time.
//!
//! A probe has failed when the connect timeout has passed since it was sent and since the last reply to any probe. So a
//! slow server may take as long as it likes while it replies; and to a server that hangs all probes are sent soon, since
//! the window doubles while no reply comes, and fail together.

use super::session::Verdict;
use super::surroundings::{Silence, Stage, Surroundings};
use super::tester::{Loop, Tester};
use crate::net::{Net, Time};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// How many probes are in flight at first.
const WINDOW: usize = 256;

/// How many probes one iteration sends at most, so that replies are read in between.
const SENDS_PER_STEP: usize = 256;

/// The window doubles after this part of the timeout without a reply: twelve times, for a million connections, within a
/// twentieth of it.
const WIDENS_AFTER: u32 = 256;

/// Silence is reported after this part of the timeout.
const REPORTED_AFTER: u32 = 4;

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
    /// How many may be awaited at once.
    window: usize,
    /// When the last reply came; at first, when probing began.
    last_reply: Time,
    widened_at: Time,
    is_silence_reported: bool,
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
            window: WINDOW,
            last_reply: Time::ZERO,
            widened_at: Time::ZERO,
            is_silence_reported: false,
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
        if self.can_ask() || self.awaited.is_empty() {
            return Some(Time::ZERO);
        }
        let fails = self.asked.front().map(|(asked, _)| self.fails_at(*asked));
        let widens = (self.left > 0).then(|| self.widens_at());
        let reports = (!self.is_silence_reported).then(|| self.reports_at());
        [fails, widens, reports].into_iter().flatten().min()
    }

    fn can_ask(&self) -> bool {
        self.left > 0 && self.awaited.len() < self.window
    }

    /// When a probe that was sent at `asked` has failed, unless a reply to it or to another one comes before.
    fn fails_at(&self, asked: Time) -> Time {
        asked.max(self.last_reply) + self.patience
    }

    fn widens_at(&self) -> Time {
        self.last_reply.max(self.widened_at) + self.patience / WIDENS_AFTER
    }

    fn reports_at(&self) -> Time {
        self.last_reply + self.patience / REPORTED_AFTER
    }

    /// Widens the window if no reply has come for a while.
    fn widen(&mut self, now: Time) {
        if self.left > 0 && !self.can_ask() && self.widens_at() <= now {
            self.window = self.window.saturating_mul(2);
            self.widened_at = now;
        }
    }

    /// The silence that is to be reported now, which happens once.
    fn silence(&mut self, now: Time) -> Option<Silence> {
        let is_due = !self.is_silence_reported && self.reports_at() <= now;
        if !is_due || self.awaited.is_empty() {
            return None;
        }
        self.is_silence_reported = true;
        Some(Silence {
            unanswered: self.awaited.len() as u64,
            lasted: now.since(self.last_reply),
            timeout: self.patience,
        })
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
        self.probing.last_reply = now;
        self.step_probing(reactor, now);
    }

    pub(super) fn step_probing<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.expire_probes();
        self.probing.widen(now);
        for _ in 0..SENDS_PER_STEP {
            if !self.probing.can_ask() {
                break;
            }
            if self.probing.cursor >= reactor.slots_end() {
                // Some were lost meanwhile that could not be asked any more.
                self.tally.probe.dead += self.probing.left;
                self.probing.left = 0;
                break;
            }
            self.probe_next(reactor, now);
        }
        if let Some(silence) = self.probing.silence(now) {
            self.surroundings.silence(silence);
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

    /// Counts the probes that have failed.
    fn expire_probes(&mut self) {
        // Replies that had arrived by then have been read, however late this iteration is.
        let now = self.waits.began();
        while let Some((asked, number)) = self.probing.asked.front().copied() {
            if self.probing.is_awaited(number) && self.probing.fails_at(asked) > now {
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
    pub(super) fn probe_answered(&mut self, number: u32, verdict: Verdict, done: bool, now: Time) {
        self.probing.last_reply = now;
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
