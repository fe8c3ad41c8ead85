//! What is counted while a load runs, and what it comes to.

use super::distribution::{Counts, Distribution};
use super::result::{
    Connect, Connections, Echo, Failed, Generator, Histograms, Interval, Probe, ServerSide,
};
use super::session::Flight;
use super::surroundings::Readings;
use crate::echo::Mismatch;
use crate::time::Time;
use std::time::Duration;

/// The measured part, from when to when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Span {
    #[inline]
    pub(super) fn contains(&self, time: Time) -> bool {
        self.from <= time && time < self.to
    }

    pub(super) fn seconds(&self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }
}

/// Wrong replies, by what was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mismatches {
    pub(super) other_connection: u64,
    pub(super) out_of_order: u64,
    pub(super) changed: u64,
    pub(super) unasked: u64,
}

impl Mismatches {
    pub(super) fn count(&mut self, mismatch: Mismatch) {
        *match mismatch {
            Mismatch::OtherConnection => &mut self.other_connection,
            Mismatch::OutOfOrder => &mut self.out_of_order,
            Mismatch::Changed => &mut self.changed,
            Mismatch::Unasked => &mut self.unasked,
        } += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.other_connection + self.out_of_order + self.changed + self.unasked
    }
}

/// What a second has brought so far.
#[derive(Debug, Default)]
struct Second {
    response: Distribution,
    asked: u64,
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) span: Span,
    size: usize,
    /// In a closed loop a message is due when it is sent, so one distribution stands for both times.
    keeps_schedule: bool,
    pub(super) asked: u64,
    pub(super) opened: u64,
    /// How many of those are idle ones.
    pub(super) opened_idle: u64,
    pub(super) lost: u64,
    /// How many of those were idle ones.
    pub(super) lost_idle: u64,
    lost_before: u64,
    pub(super) failed: Failed,
    pub(super) connect: Distribution,
    /// SYN retransmits of the load's own connections, as inferred.
    pub(super) retransmitted: u64,
    pub(super) last_stood: Time,
    /// Connects of churn in the measured part that came to stand.
    pub(super) churned: u64,
    pub(super) sent: u64,
    received: u64,
    /// Right replies to measured messages that came within the measured part.
    received_in_time: u64,
    wrong: u64,
    pub(super) mismatches: Mismatches,
    /// Wrong replies outside of the measured part.
    pub(super) mismatched_elsewhere: u64,
    /// Measured messages for which a reply may still come.
    pub(super) outstanding: u64,
    response: Distribution,
    service: Distribution,
    pub(super) lag: Distribution,
    second: Second,
    pub(super) intervals: Vec<Interval>,
    interval_counts: Vec<Counts>,
    pub(super) probe: Probe,
    pub(super) readings: Stations,
}

/// What the machine said, at four moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stations {
    pub(super) before: Readings,
    pub(super) from: Readings,
    pub(super) to: Readings,
    /// When all was over, and the connections still stood.
    pub(super) after: Readings,
    /// Connections that stood at the end of the measured part.
    pub(super) held: u64,
}

impl Tally {
    pub(super) fn new(asked: u32, size: usize, keeps_schedule: bool) -> Tally {
        Tally {
            span: Span::default(),
            size,
            keeps_schedule,
            asked: asked.into(),
            opened: 0,
            opened_idle: 0,
            lost: 0,
            lost_idle: 0,
            lost_before: 0,
            failed: Failed::default(),
            connect: Distribution::new(),
            retransmitted: 0,
            last_stood: Time::ZERO,
            churned: 0,
            sent: 0,
            received: 0,
            received_in_time: 0,
            wrong: 0,
            mismatches: Mismatches::default(),
            mismatched_elsewhere: 0,
            outstanding: 0,
            response: Distribution::new(),
            service: Distribution::new(),
            lag: Distribution::new(),
            second: Second::default(),
            intervals: Vec::new(),
            interval_counts: Vec::new(),
            probe: Probe::default(),
            readings: Stations::default(),
        }
    }

    /// The measured part begins.
    pub(super) fn begin(&mut self) {
        self.lost_before = self.lost;
    }

    /// A message that was due now, or then, is on its way or waits for its turn.
    #[inline]
    pub(super) fn message(&mut self, due: Time) {
        if self.span.contains(due) {
            self.sent += 1;
            self.second.asked += 1;
            self.outstanding += 1;
        }
    }

    /// A message fell due on a connection that is gone.
    pub(super) fn message_for_nobody(&mut self, due: Time) {
        if self.span.contains(due) {
            self.sent += 1;
            self.second.asked += 1;
        }
    }

    /// A right reply.
    #[inline]
    pub(super) fn right(&mut self, flight: Flight, now: Time) {
        if !self.span.contains(flight.due) {
            return;
        }
        self.outstanding -= 1;
        self.received += 1;
        let response = now.since(flight.due);
        if self.keeps_schedule {
            self.service.record(now.since(flight.sent));
        }
        if now < self.span.to {
            self.received_in_time += 1;
            self.second.response.record(response);
        } else {
            self.response.record(response);
        }
    }

