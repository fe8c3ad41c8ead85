//! Warnings: what is wrong with a run, by type and with its figures.
//!
//! Figures alone look as if all were well, so every report begins with the warnings. A result holds each as text and by
//! type; merging sums the figures of equal types.

mod json;
mod text;

use super::saturation::MAX_LAG_US;
use super::tally::Tally;
use super::{Config, ConnectError, LoadResult, Stage};
use crate::echo::Mismatch;
use crate::numbers::whole;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Messages were queued if the response time exceeds the service time by more than this factor.
const QUEUEING: u64 = 2;

/// A warning with its figures. [`Display`](std::fmt::Display) gives its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", remote = "Self")]
pub enum Warning {
    /// Echo mismatches in the measured part: the type and the number.
    WrongReplies(Mismatch, u64),
    /// The number of echo mismatches outside the measured part.
    WrongRepliesUnmeasured(u64),
    /// The number of echo mismatches of probes.
    WrongProbeReplies(u64),
    /// The first wrong reply, and what was expected instead.
    FirstWrongReply(String, String),
    /// The number of replies that have begun and not ended.
    RepliesUnfinished(u64),
    /// The numbers of connections lost and established.
    ConnectionsLost(u64, u64),
    /// The number of dead idle connections, and the timeout in milliseconds.
    ProbesUnanswered(u64, u64),
    /// The numbers of messages unanswered and sent.
    MessagesUnanswered(u64, u64),
    /// The category of error, and the numbers of connections failed and established.
    ConnectFailed(ConnectError, u64, u64),
    /// Handshakes of TLS failed: the first reason, and the numbers of connections failed and established.
    TlsFailed(String, u64, u64),
    /// The number of SYN retransmits.
    SynRetransmits(u64),
    /// The p99 of the schedule lag in microseconds.
    ScheduleLag(u64),
    /// This process was the limit: echoes per second, reached and requested.
    RateMissed(u64, u64),
    /// The server was the limit: echoes per second, reached and requested, and the messages outstanding at the end of the
    /// measured part.
    ServerOverloaded(u64, u64, u64),
    /// No message was answered: the number of messages.
    NoReply(u64),
    /// The p99 of response time and service time in microseconds.
    Queueing(u64, u64),
    /// For how long the server accepted no connection while some waited, in milliseconds.
    #[serde(alias = "no_proof")]
    NotAccepting(u64),
    /// The number of idle connections that the server may not have accepted.
    AcceptUnknown(u64),
    /// How late the measured part began, in milliseconds.
    LateStart(u64),
    /// The stage in which a signal arrived.
    Interrupted(Stage),
    /// How long all merged loads were measured together, the whole time from the first start to the last end, and the
    /// longest measured time of a load, in milliseconds.
    PartialOverlap(u64, u64, u64),
    /// It is unknown whether the clocks of the merged loads agree: the number of hosts.
    ClocksNotCompared(u64),
    /// The numbers of the parts of a load that are missing, and the number of all parts.
    PartsMissing(String, u32),
    /// A warning of another version: its text, or what else is known.
    #[serde(skip)]
    Other(Value),
}

/// A figure, and how to merge it with that of another load.
type Figure<'a> = (&'a mut u64, fn(u64, u64) -> u64);

impl Warning {
    /// Whether replies were wrong, which is worse than any other warning.
    #[must_use]
    pub fn is_wrong_reply(&self) -> bool {
        self.to_string().starts_with("WRONG")
    }

    /// Merges the figures of the same warning of another load: counts are summed, and of times the longest remains.
    /// Returns false, and changes nothing, if `other` is a different warning.
    pub fn merge(&mut self, other: &Warning) -> bool {
        let without_figures = |warning: &Warning| {
            let mut kind = warning.clone();
            kind.figures()
                .into_iter()
                .for_each(|(figure, _)| *figure = 0);
            kind
        };
        let is_same = without_figures(self) == without_figures(other);
        if is_same {
            let mut other = other.clone();
            for ((own, merge), (more, _)) in self.figures().into_iter().zip(other.figures()) {
                *own = merge(*own, *more);
            }
        }
        is_same
    }

