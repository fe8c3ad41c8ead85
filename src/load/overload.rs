//! Messages without a reply: how many the pipelines hold, how many are outstanding at the end of the measured part, and
//! whether the server, or this process, is overloaded.
//!
//! A message is outstanding from when it is due until its reply has arrived, sent or not. After the measured part the load
//! waits for the replies; then it gives the rest up. A message that is given up counts with the age it has reached, as a
//! lower bound of its response time.

use super::session::EchoClient;
use super::tester::{Loop, Tester};
use super::{Observer, Stage};
use crate::net::{Net, Time};
use crate::tls::MaybeTls;
use std::time::Duration;

/// How long replies are awaited after the measured part, at least.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A server that is slow has this many times the longest service time so far.
const DRAIN_SERVICE_TIMES: u32 = 2;

/// No reply for this long is reported; then twice as long, and so on.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// The messages in flight on all active connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pipelines {
    pub(super) in_flight: u64,
    /// How many there can be.
    pub(super) capacity: u64,
}

impl Pipelines {
    /// Whether no connection can send before a reply arrives.
    #[inline]
    pub(super) fn is_full(self) -> bool {
        self.in_flight >= self.capacity
    }
}

/// No reply on any active connection for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplySilence {
    /// Messages in flight.
    pub unanswered: u64,
    /// Time since the last reply, or since the first message was sent.
    pub lasted: Duration,
}

/// Detects that no reply arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilenceWatch {
    /// The last reply, or the last time at which no message was in flight.
    since: Time,
    replies: u64,
    /// A silence of this length is reported.
    report_after: Duration,
}

impl SilenceWatch {
    pub(super) fn new(now: Time) -> SilenceWatch {
        SilenceWatch {
            since: now,
            replies: 0,
            report_after: SILENCE,
        }
    }

    /// Called once per iteration; returns the silence to report now.
    #[inline]
    pub(super) fn check(
        &mut self,
        in_flight: u64,
        replies: u64,
        now: Time,
    ) -> Option<ReplySilence> {
        if in_flight == 0 || self.replies != replies {
            (self.since, self.replies) = (now, replies);
            return None;
        }
        let lasted = now.since(self.since);
        if lasted < self.report_after {
            return None;
        }
        self.report_after = lasted * 2;
        Some(ReplySilence {
            unanswered: in_flight,
            lasted,
        })
    }

    /// When to check again even without an event.
    pub(super) fn wake_at(&self, in_flight: u64) -> Option<Time> {
        (in_flight > 0).then(|| self.since + self.report_after)
    }
}

/// What is left when the load stops waiting for replies.
#[derive(Clone, Copy, Debug, Default)]
struct Leftover {
    /// Messages without a reply.
    messages: u64,
    /// Those on connections that have not replied since the measured part ended.
    on_silent: u64,
    /// Those that were not sent, on connections that have.
    queued_on_answering: u64,
    /// Those that were not sent at the end of the measured part, on connections that have replied since.
    queued_at_end: u64,
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Reports that no reply arrives on active connections, while they are measured or before.
    pub(super) fn watch_silence(&mut self, now: Time) {
        let in_flight = self.pipelines.in_flight;
        if matches!(self.stage, Stage::Probing | Stage::Done) {
            return;
        }
        let replies = self.tally.replies;
        if let Some(silence) = self.silence.check(in_flight, replies, now) {
            self.observer.on_reply_silence(silence);
        }
    }

    /// When to look again whether a reply has arrived.
    pub(super) fn next_silence(&self) -> Option<Time> {
        match self.stage {
            Stage::Probing | Stage::Done => None,
            _ => self.silence.wake_at(self.pipelines.in_flight),
        }
    }

    /// Whether the pipelines are counted: all connections are established or have failed.
    pub(super) fn has_pipelines(&self) -> bool {
        self.pipelines.capacity > 0
    }

    /// Counts the pipelines of the connections that are established.
    pub(super) fn count_pipelines(&mut self) {
        let churns = self.config.churn.is_some();
        let lanes = self.client().lanes.iter();
        let able = lanes.filter(|lane| churns || lane.can_connect()).count();
        self.pipelines.capacity = able as u64 * self.config.pipeline as u64;
    }

    /// The messages of a lane that are due in the measured part or before, and not sent.
    pub(super) fn queued(&self, number: u32) -> u64 {
        let lane = self
            .driver
            .common
            .protocol
            .plain()
            .lanes
            .get(number as usize);
        let (Some(pace), Some(lane)) = (self.schedule.pace, lane) else {
            return 0;
        };
        pace.count_on_lane_before(number, self.tally.span.end)
            .saturating_sub(lane.taken)
    }

