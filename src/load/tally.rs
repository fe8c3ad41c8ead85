//! Counters of a running load, and the figures of its result.

use super::session::InFlight;
use super::warning::{self};
use super::{
    Config, Connect, Connections, Counts, Distribution, Echo, Generator, Histograms, Interval,
    LoadResult, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide, Snapshot, WallTime, Warning,
};
use crate::echo::Mismatch;
use crate::numbers::as_f64;
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
    /// SYN retransmits of the load's own connections, as inferred.
    pub(super) retransmitted: u64,
    pub(super) last_established: Time,
    /// Connects of churn established in the measured part.
    pub(super) reconnected: u64,
    sent: u64,
    received: u64,
    /// Correct replies that arrived within the measured part.
    received_in_span: u64,
    received_wrong: u64,
    /// Wrong replies to messages of the measured part.
    pub(super) mismatches: BTreeMap<Mismatch, u64>,
    /// Wrong replies outside the measured part.
    pub(super) unmeasured_mismatches: u64,
    /// Messages of the measured part that may still be answered.
    pub(super) outstanding: u64,
    response: Distribution,
    service: Distribution,
    pub(super) lag: Distribution,
    /// Response times of the current interval.
    interval_response: Distribution,
    interval_sent: u64,
    pub(super) intervals: Vec<Interval>,
    pub(super) interval_counts: Vec<Counts>,
    pub(super) probe: Probe,
    pub(super) snapshots: Snapshots,
    /// Warnings that no figure shows.
    pub(super) remarks: Vec<Warning>,
}

/// Resource usage at four moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshots {
    /// Before the first connect.
    pub(super) before: Snapshot,
    /// At the beginning of the measured part.
    pub(super) from: Snapshot,
    /// At the end of the measured part.
    pub(super) to: Snapshot,
    /// At the end of the load, with its connections still established.
    pub(super) after: Snapshot,
    /// Connections established at the end of the measured part.
    pub(super) held: u64,
}