    fn figures(&mut self) -> Vec<Figure<'_>> {
        use Warning as W;
        // A file may contain any figure: a sum must not wrap.
        let (sum, longest): (fn(_, _) -> _, fn(_, _) -> _) = (u64::saturating_add, Ord::max);
        match self {
            W::WrongReplies(_, count)
            | W::WrongRepliesUnmeasured(count)
            | W::WrongProbeReplies(count)
            | W::AcceptUnknown(count)
            | W::RepliesUnfinished(count)
            | W::SynRetransmits(count)
            | W::NoReply(count) => vec![(count, sum)],
            W::ConnectionsLost(count, of)
            | W::MessagesUnanswered(count, of)
            | W::ConnectFailed(_, count, of)
            | W::TlsFailed(_, count, of)
            | W::RateMissed(count, of) => vec![(count, sum), (of, sum)],
            W::ServerOverloaded(count, of, outstanding) => {
                vec![(count, sum), (of, sum), (outstanding, sum)]
            }
            W::ProbesUnanswered(count, timeout) => vec![(count, sum), (timeout, longest)],
            W::Queueing(one, other) => vec![(one, longest), (other, longest)],
            W::ScheduleLag(time) | W::NotAccepting(time) | W::LateStart(time) => {
                vec![(time, longest)]
            }
            W::Interrupted(_)
            | W::PartialOverlap(..)
            | W::ClocksNotCompared(_)
            | W::FirstWrongReply(..)
            | W::PartsMissing(..)
            | W::Other(_) => Vec::new(),
        }
    }
}

/// Whole milliseconds, as warnings hold a time.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The warnings about a result, the worst first.
pub(super) fn warnings(result: &LoadResult, config: &Config, tally: &Tally) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |applies: bool, warning| {
        if applies {
            found.push(warning);
        }
    };
    let (connections, probe, echo) = (&result.connections, &result.probe, &result.echo);
    let (lost, opened) = (connections.lost, connections.opened);
    for (mismatch, count) in &tally.mismatches {
        warn(true, Warning::WrongReplies(*mismatch, *count));
    }
    let count = tally.unmeasured_mismatches;
    warn(count > 0, Warning::WrongRepliesUnmeasured(count));
    let count = probe.mismatched;
    warn(count > 0, Warning::WrongProbeReplies(count));
    // The limit of the load decides what all other figures mean.
    if let Some(warning) = limits(result, config, tally) {
        warn(true, warning);
    }
    let (messages, missing) = (tally.ended_messages(), echo.missing);
    let is_silent = tally.replies == 0 && echo.unanswered > 0;
    warn(is_silent, Warning::NoReply(messages));
    warn(lost > 0, Warning::ConnectionsLost(lost, opened));
    let (count, timeout) = (probe.dead - probe.lost, config.connect_timeout);
    warn(
        count > 0,
        Warning::ProbesUnanswered(count, milliseconds(timeout)),
    );
    let is_missing = missing > 0 && !is_silent;
    warn(is_missing, Warning::MessagesUnanswered(missing, messages));
    for error in ConnectError::ALL {
        let count = connections.failed.of(error);
        warn(count > 0, connect_failed(error, count, opened, tally));
    }
    // A full accept queue shows only in the SYNs that the server's kernel drops.
    let count = result.connect.retransmitted;
    warn(count > 0, Warning::SynRetransmits(count));
    // The difference that coordinated omission hides.
    let (response, service) = (echo.response_time_us.p99, echo.service_time_us.p99);
    let is_queued = response > service.saturating_mul(QUEUEING) && response > MAX_LAG_US;
    let is_answered = echo.service_time_us.count > 0 && !tally.has_missed_rate();
    warn(
        is_queued && is_answered,
        Warning::Queueing(response, service),
    );
    found.extend_from_slice(&tally.remarks);
    found
}

