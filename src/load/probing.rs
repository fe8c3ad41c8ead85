//! The last stage: a verified echo on every idle connection, some at a time.
//!
//! A probe fails when the connect timeout has passed both since it was sent and since the last reply to any probe. So a
//! server that replies may be as slow as it is; and if the server hangs, all probes are sent soon, because the window
//! doubles while no reply arrives, and fail together.

use super::session::{EchoClient, Reply};
use super::tester::{Loop, Tester};
use super::{Observer, ProbeSilence, Stage};
use crate::net::{Net, Time};
use crate::tls::MaybeTls;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Probes in flight at first.
const WINDOW: usize = 256;

/// Probes sent per iteration, so that replies are read in between.
const SENDS_PER_STEP: usize = 256;

/// The window doubles after this part of the timeout without a reply: twelve times, for a million connections, within a
/// twentieth of it.
const WIDEN_AFTER: u32 = 256;

/// A missing reply is reported after this part of the timeout.
const REPORT_AFTER: u32 = 4;

/// The state of probing.
#[derive(Debug, Default)]
pub(super) struct Probing {
    limit: u32,
    timeout: Duration,
    /// The slot of the event loop at which to continue.
    cursor: usize,
    /// Connections that are not yet probed.
    left: u64,
    outstanding: HashSet<u32>,
    /// The probes sent, in that order; some are answered.
    sent: VecDeque<(Time, u32)>,
    /// When it began.
    began: Time,
    /// Probes answered or failed.
    pub(super) done: u64,
    /// How many probes may be outstanding.
    window: usize,
    /// When the last reply arrived; at first, when probing began.
    last_reply: Time,
    widened_at: Time,
    is_silence_reported: bool,
}

impl Probing {
    pub(super) fn new(limit: u32, timeout: Duration) -> Probing {
        Probing {
            limit,
            timeout,
            window: WINDOW,
            ..Probing::default()
        }
    }

    pub(super) fn is_outstanding(&self, number: u32) -> bool {
        self.outstanding.contains(&number)
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        if self.can_send() || self.outstanding.is_empty() {
            return Some(Time::ZERO);
        }
        let expiry = self.sent.front().map(|(sent, _)| self.expires_at(*sent));
        let widening = (self.left > 0).then(|| self.widens_at());
        let report = (!self.is_silence_reported).then(|| self.reports_at());
        [expiry, widening, report].into_iter().flatten().min()
    }

    fn can_send(&self) -> bool {
        self.left > 0 && self.outstanding.len() < self.window
    }

    /// When a probe fails that was sent at this time, unless a reply to any probe arrives before.
    fn expires_at(&self, sent: Time) -> Time {
        sent.max(self.last_reply) + self.timeout
    }

    fn widens_at(&self) -> Time {
        self.last_reply.max(self.widened_at) + self.timeout / WIDEN_AFTER
    }

    fn reports_at(&self) -> Time {
        self.last_reply + self.timeout / REPORT_AFTER
    }

    /// Widens the window if no reply has arrived for a while.
    fn widen(&mut self, now: Time) {
        if self.left > 0 && !self.can_send() && self.widens_at() <= now {
            self.window = self.window.saturating_mul(2);
            self.widened_at = now;
        }
    }

    /// The silence to report now, at most once.
    fn silence(&mut self, now: Time) -> Option<ProbeSilence> {
        let is_due = !self.is_silence_reported && self.reports_at() <= now;
        if !is_due || self.outstanding.is_empty() {
            return None;
        }
        self.is_silence_reported = true;
        Some(ProbeSilence {
            unanswered: self.outstanding.len() as u64,
            lasted: now.since(self.last_reply),
            timeout: self.timeout,
        })
    }

    /// Ends a probe; returns whether it was outstanding.
    fn end(&mut self, number: u32) -> bool {
        let was_outstanding = self.outstanding.remove(&number);
        self.done += u64::from(was_outstanding);
        was_outstanding
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    pub(super) fn begin_probing<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        // Nothing is in flight: a longer reading delays no reply.
        self.tally.snapshots.drained = self.observer.snapshot();
        let limit = u64::from(self.probing.limit);
        let tally = &mut self.tally;
        let held = tally.opened_idle.saturating_sub(tally.lost_idle);
        self.probing.left = held.min(limit);
        tally.probe.asked = self.probing.left;
        if limit >= tally.opened_idle {
            // A lost connection counts as dead.
            tally.probe.asked += tally.lost_idle;
            tally.probe.dead = tally.lost_idle;
            tally.probe.lost = tally.lost_idle;
        }
        self.stage = Stage::Probing;
        let now = reactor.net.now();
        self.probing.began = now;
        self.probing.last_reply = now;
        self.step_probing(reactor, now);
    }

