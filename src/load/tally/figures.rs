//! The figures of the result of a load, from its counters.

use super::{Snapshots, Tally, ratio};
use crate::load::{
    Config, Connect, Counts, Distribution, Echo, Histograms, LoadResult, LowerBounds, SAVED_KIND,
    SCHEMA, Saved, ServerReadings, ServerSide, Snapshot, WallTime, warning,
};
use crate::numbers::as_f64;
use crate::time::Time;
use std::time::Duration;

impl Tally {
    /// The result, and everything needed to save it except the host and the command line. The load began at `origin`, which
    /// was the time of day `begun`.
    pub(in crate::load) fn to_saved(
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
            keepalive: self.keepalive.clone(),
            userspace_tcp: self.userspace_tcp,
            generator: self.generator(config.rate.filter(|_| config.active > 0)),
            server: self.server(),
            intervals: self.intervals.clone(),
            ..LoadResult::default()
        };
        result.warning_details = warning::warnings(&result, config, self);
        let handshakes = self.handshakes.as_deref();
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
                response_us: self.all_responses().counts(),
                service_us: self.service().counts(),
                lag_us: self.lag.counts(),
                lower_bounds_us: self.lower_bounds.counts(),
                handshake_us: handshakes.map_or_else(Counts::default, |all| all.times.counts()),
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
        let handshakes = self.handshakes.as_deref();
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
            handshake_us: handshakes.map(|all| all.times.summary()),
            handshakes: handshakes.map(|all| all.counts),
        }
    }

    /// Correct replies per second within the measured part.
    fn rate(&self) -> f64 {
        ratio(as_f64(self.received), self.seconds())
    }

    fn echo(&self) -> Echo {
        let responses = self.all_responses();
        let bounds = LowerBounds::among(&responses.counts(), &self.lower_bounds.counts());
        Echo {
            due: self.due,
            sent: self.sent,
            received: self.received,
            outstanding: self.outstanding,
            mismatched: self.mismatches.values().sum(),
            unanswered: self.unanswered,
            missing: self.missing,
            per_second: self.rate(),
            bytes_per_second: self.rate() * as_f64(self.size as u64),
            response_time_us: responses.summary(),
            response_time_lower_bounds: bounds,
            service_time_us: self.service().summary(),
        }
    }

    /// The messages that ended in the measured part, or were outstanding at its end.
    pub(in crate::load) fn ended_messages(&self) -> u64 {
        self.response.count() + self.received_wrong + self.unanswered
    }

    /// The times of all replies, and the ages of the messages without one.
    fn all_responses(&self) -> Distribution {
        let mut all = self.response.clone();
        all.add(&self.lower_bounds.counts());
        all
    }

    pub(super) fn service(&self) -> &Distribution {
        if self.has_schedule {
            &self.service
        } else {
            &self.response
        }
    }

    fn server(&self) -> Option<ServerSide> {
        let readings = ServerReadings {
            before: self.snapshots.before.server,
            from: self.snapshots.from.server,
            to: self.snapshots.to.server,
            drained: self.snapshots.drained.server,
        };
        readings.to_result(self.seconds(), self.snapshots.held)
    }

    /// The CPU time used in the measured part, in percent of one CPU.
    pub(in crate::load) fn cpu_percent(&self, of: impl Fn(&Snapshot) -> Duration) -> f64 {
        let used = of(&self.snapshots.to).saturating_sub(of(&self.snapshots.from));
        ratio(100.0 * used.as_secs_f64(), self.seconds())
    }
}