fn connect_failed(error: ConnectError, count: u64, opened: u64, tally: &Tally) -> Warning {
    let handshakes = tally.handshakes.as_ref();
    match handshakes.and_then(|all| all.first_failure.as_ref()) {
        Some(first) if error == ConnectError::Tls => {
            let reason = format!("{first}; {}", first.remedy());
            Warning::TlsFailed(reason, count, opened)
        }
        _ => Warning::ConnectFailed(error, count, opened),
    }
}

/// Whether this process or the server was the limit, if one of them was.
fn limits(result: &LoadResult, config: &Config, tally: &Tally) -> Option<Warning> {
    let (lag, is_saturated) = (result.generator.lag_us.p99, result.generator.saturated);
    let echo = &result.echo;
    let [reached, rate] = [echo.per_second, config.rate.unwrap_or_default()].map(whole);
    if is_saturated && lag > MAX_LAG_US {
        Some(Warning::ScheduleLag(lag))
    } else if is_saturated {
        Some(Warning::RateMissed(reached, rate))
    } else {
        let outstanding = echo.outstanding;
        let overloaded = Warning::ServerOverloaded(reached, rate, outstanding);
        tally.has_missed_rate().then_some(overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_warnings_merge_by_sum_or_maximum() {
        let merged = |mut one: Warning, other: Warning| {
            assert!(one.merge(&other), "{one} and {other}");
            one
        };
        let wrong = |count| Warning::WrongReplies(Mismatch::Changed, count);
        assert_eq!(merged(wrong(3), wrong(1)), wrong(4));
        let lost = Warning::ConnectionsLost;
        let most = u64::MAX;
        assert_eq!(merged(lost(3, 10), lost(1, most)), lost(4, most));
        let queueing = Warning::Queueing;
        let merged_queueing = merged(queueing(2000, 900), queueing(7000, 30));
        assert_eq!(merged_queueing, queueing(7000, 900));
        let dead = Warning::ProbesUnanswered;
        assert_eq!(merged(dead(3, 1000), dead(1, 2000)), dead(4, 2000));
    }

    #[test]
    fn figures_of_overload_are_added() {
        let mut one = Warning::ServerOverloaded(100, 200, 50);
        assert!(one.merge(&Warning::ServerOverloaded(10, 20, 5)));
        assert_eq!(one, Warning::ServerOverloaded(110, 220, 55));
        let mut silent = Warning::NoReply(3);
        assert!(silent.merge(&Warning::NoReply(4)));
        assert_eq!(silent, Warning::NoReply(7));
    }

    #[test]
    fn warnings_about_different_things_do_not_merge() {
        let failed = |error| Warning::ConnectFailed(error, 1, 2);
        let mut refused = failed(ConnectError::Refused);
        assert!(!refused.merge(&failed(ConnectError::Timeout)));
        assert!(!refused.merge(&Warning::SynRetransmits(1)));
        assert_eq!(refused, failed(ConnectError::Refused));
        let mut warmup = Warning::Interrupted(Stage::Warmup);
        assert!(!warmup.merge(&Warning::Interrupted(Stage::Probing)));
    }

    #[test]
    fn json_round_trips_and_an_unknown_kind_is_kept() {
        for text in [
            r#"{"kind":"wrong_replies","figures":["changed",2]}"#,
            r#"{"kind":"connect_failed","figures":["no_ports",3,4]}"#,
            r#"{"kind":"interrupted","figures":"measuring"}"#,
            r#"{"kind":"syn_retransmits","figures":9}"#,
            r#""late by 217 us""#,
            r#"{"kind":"partial_overlap","figures":[900,4100,3000]}"#,
        ] {
            let warning: Warning = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&warning).unwrap(), text);
        }
        // Of an older version, which had two figures.
        let older = r#"{"kind":"partial_overlap","figures":[900,4100]}"#;
        let older: Warning = serde_json::from_str(older).unwrap();
        assert!(matches!(older, Warning::Other(_)));
        let unknown: Warning = serde_json::from_str(r#"{"kind":"of a later version"}"#).unwrap();
        assert!(matches!(unknown, Warning::Other(_)));
    }
}
