//! Warnings: what is wrong with a run, by type and with its figures.
//!
//! Figures alone look as if all were well, so every report begins with the warnings. A result holds each as text and by
//! type; merging sums the figures of equal types.

use super::tally::{MAX_LAG_US, Tally};
use super::{Config, ConnectError, LoadResult, Stage};
use crate::echo::Mismatch;
use crate::numbers::whole;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Messages were queued if the response time exceeds the service time by more than this factor.
const QUEUEING: u64 = 2;

/// A warning with its figures. [`Display`](fmt::Display) gives its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "figures", rename_all = "snake_case")]
pub enum Warning {
    /// Echo mismatches in the measured part: the type and the number.
    WrongReplies(Mismatch, u64),
    /// The number of echo mismatches outside the measured part.
    WrongRepliesUnmeasured(u64),
    /// The number of echo mismatches of probes.
    WrongProbeReplies(u64),
    /// The numbers of connections lost and established.
    ConnectionsLost(u64, u64),
    /// The number of dead idle connections, and the timeout in milliseconds.
    ProbesUnanswered(u64, u64),
    /// The numbers of messages unanswered and sent.
    MessagesUnanswered(u64, u64),
    /// The category of error, and the numbers of connections failed and established.
    ConnectFailed(ConnectError, u64, u64),
    /// The number of SYN retransmits.
    SynRetransmits(u64),
    /// The p99 of the schedule lag in microseconds.
    ScheduleLag(u64),
    /// Echoes per second, reached and requested.
    RateMissed(u64, u64),
    /// The p99 of response time and service time in microseconds.
    Queueing(u64, u64),
    /// The timeout in milliseconds after which the load stopped waiting for proofs.
    NoProof(u64),
    /// How late the measured part began, in milliseconds.
    LateStart(u64),
    /// The stage in which a signal arrived.
    Interrupted(Stage),
    /// How long all merged loads were measured together, and the whole time, in milliseconds.
    PartialOverlap(u64, u64),
    /// A warning of another version: its text, or what else is known.
    #[serde(untagged)]
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
            | W::SynRetransmits(count) => vec![(count, sum)],
            W::ConnectionsLost(count, of)
            | W::MessagesUnanswered(count, of)
            | W::ConnectFailed(_, count, of)
            | W::RateMissed(count, of) => vec![(count, sum), (of, sum)],
            W::ProbesUnanswered(count, timeout) => vec![(count, sum), (timeout, longest)],
            W::Queueing(one, other) => vec![(one, longest), (other, longest)],
            W::ScheduleLag(time) | W::NoProof(time) | W::LateStart(time) => vec![(time, longest)],
            W::Interrupted(_) | W::PartialOverlap(..) | W::Other(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Warning as W;
        match self {
            W::WrongReplies(what, count) => write!(f, "WRONG REPLIES: {count} {}", what.name()),
            W::WrongRepliesUnmeasured(count) => {
                write!(f, "WRONG REPLIES outside the measured part: {count}")
            }
            W::WrongProbeReplies(count) => {
                write!(f, "WRONG REPLIES to probes of idle connections: {count}")
            }
            W::ConnectionsLost(lost, of) => write!(f, "{lost} of {of} connections were lost"),
            W::ProbesUnanswered(count, timeout) => write!(
                f,
                "{count} idle connections were established and did not answer their probe within {} s of the last \
                 reply to any probe",
                seconds(*timeout)
            ),
            W::MessagesUnanswered(count, of) => {
                write!(f, "{count} of {of} messages were never answered")
            }
            W::ConnectFailed(error, count, established) => {
                let (name, remedy) = error.description();
                write!(
                    f,
                    "{count} connections failed ({established} established): {name}. {remedy}"
                )
            }
            W::SynRetransmits(count) => write!(
                f,
                "BACKLOG OVERFLOW: {count} SYN retransmits: the server accepts more slowly than connections arrive; \
                 raise its backlog and net.core.somaxconn, or slow down with --ramp or --window"
            ),
            W::ScheduleLag(p99) => write!(
                f,
                "SATURATED: this load tester sent messages {p99} us late (p99), so the times are its own as much as \
                 the server's; lower --rate, or split the load over several processes"
            ),
            W::RateMissed(reached, of) => {
                write!(
                    f,
                    "SATURATED: {reached} of {of} echoes per second were reached"
                )
            }
            W::Queueing(response, service) => write!(
                f,
                "messages were queued before they were sent: the p99 is {response} us from when a message was due, \
                 and {service} us from when it was sent"
            ),
            W::NoProof(timeout) => write!(
                f,
                "the server sent no echo within {} s while connections were opened, so it is unknown whether it \
                 accepts them",
                seconds(*timeout)
            ),
            W::LateStart(late) => write!(
                f,
                "the measured part began {:.1} s later than --start-at: connections were not established in time",
                seconds(*late)
            ),
            W::Interrupted(stage) => write!(f, "interrupted by a signal {}", stage.description()),
            W::PartialOverlap(shared, whole) => write!(
                f,
                "all loads were measured at the same time for only {:.1} s of {:.1} s: figures per second are means \
                 over the whole (start them together with --start-at)",
                seconds(*shared),
                seconds(*whole)
            ),
            W::Other(Value::String(text)) => f.write_str(text),
            W::Other(value) => value.fmt(f),
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
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
    warn(lost > 0, Warning::ConnectionsLost(lost, opened));
    let (count, timeout) = (probe.dead.saturating_sub(lost), config.connect_timeout);
    warn(
        count > 0,
        Warning::ProbesUnanswered(count, milliseconds(timeout)),
    );
    let (count, sent) = (echo.unanswered, echo.sent);
    warn(count > 0, Warning::MessagesUnanswered(count, sent));
    for error in ConnectError::ALL {
        let count = connections.failed.of(error);
        warn(count > 0, Warning::ConnectFailed(error, count, opened));
    }
    // A full accept queue shows only in the SYNs that the server's kernel drops.
    let count = result.connect.retransmitted;
    warn(count > 0, Warning::SynRetransmits(count));
    let (lag, is_saturated) = (result.generator.lag_us.p99, result.generator.saturated);
    let is_late = lag > MAX_LAG_US;
    warn(is_saturated && is_late, Warning::ScheduleLag(lag));
    let [reached, rate] = [echo.per_second, config.rate.unwrap_or_default()].map(whole);
    warn(is_saturated && !is_late, Warning::RateMissed(reached, rate));
    // The difference that coordinated omission hides.
    let (response, service) = (echo.response_time_us.p99, echo.service_time_us.p99);
    let is_queued = response > service.saturating_mul(QUEUEING) && response > MAX_LAG_US;
    warn(is_queued, Warning::Queueing(response, service));
    found.extend_from_slice(&tally.remarks);
    found
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
        ] {
            let warning: Warning = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&warning).unwrap(), text);
        }
        let unknown: Warning = serde_json::from_str(r#"{"kind":"of a later version"}"#).unwrap();
        assert!(matches!(unknown, Warning::Other(_)));
    }
}