impl Tally {
    pub(super) fn new(asked: u32, size: usize, has_schedule: bool) -> Tally {
        Tally {
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

    /// The measured part begins.
    pub(super) fn begin_span(&mut self, snapshot: Snapshot) {
        self.lost_before_span = self.connections.lost;
        self.snapshots.from = snapshot;
    }

    /// The measured part ends.
    pub(super) fn end_span(&mut self, snapshot: Snapshot, held: usize) {
        self.snapshots.to = snapshot;
        self.snapshots.held = held as u64;
    }

    /// Counts a message that has fallen due, sent or queued.
    #[inline]
    pub(super) fn count_sent(&mut self, due: Time) {
        if self.span.contains(&due) {
            self.outstanding += 1;
        }
        self.count_undeliverable(due);
    }

    /// Counts a message that has fallen due on a connection that is lost.
    #[inline]
    pub(super) fn count_undeliverable(&mut self, due: Time) {
        if self.span.contains(&due) {
            self.sent += 1;
            self.interval_sent += 1;
        }
    }

    /// Counts a correct reply.
    #[inline]
    pub(super) fn count_correct(&mut self, message: InFlight, now: Time) {
        if !self.span.contains(&message.due) {
            return;
        }
        self.outstanding -= 1;
        self.received += 1;
        let response = now.since(message.due);
        if self.has_schedule {
            self.service.record(now.since(message.sent));
        }
        if now < self.span.end {
            self.received_in_span += 1;
            self.interval_response.record(response);
        } else {
            self.response.record(response);
        }
    }

    /// Counts a wrong reply; `message` is the one that it should answer, if any.
    #[cold]
    pub(super) fn count_wrong(&mut self, mismatch: Mismatch, message: Option<InFlight>, now: Time) {
        let due = message.map_or(now, |message| message.due);
        if !self.span.contains(&due) {
            self.unmeasured_mismatches += 1;
            return;
        }
        *self.mismatches.entry(mismatch).or_default() += 1;
        if message.is_some() {
            self.outstanding -= 1;
            self.received_wrong += 1;
        }
    }

    /// The messages that were due at these times will not be answered: their connection is lost.
    pub(super) fn count_unanswered(&mut self, due: impl Iterator<Item = Time>) {
        let measured = due.filter(|due| self.span.contains(due)).count();
        self.outstanding -= measured as u64;
    }

    /// Ends an interval of the measured part.
    pub(super) fn end_interval(&mut self, now: Time, held: usize) -> &Interval {
        let response = &self.interval_response;
        let counts = response.counts();
        self.intervals.push(Interval {
            at: now.since(self.span.start).as_secs_f64(),
            echoes: response.count(),
            asked: self.interval_sent,
            p50_us: response.percentile(50.0),
            p99_us: response.percentile(99.0),
            max_us: response.max(),
            held: held as u64,
            lost: self.connections.lost - self.lost_before_span,
        });
        self.response.add(&counts);
        self.interval_counts.push(counts);
        self.interval_response.clear();
        self.interval_sent = 0;
        &self.intervals[self.intervals.len() - 1]
    }

    /// The result, and everything needed to save it except the host and the command line. The load began at `origin`, which
    /// was the time of day `begun`.
    pub(super) fn to_saved(
        &self,
        config: &Config,
        begun: WallTime,
        origin: Time,
        now: Time,
    ) -> Saved {
        let mut result = LoadResult {
            schema: SCHEMA,
            target: config.target.to_string(),
            started: (begun + self.span.start.since(origin)).to_string(),
            seconds: self.seconds(),
            connections: self.connections.clone(),
            connect: self.connect(origin, config.churn.is_some()),
            echo: self.echo(),
            probe: self.probe.clone(),
            generator: self.generator(config.rate.filter(|_| config.active > 0)),
            server: self.server(),
            intervals: self.intervals.clone(),
            ..LoadResult::default()
        };
        result.warning_details = warning::warnings(&result, config, self);
        let texts = result.warning_details.iter().map(ToString::to_string);
        result.warnings = texts.collect();
        Saved {
            kind: SAVED_KIND.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: config.to_saved(),
            begun: begun.to_string(),
            ended: (begun + now.since(origin)).to_string(),
            result,
            histograms: Histograms {
                connect_us: self.connect_times.counts(),
                response_us: self.response.counts(),
                service_us: self.service().counts(),
                lag_us: self.lag.counts(),
            },
            interval_response_us: self.interval_counts.clone(),
            ..Saved::default()
        }
    }

    fn connect(&self, origin: Time, churns: bool) -> Connect {
        let seconds = self.last_established.since(origin).as_secs_f64();
        let Snapshots {
            before, to, after, ..
        } = &self.snapshots;
        let machine = to.syn_retransmits.max(after.syn_retransmits);
        Connect {
            seconds,
            per_second: if churns {
                ratio(as_f64(self.reconnected), self.seconds())
            } else {
                ratio(as_f64(self.connections.opened), seconds)
            },
            retransmitted: self.retransmitted,
            machine_retransmitted: Some(machine.saturating_sub(before.syn_retransmits)),
            time_us: self.connect_times.summary(),
        }
    }

    /// Correct replies per second within the measured part.
    fn rate(&self) -> f64 {
        ratio(as_f64(self.received_in_span), self.seconds())
    }

    fn echo(&self) -> Echo {
        Echo {
            sent: self.sent,
            received: self.received,
            mismatched: self.mismatches.values().sum(),
            unanswered: self.sent - self.received - self.received_wrong,
            per_second: self.rate(),
            bytes_per_second: self.rate() * as_f64(self.size as u64),
            response_time_us: self.response.summary(),
            service_time_us: self.service().summary(),
        }
    }

    fn service(&self) -> &Distribution {
        if self.has_schedule {
            &self.service
        } else {
            &self.response
        }
    }

    /// Figures of the load tester itself; `rate` is the rate requested.
    fn generator(&self, rate: Option<f64>) -> Generator {
        let lag_us = self.lag.summary();
        let saturated = rate.is_some_and(|rate| {
            lag_us.p99 > MAX_LAG_US || (self.sent > 0 && self.rate() < rate * MIN_RATE_REACHED)
        });
        Generator {
            cpu_percent: self.cpu_percent(|snapshot| snapshot.own_cpu_time),
            lag_us,
            saturated,
        }
    }

    fn server(&self) -> Option<ServerSide> {
        let Snapshots {
            before, from, to, ..
        } = &self.snapshots;
        let before = before.server?;
        let during = to.server.or(from.server)?;
        let grown = during.rss_bytes.saturating_sub(before.rss_bytes);
        let cpu_time = |snapshot: &Snapshot| snapshot.server.map(|server| server.cpu_time);
        Some(ServerSide {
            pid: before.pid,
            cpu_percent: self.cpu_percent(|snapshot| cpu_time(snapshot).unwrap_or_default()),
            rss_bytes: during.rss_bytes,
            rss_bytes_per_connection: ratio(as_f64(grown), as_f64(self.snapshots.held)),
            rss_before_bytes: before.rss_bytes,
            rss_after_bytes: 0,
        })
    }

    /// The CPU time used in the measured part, in percent of one CPU.
    fn cpu_percent(&self, of: impl Fn(&Snapshot) -> Duration) -> f64 {
        let used = of(&self.snapshots.to).saturating_sub(of(&self.snapshots.from));
        ratio(100.0 * used.as_secs_f64(), self.seconds())
    }
}

/// If the p99 of the schedule lag is above this, the times are not those of the server alone.
pub(super) const MAX_LAG_US: u64 = 1000;

/// The share of the requested rate that must be reached. It is below 1 because replies to the last messages arrive after
/// the end of the measured part.
const MIN_RATE_REACHED: f64 = 0.99;

/// A quotient that is 0 if the divisor is.
fn ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor == 0.0 {
        return 0.0;
    }
    dividend / divisor
}
