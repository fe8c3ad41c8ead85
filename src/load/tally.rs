//! Counters of a running load.

mod figures;

use super::handshake::HandshakeTally;
use super::session::InFlight;
use super::{
    Connections, Counts, Distribution, Interval, Keepalives, Probe, Snapshot, UserspaceFigures,
    Warning,
};
use crate::echo::Mismatch;
use crate::time::Time;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// All counters of a load.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The measured part.
    pub(super) span: Range<Time>,
    size: usize,
    /// In a closed loop a message is due when it is sent: `response` is the service time too.
    has_schedule: bool,
    pub(super) connections: Connections,
    /// Idle connections among those opened.
    pub(super) opened_idle: u64,
    /// Idle connections among those lost.
    pub(super) lost_idle: u64,
    lost_before_span: u64,
    pub(super) connect_times: Distribution,
    /// Over TLS only.
    pub(super) handshakes: Option<Box<HandshakeTally>>,
    /// SYN retransmits of the load's own connections, as inferred.
    pub(super) retransmitted: u64,
    pub(super) last_established: Time,
    /// Connects of churn established in the measured part.
    pub(super) reconnected: u64,
    /// Messages due in the measured part.
    pub(super) due: u64,
    due_before_interval: u64,
    /// Messages written to their connection in the measured part.
    sent: u64,
    /// Correct replies that arrived in the measured part.
    pub(super) received: u64,
    /// Wrong replies to messages, in the measured part or to those outstanding at its end.
    pub(super) received_wrong: u64,
    /// Wrong replies in the measured part, or to messages outstanding at its end.
    pub(super) mismatches: BTreeMap<Mismatch, u64>,
    /// Wrong replies before or after.
    pub(super) unmeasured_mismatches: u64,
    /// Replies on active connections so far, right or wrong.
    pub(super) replies: u64,
    /// Messages without a schedule that were sent before the end of the measured part.
    pub(super) begun: u64,
    /// Messages that were answered or lost before that.
    ended: u64,
    /// Messages that were due and neither answered nor lost at the end of the measured part.
    outstanding: u64,
    /// Those of them that may still be answered.
    pub(super) left_to_drain: u64,
    waiting: Waiting,
    /// Messages that were lost with their connection or given up.
    pub(super) unanswered: u64,
    /// Those of them that overload does not explain.
    pub(super) missing: u64,
    /// At the end of the measured part, messages waited on connections that then replied.
    pub(super) is_behind: bool,
    /// Times of replies: in the measured part, and to messages outstanding at its end.
    response: Distribution,
    service: Distribution,
    /// The age that messages without a reply have reached.
    pub(super) lower_bounds: Distribution,
    pub(super) lag: Distribution,
    /// Response times of the current interval.
    interval_response: Distribution,
    pub(super) intervals: Vec<Interval>,
    pub(super) interval_counts: Vec<Counts>,
    pub(super) probe: Probe,
    /// How long the load had waited for events at the beginning of the measured part, and in it.
    pub(super) waited: (Duration, Duration),
    pub(super) keepalive: Keepalives,
    pub(super) userspace_tcp: Option<UserspaceFigures>,
    pub(super) snapshots: Snapshots,
    /// Warnings that no figure shows.
    pub(super) remarks: Vec<Warning>,
}

/// Whether replies to outstanding messages are awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waiting {
    /// The measured part has not ended, or there was none.
    #[default]
    Never,
    Yes,
    GivenUp,
}

/// Resource usage at several moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshots {
    /// Before the first connect.
    pub(super) before: Snapshot,
    /// At the beginning of the measured part.
    pub(super) from: Snapshot,
    /// At the end of the measured part.
    pub(super) to: Snapshot,
    /// After the measured part, with no message in flight.
    pub(super) drained: Snapshot,
    /// At the end of the load, with its connections still established.
    pub(super) after: Snapshot,
    /// Connections established at the end of the measured part.
    pub(super) held: u64,
}

impl Tally {
    pub(super) fn new(asked: u32, size: usize, has_schedule: bool) -> Tally {
        // Until it is known, the measured part never begins.
        let never = Time::from_nanos(u64::MAX);
        Tally {
            span: never..never,
            size,
            has_schedule,
            connections: Connections {
                asked: asked.into(),
                ..Connections::default()
            },
            ..Tally::default()
        }
    }