    /// A wrong reply, if it can be a reply at all.
    #[cold]
    pub(super) fn wrong(&mut self, mismatch: Mismatch, flight: Option<Flight>, now: Time) {
        let is_measured = match flight {
            Some(flight) => self.span.contains(flight.due),
            None => self.span.contains(now),
        };
        if !is_measured {
            self.mismatched_elsewhere += 1;
            return;
        }
        self.mismatches.count(mismatch);
        if flight.is_some() {
            self.outstanding -= 1;
            self.wrong += 1;
        }
    }

    /// A connection is gone, and with it what was sent on it.
    pub(super) fn gone(&mut self, flights: impl Iterator<Item = Time>) {
        let measured = flights.filter(|due| self.span.contains(*due)).count();
        self.outstanding -= measured as u64;
    }

    /// A second of the measured part is over, or what was left of it.
    pub(super) fn end_second(&mut self, now: Time, held: u64) -> &Interval {
        let response = &self.second.response;
        let counts = response.counts();
        self.intervals.push(Interval {
            at: now.since(self.span.from).as_secs_f64(),
            echoes: response.count(),
            asked: self.second.asked,
            p50_us: response.percentile(50.0),
            p99_us: response.percentile(99.0),
            max_us: response.max(),
            held,
            lost: self.lost - self.lost_before,
        });
        self.response.add(&counts);
        self.interval_counts.push(counts);
        self.second.response.clear();
        self.second.asked = 0;
        &self.intervals[self.intervals.len() - 1]
    }

    pub(super) fn connections(&self) -> Connections {
        Connections {
            asked: self.asked,
            opened: self.opened,
            lost: self.lost,
            failed: self.failed.clone(),
        }
    }

    pub(super) fn connect(&self, began: Time, churns: bool) -> Connect {
        let seconds = self.last_stood.since(began).as_secs_f64();
        let stations = &self.readings;
        let on_machine = stations
            .to
            .syn_retransmits
            .max(stations.after.syn_retransmits);
        Connect {
            seconds,
            per_second: if churns {
                per_second(self.churned, self.span.seconds())
            } else {
                per_second(self.opened, seconds)
            },
            retransmitted: self.retransmitted,
            machine_retransmitted: Some(on_machine.saturating_sub(stations.before.syn_retransmits)),
            time_us: self.connect.summary(),
        }
    }

    pub(super) fn echo(&self) -> Echo {
        let rate = per_second(self.received_in_time, self.span.seconds());
        Echo {
            sent: self.sent,
            received: self.received,
            mismatched: self.mismatches.total(),
            unanswered: self.sent - self.received - self.wrong,
            per_second: rate,
            bytes_per_second: rate * as_f64(self.size as u64),
            response_time_us: self.response.summary(),
            service_time_us: self.service().summary(),
        }
    }

    fn service(&self) -> &Distribution {
        if self.keeps_schedule {
            &self.service
        } else {
            &self.response
        }
    }

    /// What the load itself took; `rate` is what was asked for.
    pub(super) fn generator(&self, rate: Option<f64>) -> Generator {
        let stations = &self.readings;
        let lag = self.lag.summary();
        let reached = per_second(self.received_in_time, self.span.seconds());
        let saturated = rate.is_some_and(|rate| {
            lag.p99 > MOST_LAG_US || (self.sent > 0 && reached < rate * RATE_REACHED)
        });
        Generator {
            cpu_percent: busy(
                stations.from.own_processor,
                stations.to.own_processor,
                &self.span,
            ),
            lag_us: lag,
            saturated,
        }
    }

    pub(super) fn server(&self) -> Option<ServerSide> {
        let stations = &self.readings;
        let (before, during) = (
            stations.before.server?,
            stations.to.server.or(stations.from.server)?,
        );
        let grown = during.rss_bytes.saturating_sub(before.rss_bytes);
        let processor = |readings: Readings| {
            readings
                .server
                .map_or(Duration::ZERO, |server| server.processor)
        };
        Some(ServerSide {
            pid: before.pid,
            cpu_percent: busy(processor(stations.from), processor(stations.to), &self.span),
            rss_bytes: during.rss_bytes,
            rss_bytes_per_connection: per_second(grown, as_f64(stations.held)),
            rss_before_bytes: before.rss_bytes,
            rss_after_bytes: 0,
        })
    }

    pub(super) fn histograms(&self) -> (Histograms, Vec<Counts>) {
        let histograms = Histograms {
            connect_us: self.connect.counts(),
            response_us: self.response.counts(),
            service_us: self.service().counts(),
            lag_us: self.lag.counts(),
        };
        (histograms, self.interval_counts.clone())
    }
}

/// The largest p99 of the schedule's lag at which the times still are the server's.
pub(super) const MOST_LAG_US: u64 = 1000;

/// The part of the rate asked for that must be reached. Replies to the last messages come after the end, and those of a
/// slow server are no fewer for that.
pub(super) const RATE_REACHED: f64 = 0.99;

/// In per cent of one processor.
fn busy(from: Duration, to: Duration, span: &Span) -> f64 {
    let seconds = span.seconds();
    if seconds == 0.0 {
        return 0.0;
    }
    100.0 * to.saturating_sub(from).as_secs_f64() / seconds
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds == 0.0 {
        return 0.0;
    }
    as_f64(count) / seconds
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