    pub(super) fn step_probing<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        self.expire_probes();
        self.probing.widen(now);
        for _ in 0..SENDS_PER_STEP {
            if !self.probing.can_send() {
                break;
            }
            let end = match self.userspace {
                Some(_) => self.config.idle as usize,
                None => reactor.slots_end(),
            };
            if self.probing.cursor >= end {
                // The rest was lost after probing began.
                self.tally.probe.dead += self.probing.left;
                self.tally.probe.lost += self.probing.left;
                self.probing.left = 0;
                break;
            }
            self.probe_next(reactor, now);
        }
        if let Some(silence) = self.probing.silence(now) {
            self.observer.on_probe_silence(silence);
        }
        if self.probing.left == 0 && self.probing.outstanding.is_empty() {
            self.end_probing(now);
        }
    }

    fn end_probing(&mut self, now: Time) {
        if self.stage == Stage::Probing {
            self.tally.probe.seconds = now.since(self.probing.began).as_secs_f64();
        }
        self.stage = Stage::Done;
    }

    /// Probes the connection in the next slot if it is idle.
    fn probe_next<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        let index = self.probing.cursor;
        self.probing.cursor += 1;
        if self.userspace.is_some() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.probe_userspace(self.config.active.saturating_add(index), now);
            return;
        }
        let Some(key) = reactor.key_at(index) else {
            return;
        };
        let Some(number) = reactor.find(key).map(|slot| slot.tenant.tag()) else {
            return;
        };
        if number < self.config.active {
            return;
        }
        self.begin_probe_of(number, now);
        let sequence = self.client().begin_probe(number);
        self.send_message(reactor, key, number, sequence);
    }

    /// Counts a probe that is being sent.
    pub(super) fn begin_probe_of(&mut self, number: u32, now: Time) {
        self.probing.left -= 1;
        self.probing.outstanding.insert(number);
        self.probing.sent.push_back((now, number));
    }

    /// Fails the probes that have expired.
    fn expire_probes(&mut self) {
        // Replies that had arrived by then have been read, however late this iteration is.
        let now = self.waits.began;
        while let Some((sent, number)) = self.probing.sent.front().copied() {
            let is_outstanding = self.probing.is_outstanding(number);
            if is_outstanding && self.probing.expires_at(sent) > now {
                return;
            }
            self.probing.sent.pop_front();
            if is_outstanding {
                // Its reply is still verified, should it arrive later.
                self.count_dead(number);
            }
        }
    }

    /// A probed connection has replied; the reply `is_complete` unless more of it is expected.
    pub(super) fn on_probe_reply(
        &mut self,
        number: u32,
        reply: Reply,
        is_complete: bool,
        now: Time,
    ) {
        self.probing.last_reply = now;
        if reply.is_ok() && !is_complete {
            return;
        }
        self.probing.end(number);
        match reply {
            Ok(()) => self.tally.probe.alive += 1,
            Err(_) => self.tally.probe.mismatched += 1,
        }
    }

    /// A connection is lost: its probe, if any, stays unanswered. Returns whether there was one.
    pub(super) fn fail_probe(&mut self, number: u32) -> bool {
        self.client().end_probe(number);
        self.count_dead(number)
    }

    /// Ends a probe without a reply in time; returns whether there was one.
    fn count_dead(&mut self, number: u32) -> bool {
        let was_probed = self.probing.end(number);
        self.tally.probe.dead += u64::from(was_probed);
        was_probed
    }

    /// Ends probing: connections without a reply so far do not count.
    pub(super) fn cancel_probing(&mut self, now: Time) {
        let probe = &mut self.tally.probe;
        probe.asked = probe.alive + probe.dead + probe.mismatched;
        self.end_probing(now);
    }
}