    /// The length of the measured part in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.span.end.since(self.span.start).as_secs_f64()
    }

    /// The measured part begins. The load has waited for events for `waited`.
    pub(super) fn begin_span(&mut self, snapshot: Snapshot, waited: Duration) {
        self.lost_before_span = self.connections.lost;
        self.snapshots.from = snapshot;
        self.waited.0 = waited;
    }

    /// The measured part ends.
    pub(super) fn end_span(&mut self, snapshot: Snapshot, waited: Duration, held: usize) {
        self.snapshots.to = snapshot;
        self.snapshots.held = held as u64;
        self.waited.1 = waited.saturating_sub(self.waited.0);
    }

    /// Counts the outstanding messages at the end of the measured part; `scheduled` messages have fallen due by schedule.
    pub(super) fn end_counting(&mut self, scheduled: u64) {
        self.outstanding = (self.begun + scheduled).saturating_sub(self.ended);
        self.waiting = Waiting::Yes;
    }

    /// The load stops waiting for replies; returns whether it was waiting.
    pub(super) fn begin_giving_up(&mut self) -> bool {
        let was_waiting = self.waiting == Waiting::Yes;
        if was_waiting {
            self.waiting = Waiting::GivenUp;
        }
        was_waiting
    }

    /// Counts a message that is being sent, and could have been sent since `could_send`.
    #[inline]
    pub(super) fn count_sent(&mut self, due: Time, could_send: Time, now: Time) {
        let is_measured = self.span.contains(&now);
        self.sent += u64::from(is_measured);
        if !self.has_schedule {
            self.begun += 1;
            self.due += u64::from(is_measured);
        } else if self.span.contains(&due) {
            self.lag.record_since(could_send, now);
        }
    }

    /// Counts `messages` that have ended before the end of the measured part, or will not be waited for any more.
    #[inline]
    fn count_ended(&mut self, messages: u64, now: Time) {
        if now < self.span.end {
            self.ended += messages;
        }
        self.count_drained(messages);
    }

    /// Of the outstanding messages this many have been answered or lost.
    #[inline]
    pub(super) fn count_drained(&mut self, messages: u64) {
        self.left_to_drain = self.left_to_drain.saturating_sub(messages);
    }

    /// Whether a message that ends now was in the measured part, or outstanding at its end.
    #[inline]
    fn is_measured(&self, now: Time) -> bool {
        self.span.start <= now && self.waiting != Waiting::GivenUp
    }

    /// Counts a correct reply.
    #[inline]
    pub(super) fn count_correct(&mut self, message: InFlight, now: Time) {
        self.replies += 1;
        self.count_ended(1, now);
        if !self.is_measured(now) {
            return;
        }
        if self.has_schedule {
            self.service.record_since(message.sent, now);
        }
        if now < self.span.end {
            self.received += 1;
            self.interval_response.record_since(message.due, now);
        } else {
            self.response.record_since(message.due, now);
        }
    }

    /// Counts a wrong reply; `message` is the one that it should answer, if any.
    #[cold]
    pub(super) fn count_wrong(&mut self, mismatch: Mismatch, message: Option<InFlight>, now: Time) {
        let answered = u64::from(message.is_some());
        self.replies += answered;
        self.count_ended(answered, now);
        if !self.is_measured(now) || (message.is_none() && self.span.end <= now) {
            self.unmeasured_mismatches += 1;
            return;
        }
        *self.mismatches.entry(mismatch).or_default() += 1;
        self.received_wrong += answered;
    }

    /// Counts the messages that were in flight on a connection that is lost.
    pub(super) fn count_lost<'a>(
        &mut self,
        messages: impl ExactSizeIterator<Item = &'a InFlight>,
        now: Time,
    ) {
        let count = messages.len() as u64;
        if now < self.span.end {
            self.ended += count;
        }
        if self.is_measured(now) {
            self.unanswered += count;
            self.missing += count;
            messages.for_each(|message| self.lower_bounds.record(now.since(message.due)));
        }
    }

    /// Ends an interval of the measured part.
    pub(super) fn end_interval(&mut self, now: Time, held: usize) -> &Interval {
        let response = &self.interval_response;
        let counts = response.counts();
        self.intervals.push(Interval {
            at: now.since(self.span.start).as_secs_f64(),
            echoes: response.count(),
            asked: self.due - self.due_before_interval,
            p50_us: response.percentile(50.0),
            p99_us: response.percentile(99.0),
            max_us: response.max(),
            held: held as u64,
            lost: self.connections.lost - self.lost_before_span,
        });
        self.response.add(&counts);
        self.interval_counts.push(counts);
        self.interval_response.clear();
        self.due_before_interval = self.due;
        &self.intervals[self.intervals.len() - 1]
    }

    /// The longest service time so far.
    pub(super) fn longest_service(&self) -> Duration {
        Duration::from_micros(self.service().max())
    }
}

/// A quotient that is 0 if the divisor is.
pub(super) fn ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor == 0.0 {
        return 0.0;
    }
    dividend / divisor
}
