//! The texts of warnings.

use super::Warning;
use crate::load::ConnectError;
use crate::numbers::grouped;
use serde_json::Value;
use std::fmt::{self, Formatter};
use std::time::Duration;

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use Warning as W;
        match self {
            W::WrongReplies(what, count) => write!(f, "WRONG REPLIES: {count} {}", what.name()),
            W::WrongRepliesUnmeasured(count) => {
                write!(f, "WRONG REPLIES outside the measured part: {count}")
            }
            W::WrongProbeReplies(count) => {
                write!(f, "WRONG REPLIES to probes of idle connections: {count}")
            }
            W::FirstWrongReply(found, expected) => first_wrong_reply(f, found, expected),
            W::RepliesUnfinished(count) => write!(
                f,
                "{count} replies never ended: they began, and the server sent no more of them"
            ),
            W::ConnectionsLost(lost, of) => write!(f, "{lost} of {of} connections were lost"),
            W::ProbesUnanswered(count, timeout) => probes_unanswered(f, *count, *timeout),
            W::MessagesUnanswered(count, of) => {
                write!(f, "{count} of {of} messages were never answered")
            }
            W::ConnectFailed(error, count, of) => connect_failed(f, *error, *count, *of),
            W::TlsFailed(reason, count, of) => write!(
                f,
                "{count} connections failed ({of} established) at TLS, the first since {reason}"
            ),
            W::SynRetransmits(count) => syn_retransmits(f, *count),
            W::ScheduleLag(p99) => schedule_lag(f, *p99),
            W::RateMissed(reached, of) => rate_missed(f, *reached, *of),
            W::ServerOverloaded(reached, of, outstanding) => {
                overloaded(f, *reached, *of, *outstanding)
            }
            W::NoReply(count) => no_reply(f, *count),
            W::Queueing(response, service) => queueing(f, *response, *service),
            W::NotAccepting(timeout) => not_accepting(f, *timeout),
            W::AcceptUnknown(count) => accept_unknown(f, *count),
            W::LateStart(late) => late_start(f, *late),
            W::Interrupted(stage) => write!(f, "interrupted by a signal {}", stage.description()),
            W::PartialOverlap(shared, whole, longest) => {
                partial_overlap(f, [*shared, *whole, *longest].map(seconds))
            }
            W::ClocksNotCompared(hosts) => clocks_not_compared(f, *hosts),
            W::PartsMissing(numbers, of) => parts_missing(f, numbers, *of),
            W::Other(Value::String(text)) => f.write_str(text),
            W::Other(value) => value.fmt(f),
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

fn first_wrong_reply(f: &mut Formatter<'_>, found: &str, expected: &str) -> fmt::Result {
    write!(f, "the first wrong reply was {found}")?;
    if expected.is_empty() {
        return Ok(());
    }
    write!(f, "; expected: {expected}")
}

fn probes_unanswered(f: &mut Formatter<'_>, count: u64, timeout: u64) -> fmt::Result {
    write!(
        f,
        "{count} idle connections were established and did not answer their probe within {} s of the last \
         reply to any probe",
        seconds(timeout)
    )
}

fn connect_failed(
    f: &mut Formatter<'_>,
    error: ConnectError,
    count: u64,
    established: u64,
) -> fmt::Result {
    let (name, remedy) = error.description();
    write!(
        f,
        "{count} connections failed ({established} established): {name}. {remedy}"
    )
}

fn syn_retransmits(f: &mut Formatter<'_>, count: u64) -> fmt::Result {
    write!(
        f,
        "BACKLOG OVERFLOW: {count} SYN retransmits: the server accepts more slowly than connections arrive; \
         raise its backlog and net.core.somaxconn, or slow down with --ramp or --window"
    )
}

fn schedule_lag(f: &mut Formatter<'_>, p99: u64) -> fmt::Result {
    write!(
        f,
        "SATURATED: this load tester sent messages {p99} us late (p99), so the times are its own as much as \
         the server's; lower --rate, or split the load over several processes"
    )
}

fn rate_missed(f: &mut Formatter<'_>, reached: u64, of: u64) -> fmt::Result {
    write!(
        f,
        "SATURATED: {reached} of {of} echoes per second were reached, and this load tester had no time left; lower \
         --rate, or split the load over several processes"
    )
}

fn overloaded(f: &mut Formatter<'_>, reached: u64, of: u64, outstanding: u64) -> fmt::Result {
    write!(
        f,
        "the server is overloaded: {} of {} echoes per second were reached, and {} messages were outstanding at \
         the end",
        grouped(reached),
        grouped(of),
        grouped(outstanding)
    )
}

fn no_reply(f: &mut Formatter<'_>, count: u64) -> fmt::Result {
    write!(
        f,
        "NO REPLY: none of {} messages was answered; check that the server echoes what it receives",
        grouped(count)
    )
}

fn queueing(f: &mut Formatter<'_>, response: u64, service: u64) -> fmt::Result {
    write!(
        f,
        "messages were queued before they were sent: the p99 is {response} us from when a message was due, \
         and {service} us from when it was sent"
    )
}

fn not_accepting(f: &mut Formatter<'_>, timeout: u64) -> fmt::Result {
    write!(
        f,
        "the server accepted no connection within {} s while some waited in its accept queue: it hangs, or it \
         has reached its limit of connections",
        seconds(timeout)
    )
}

fn accept_unknown(f: &mut Formatter<'_>, count: u64) -> fmt::Result {
    write!(
        f,
        "{count} idle connections are established, but it is unknown whether the server has accepted them: its \
         accept queue is not visible from this machine, and they were not probed (--probe)"
    )
}

fn late_start(f: &mut Formatter<'_>, late: u64) -> fmt::Result {
    write!(
        f,
        "the measured part began {:.1} s later than --start-at: connections were not established in time",
        seconds(late)
    )
}

fn partial_overlap(f: &mut Formatter<'_>, [shared, whole, longest]: [f64; 3]) -> fmt::Result {
    write!(
        f,
        "measured together for {shared:.1} of {longest:.1} s: figures per second are means over all {whole:.1} s, from \
         the first start to the last end; start all loads together with --start-at"
    )
}

fn clocks_not_compared(f: &mut Formatter<'_>, hosts: u64) -> fmt::Result {
    f.write_str("clocks were not compared: ")?;
    match hosts {
        1 => f.write_str("the loads of this host have different ones; give all the same --clock"),
        _ => write!(
            f,
            "if those of the {hosts} hosts differ, the loads were measured together for a shorter time; give all the \
             same --clock"
        ),
    }
}

/// `numbers` is one, or a list with ranges.
fn parts_missing(f: &mut Formatter<'_>, numbers: &str, of: u32) -> fmt::Result {
    let is_one = numbers.parse::<u32>().is_ok();
    let (parts, are) = if is_one {
        ("part", "is")
    } else {
        ("parts", "are")
    };
    write!(
        f,
        "{parts} {numbers} of {of} {are} missing: the figures are those of the other parts only"
    )
}
