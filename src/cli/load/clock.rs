//! `--clock` and `--start-at`: the clock that a load starts and records by.

use super::super::addresses::TargetAddress;
use super::super::connecting::cannot_start;
use super::super::{Failure, units, unresolved};
use crate::cli::value::by;
use crate::client::{self, ClockOffset, Target, compare_clocks};
use crate::load::{ReferenceClock, WallTime};
use crate::net::{MioNet, time_of_day};
use crate::numbers::as_f64;
use clap::Args;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// The flags of the clock.
#[derive(Debug, Args)]
pub(super) struct ClockFlags {
    /// Start measuring at TIME (RFC 3339, or +D from now), so that several hosts start together
    #[arg(long, value_name = "TIME", value_parser = by(start_time))]
    start_at: Option<StartTime>,

    /// Use the clock of HOST:PORT (serve -p clock) for --start-at and for what is saved, so that the clocks of several
    /// hosts need not agree
    #[arg(long, value_name = "HOST:PORT", value_parser = by(TargetAddress::parse), conflicts_with_all = ["find", "sweep"])]
    clock: Option<TargetAddress>,

    /// The offset that the parent process has measured
    #[arg(long, value_name = "OFFSET", hide = true, requires = "job")]
    job_clock: Option<Offset>,
}

/// The value of `--start-at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartTime {
    /// A time of the clock in use.
    At(WallTime),
    /// A delay, as the time of this machine at which it is over.
    After(WallTime),
}

/// A time of RFC 3339, or `+D` from now.
fn start_time(text: &str) -> Result<StartTime, String> {
    match text.strip_prefix('+') {
        Some(delay) => {
            let now = WallTime(time_of_day());
            Ok(StartTime::After(now + units::duration(delay)?))
        }
        None => text.parse().map(StartTime::At),
    }
}

/// A measured offset, as an argument of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset(ClockOffset);

/// Server, offset and uncertainty, both in nanoseconds.
impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClockOffset {
            server,
            nanoseconds,
            uncertainty,
        } = self.0;
        write!(f, "{server},{nanoseconds},{}", uncertainty.as_nanos())
    }
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Offset, String> {
        let mut parts = text.split(',');
        let mut next = || parts.next().unwrap_or_default();
        let (server, offset, uncertainty) = (next(), next(), next());
        let parsed = server.parse::<SocketAddr>().ok().and_then(|server| {
            Some(ClockOffset {
                server,
                nanoseconds: offset.parse().ok()?,
                uncertainty: Duration::from_nanos(uncertainty.parse().ok()?),
            })
        });
        parsed
            .map(Offset)
            .ok_or_else(|| "not an offset: write ADDRESS:PORT,NANOSECONDS,NANOSECONDS".to_owned())
    }
}

/// The clock that a load starts and records by: that of this machine, or another whose offset is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock(Option<Offset>);

impl ClockFlags {
    /// Whether the clock is that of another program.
    pub(super) fn is_remote(&self) -> bool {
        self.clock.is_some()
    }

    /// The clock, whose offset is measured now unless the parent process has measured it.
    pub(super) fn measure(&self, timeout: Duration) -> Result<Clock, Failure> {
        match (&self.clock, self.job_clock) {
            (Some(server), None) => offset_of(server, timeout).map(|offset| Clock(Some(offset))),
            (_, given) => Ok(Clock(given)),
        }
    }

    /// When the measured part is requested to begin.
    pub(super) fn start(&self, clock: Clock) -> Option<WallTime> {
        self.start_at.map(|start| match start {
            StartTime::At(time) => time,
            StartTime::After(time) => clock.of(time),
        })
    }
}

fn offset_of(server: &TargetAddress, timeout: Duration) -> Result<Offset, Failure> {
    let name = server.as_str();
    let addresses = server
        .resolve()
        .map_err(|error| unresolved("connect to", name, error))?;
    let target = Target {
        name: name.to_owned(),
        addresses,
        local: None,
        connect_timeout: Some(timeout),
    };
    let net = MioNet::new().map_err(|error| cannot_start(&error))?;
    match compare_clocks(net, target, time_of_day) {
        Ok(offset) => Ok(Offset(offset)),
        Err(failure @ client::Failure::Clock { .. }) => Err(failure.into()),
        // It could be that of the connections of the load.
        Err(failure) => Err(Failure(format!("--clock {name}: {failure}"))),
    }
}

impl Clock {
    /// The time now.
    pub(super) fn now(self) -> WallTime {
        self.of(WallTime(time_of_day()))
    }

    /// Its time at a time of this machine.
    fn of(self, time: WallTime) -> WallTime {
        self.0
            .map_or(time, |Offset(offset)| time.shifted(offset.nanoseconds))
    }

    /// What the result has about it.
    pub(super) fn to_result(self) -> Option<ReferenceClock> {
        self.0.map(|Offset(offset)| ReferenceClock {
            server: offset.server.to_string(),
            offset_us: microseconds(offset.nanoseconds),
            uncertainty_us: microseconds(to_i64(offset.uncertainty)),
        })
    }

    /// The arguments with which a child process has the same clock.
    pub(super) fn arguments(self) -> Vec<String> {
        let offset = self.0.map(|offset| format!("--job-clock={offset}"));
        offset.into_iter().collect()
    }
}

fn to_i64(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn microseconds(nanoseconds: i64) -> f64 {
    let length = as_f64(nanoseconds.unsigned_abs()) / 1e3;
    if nanoseconds < 0 { -length } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind() -> Offset {
        Offset(ClockOffset {
            server: "[::1]:9000".parse().unwrap(),
            nanoseconds: -3_000_000_012,
            uncertainty: Duration::from_nanos(8_001),
        })
    }

    #[test]
    fn offset_as_an_argument_is_parsed_to_the_same_offset() {
        assert_eq!(behind().to_string().parse(), Ok(behind()));
        for wrong in ["", "[::1]:9000", "[::1]:9000,1", "here,1,2", "[::1]:9,1,-2"] {
            assert!(wrong.parse::<Offset>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_those_of_the_reference_clock() {
        let clock = Clock(Some(behind()));
        let local = WallTime(Duration::from_secs(1_000));
        assert_eq!(clock.of(local).0, Duration::from_nanos(996_999_999_988));
        let shown = clock.to_result().unwrap();
        assert!((shown.offset_us + 3_000_000.012).abs() < 1e-6, "{shown:?}");
        assert!((shown.uncertainty_us - 8.001).abs() < 1e-6, "{shown:?}");
        assert_eq!(Clock::default().of(local), local);
        assert_eq!(Clock::default().to_result(), None);
    }

    #[test]
    fn delay_is_local_and_a_date_is_of_the_reference_clock() {
        let clock = Clock(Some(behind()));
        let flags = |start_at| ClockFlags {
            start_at: Some(start_at),
            clock: None,
            job_clock: None,
        };
        let time = WallTime(Duration::from_secs(1_000));
        assert_eq!(flags(StartTime::At(time)).start(clock), Some(time));
        let shifted = flags(StartTime::After(time)).start(clock);
        assert_eq!(shifted, Some(clock.of(time)));
        assert!(matches!(start_time("+1s"), Ok(StartTime::After(_))));
        assert!(start_time("noon").is_err());
    }
}
