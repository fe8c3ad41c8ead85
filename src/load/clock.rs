//! The clocks of the machines that measure: which clock a result's times are of, and how long several loads were measured
//! together.

use super::session::EchoClient;
use super::tester::Load;
use super::{Observer, WallTime};
use crate::net::Net;
use crate::tls::MaybeTls;
use serde::{Deserialize, Serialize};

/// A reference clock, and what the clock of the load's machine showed beside it. The times of a result that has one are in
/// the time of the reference clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReferenceClock {
    /// The clock server, as `ADDRESS:PORT`.
    pub server: String,
    /// The time of the reference clock minus the time of this machine.
    pub offset_us: f64,
    /// The error of `offset_us` is at most this: half of the shortest round trip.
    pub uncertainty_us: f64,
}

/// Whether the clocks of several loads are known to agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Clocks {
    /// All loads have the same clock: they ran on one host.
    OneHost,
    /// All loads have measured their offset from the same reference clock.
    Compared,
    /// Neither.
    #[default]
    NotCompared,
}

/// A file may contain any text.
impl From<String> for Clocks {
    fn from(name: String) -> Clocks {
        match name.as_str() {
            "one_host" => Clocks::OneHost,
            "compared" => Clocks::Compared,
            _ => Clocks::NotCompared,
        }
    }
}

/// How long several loads were measured at the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// The number of hosts.
    pub hosts: u64,
    /// The time in which all loads were measured, by their clocks.
    pub seconds: f64,
    /// Whether these agree.
    pub clocks: Clocks,
    /// The reference clock, if they were compared with it.
    pub server: Option<String>,
    /// The error of `seconds` is at most this, if they were compared.
    pub uncertainty_us: Option<f64>,
}

/// How often both clocks are read.
const READINGS: usize = 5;

impl<N: Net, S: Observer, C: MaybeTls<EchoClient>> Load<N, S, C> {
    /// Returns the time of day at which the load was created, by the clock that `wall` reads. With `start`, the measured
    /// part begins at that time of it. To be called before the first iteration.
    ///
    /// Of several readings the fastest counts, so a pause of the process between two readings does not shift the times.
    pub fn align(&mut self, wall: impl Fn() -> WallTime, start: Option<WallTime>) -> WallTime {
        let (net, origin) = (&self.reactor.net, self.tester.origin);
        let readings = (0..READINGS).map(|_| {
            let before = net.now();
            let wall = wall();
            let took = net.now().since(before);
            (took, wall, before.since(origin) + took / 2)
        });
        let fastest = readings.min_by_key(|(took, ..)| *took);
        let (_, wall, age) = fastest.unwrap_or_default();
        let begun = WallTime(wall.0.saturating_sub(age));
        self.tester.config.start_in = start.map(|start| start.since(begun));
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_state_of_clocks_counts_as_not_compared() {
        let read = |text: &str| serde_json::from_str::<Clocks>(text).unwrap();
        for clocks in [Clocks::OneHost, Clocks::Compared, Clocks::NotCompared] {
            assert_eq!(read(&serde_json::to_string(&clocks).unwrap()), clocks);
        }
        assert_eq!(read("\"of a later version\""), Clocks::NotCompared);
    }
}
