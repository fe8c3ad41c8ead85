//! What a load comes to at its end.

use super::Counts;
use super::config::Config;
use super::result::{Histograms, LoadResult, SAVED_KIND, SCHEMA, Saved};
use super::surroundings::{Readings, Surroundings};
use super::tester::Tester;
use super::verdict;
use super::wall::WallTime;
use crate::net::Time;

/// What a load has found, and what is needed to save it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was found; without expectations.
    pub result: LoadResult,
    /// The distributions behind it.
    pub histograms: Histograms,
    /// The response times of each interval.
    pub interval_response_us: Vec<Counts>,
    /// When the first connection was begun.
    pub begun: WallTime,
    /// When all was over.
    pub ended: WallTime,
}

impl<S: Surroundings> Tester<S> {
    /// What it all comes to.
    pub(super) fn finding(&mut self, begun: WallTime, now: Time) -> Finding {
        let tally = &self.tally;
        let churns = self.config.churn.is_some();
        let (histograms, interval_response_us) = tally.histograms();
        let mut result = LoadResult {
            schema: SCHEMA,
            target: self.config.target.to_string(),
            started: (begun + tally.span.from.since(self.origin)).to_string(),
            seconds: tally.span.seconds(),
            warnings: Vec::new(),
            connections: tally.connections(),
            connect: tally.connect(self.opening.began, churns),
            echo: tally.echo(),
            probe: tally.probe.clone(),
            generator: tally.generator(self.config.rate.filter(|_| self.config.active > 0)),
            server: tally.server(),
            intervals: tally.intervals.clone(),
            expect: Vec::new(),
        };
        result.warnings = verdict::warnings(&result, &self.config, tally, &self.remarks);
        Finding {
            result,
            histograms,
            interval_response_us,
            begun,
            ended: begun + now.since(self.origin),
        }
    }
}

impl Finding {
    /// Whether a server's process is watched, of which something is known only when all connections are closed.
    #[must_use]
    pub fn watches_server(&self) -> bool {
        self.result.server.is_some()
    }

    /// All connections have been closed, and this is what the machine says thereafter.
    pub fn closed(&mut self, after: &Readings) {
        if let (Some(server), Some(after)) = (&mut self.result.server, after.server) {
            server.rss_after_bytes = after.rss_bytes;
        }
    }

    /// As `--save` writes it. `host` is the machine's name, `command` the command line as typed.
    #[must_use]
    pub fn to_saved(&self, config: &Config, host: String, command: Vec<String>) -> Saved {
        Saved {
            kind: SAVED_KIND.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host,
            command,
            configuration: config.to_saved(),
            begun: self.begun.to_string(),
            ended: self.ended.to_string(),
            result: self.result.clone(),
            histograms: self.histograms.clone(),
            interval_response_us: self.interval_response_us.clone(),
            parts: Vec::new(),
        }
    }
}