    /// Counts the messages of the schedule that were due in the measured part before `time`.
    pub(super) fn count_due_until(&mut self, time: Time) {
        if let Some(pace) = self.schedule.pace {
            let start = self.tally.span.start;
            let time = time.min(self.tally.span.end);
            self.tally.due = pace.count_before(time) - pace.count_before(start);
        }
    }

    /// The measured part has ended: counts the outstanding messages, and sends those that could have been sent before.
    pub(super) fn begin_draining<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        let pace = self.schedule.pace;
        let scheduled = pace.map_or(0, |pace| pace.count_before(self.tally.span.end));
        self.tally.end_counting(scheduled);
        let churns = self.config.churn.is_some();
        let mut left = 0;
        for number in 0..self.config.active {
            if pace.is_some() {
                self.fill_pipeline(reactor, number, now);
            }
            let queued = self.queued(number);
            let Some(lane) = self.lane(number) else {
                continue;
            };
            lane.is_draining = false;
            lane.queued_at_end = queued;
            if churns || lane.can_connect() {
                left += lane.unanswered() + queued;
            }
        }
        self.tally.left_to_drain = left;
        let slow = self.tally.longest_service() * DRAIN_SERVICE_TIMES;
        let longest = self.config.connect_timeout.max(DRAIN_TIMEOUT);
        self.schedule.drained_by = now + slow.clamp(DRAIN_TIMEOUT, longest);
    }

    /// Stops waiting for replies. Messages without one count with their age. If the wait `was_cut_short`, none of them is
    /// missing.
    pub(super) fn give_up_replies(&mut self, now: Time, was_cut_short: bool) {
        if !self.tally.begin_giving_up() {
            return;
        }
        let mut left = Leftover::default();
        for number in 0..self.config.active {
            self.give_up_lane(number, now, &mut left);
        }
        let has_backlog = left.queued_on_answering > 0;
        let tally = &mut self.tally;
        tally.is_behind = left.queued_at_end > 0;
        tally.unanswered += left.messages;
        tally.missing += match (was_cut_short, has_backlog) {
            (true, _) => 0,
            // An overloaded server has not reached the rest yet; a connection that is silent does not reply at all.
            (false, true) => left.on_silent,
            (false, false) => left.messages,
        };
    }

    fn give_up_lane(&mut self, number: u32, now: Time, left: &mut Leftover) {
        let queued = self.queued(number);
        let Some(lane) = self
            .driver
            .common
            .protocol
            .plain()
            .lanes
            .get(number as usize)
        else {
            return;
        };
        let bounds = &mut self.tally.lower_bounds;
        for message in lane.in_flight.iter().chain(&lane.resend) {
            bounds.record(now.since(message.due));
        }
        if let (Some(pace), 1..) = (self.schedule.pace, queued) {
            let [oldest, newest] =
                [lane.taken, lane.taken + queued - 1].map(|index| pace.due_at(number, index));
            bounds.record_evenly(now.since(newest), now.since(oldest), queued);
        }
        let messages = lane.unanswered() + queued;
        left.messages += messages;
        if lane.is_draining {
            left.queued_on_answering += queued;
            left.queued_at_end += lane.queued_at_end;
        } else {
            left.on_silent += messages;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn silence_is_reported_after_a_second_then_less_often() {
        let mut watch = SilenceWatch::new(at(0));
        assert_eq!(watch.wake_at(0), None, "nothing is in flight");
        assert_eq!(watch.check(0, 0, at(5_000)), None);
        assert_eq!(watch.check(3, 0, at(5_999)), None);
        assert_eq!(watch.wake_at(3), Some(at(6_000)));
        let silence = watch.check(3, 0, at(6_000)).unwrap();
        assert_eq!((silence.unanswered, silence.lasted.as_millis()), (3, 1_000));
        assert_eq!(watch.check(3, 0, at(6_999)), None);
        assert!(watch.check(3, 0, at(7_000)).is_some());
    }

    #[test]
    fn reply_ends_the_silence() {
        let mut watch = SilenceWatch::new(at(0));
        assert_eq!(watch.check(3, 0, at(900)), None);
        assert_eq!(watch.check(3, 1, at(1_100)), None);
        assert_eq!(watch.wake_at(3), Some(at(2_100)));
        assert_eq!(watch.check(3, 1, at(2_099)), None);
        assert!(watch.check(3, 1, at(2_100)).is_some());
    }
}
