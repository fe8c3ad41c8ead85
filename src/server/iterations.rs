//! Measures the iterations of the event loop, and logs those that take long.

use super::Service;
use super::throttle::Throttle;
use crate::connection::Connections;
use crate::histogram::Histogram;
use crate::net::Net;
use crate::protocol::Protocol;
use crate::time::in_units;
use std::time::Duration;

/// The iterations of the event loop since the start of the server, if it measures them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IterationStats {
    /// The number of iterations.
    pub iterations: u64,
    /// Events per iteration.
    pub events: Histogram,
    /// The time of an iteration without the wait, in nanoseconds.
    pub time: Histogram,
    /// The longest iteration.
    pub longest: Duration,
}

/// The iterations of a server that measures them.
#[derive(Debug)]
pub(super) struct Iterations {
    pub(super) stats: IterationStats,
    /// A longer iteration is logged.
    slow: Option<Duration>,
    throttle: Throttle,
    /// What the server had done before the iteration.
    before: Work,
}

/// What a server has done since its start.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    accepted: u64,
    bytes_in: u64,
    bytes_out: u64,
    deadlines: u64,
}

impl Iterations {
    pub(super) fn new(slow: Option<Duration>) -> Box<Iterations> {
        Box::new(Iterations {
            stats: IterationStats::default(),
            slow,
            throttle: Throttle::default(),
            before: Work::default(),
        })
    }
}

impl Work {
    fn since(self, before: Work) -> Work {
        Work {
            accepted: self.accepted.saturating_sub(before.accepted),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            deadlines: self.deadlines.saturating_sub(before.deadlines),
        }
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Counts the iteration that ends now.
    #[cold]
    #[inline(never)]
    pub(super) fn count_iteration(&mut self, reactor: &Connections<N, P>) {
        let work = self.work();
        let Some(iterations) = &mut self.iterations else {
            return;
        };
        let now = reactor.net.now();
        let took = now.since(reactor.now());
        let events = reactor.events();
        let stats = &mut iterations.stats;
        stats.iterations += 1;
        stats.events.record(events as u64);
        stats.time.record_time(took);
        stats.longest = stats.longest.max(took);
        let done = work.since(std::mem::replace(&mut iterations.before, work));
        if iterations.slow.is_none_or(|slow| took <= slow) {
            return;
        }
        iterations.throttle.warn(now, &|| {
            format!(
                "an iteration of the event loop took {}: {events} events, {} connections accepted, {} bytes in, {} \
                 out, {} deadlines",
                in_units(took),
                done.accepted,
                done.bytes_in,
                done.bytes_out,
                done.deadlines
            )
        });
    }

    fn work(&self) -> Work {
        let common = &self.driver.common;
        Work {
            accepted: self.counters.opened + self.counters.refused_in_all(),
            bytes_in: common.bytes_in,
            bytes_out: common.bytes_out,
            deadlines: common.deadlines,
        }
    }
}
