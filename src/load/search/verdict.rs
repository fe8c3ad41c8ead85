//! Whether a step is met, or why not.

use super::Quantity;
use crate::load::saturation::MAX_LAG_US;
use crate::load::{Condition, Config, ConnectError, Expectation, LoadResult};

/// The share of the requested rate that a step must reach.
const MIN_RATE_REACHED: f64 = 0.98;

/// Why a step is not met.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Wrong replies, and their number.
    WrongReplies(u64),
    /// Connections that were not established: the most frequent category, and the number of all.
    ConnectFailed(ConnectError, u64),
    /// The number of connections lost.
    Lost(u64),
    /// The number of idle connections that did not answer their probe.
    ProbesUnanswered(u64),
    /// The load tester was late: the p99 of its schedule lag, in microseconds.
    LoadTester(u64),
    /// The condition does not hold; the figure found, and whether it is a lower bound.
    Condition(Expectation, bool),
    /// The rate reached.
    Rate(f64),
    /// The number of messages that were not answered.
    Unanswered(u64),
    /// No message was answered.
    NoReplies,
}

/// The verdict on a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Why the step is not met; `None` if it is.
    pub cause: Option<Cause>,
    /// If connections failed or were lost, how many of those varied were held.
    pub held: Option<u64>,
}

impl Verdict {
    /// Whether the step is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.cause.is_none()
    }
}

/// Judges a step with this configuration: the condition must hold, the requested rate must be reached, and nothing may
/// have failed.
#[must_use]
pub fn judge(
    what: Quantity,
    config: &Config,
    result: &LoadResult,
    condition: Option<&Condition>,
) -> Verdict {
    let (connections, echo, probe) = (&result.connections, &result.echo, &result.probe);
    let failed = connections.failed.total();
    // A lost idle connection counts as dead, too.
    let missing = failed + connections.lost.max(probe.dead);
    let wrong = echo.mismatched + probe.mismatched;
    let rate = config.rate.filter(|_| config.active > 0);
    let cause = if wrong > 0 {
        Some(Cause::WrongReplies(wrong))
    } else if failed > 0 {
        Some(Cause::ConnectFailed(most_frequent(result), failed))
    } else if connections.lost > 0 {
        Some(Cause::Lost(connections.lost))
    } else if probe.dead > 0 {
        Some(Cause::ProbesUnanswered(probe.dead))
    } else {
        latency_or_rate(rate, result, condition)
    };
    let value = match what {
        Quantity::Rate => None,
        Quantity::Active => Some(config.active),
        Quantity::Idle => Some(config.idle),
    };
    let value = value.filter(|_| missing > 0);
    Verdict {
        cause,
        held: value.map(|value| u64::from(value).saturating_sub(missing)),
    }
}

fn latency_or_rate(
    rate: Option<f64>,
    result: &LoadResult,
    condition: Option<&Condition>,
) -> Option<Cause> {
    let echo = &result.echo;
    let found = condition.map(|condition| condition.check(result));
    let missed = found.filter(|found| !found.met);
    let missed = missed.map(|found| match echo.response_time_us.count {
        0 if condition.is_some_and(Condition::needs_echoes) => Cause::NoReplies,
        _ => Cause::Condition(
            found,
            condition.is_some_and(|one| one.is_lower_bound(result)),
        ),
    });
    let reached = echo.per_second;
    // Replies in whole numbers: one fewer may be due to where the measured part begins.
    let replies = reached * result.seconds + 1.0;
    let is_slow = rate.is_some_and(|rate| replies < rate * result.seconds * MIN_RATE_REACHED);
    let cause = missed
        .or_else(|| is_slow.then_some(Cause::Rate(reached)))
        .or_else(|| (echo.unanswered > 0).then_some(Cause::Unanswered(echo.unanswered)))?;
    let lag = result.generator.lag_us.p99;
    // Half of the response time or more was not spent in the server.
    let is_late = lag > MAX_LAG_US && lag >= echo.response_time_us.p99 / 2;
    Some(if rate.is_some() && is_late {
        Cause::LoadTester(lag)
    } else {
        cause
    })
}

fn most_frequent(result: &LoadResult) -> ConnectError {
    let failed = result.connections.failed;
    let all = ConnectError::ALL.into_iter();
    all.max_by_key(|error| failed.of(*error))
        .unwrap_or(ConnectError::Other)
}
