//! What is wrong with a run, in sentences: the worst first, because figures alone are read as if all were well.

use super::config::Config;
use super::result::LoadResult;
use super::surroundings::Stage;
use super::tally::{MOST_LAG_US, Mismatches, Tally};
use std::time::Duration;

/// By how much response time exceeds service time when messages wait to be sent.
const QUEUEING: u64 = 2;

/// What is wrong, the worst first.
pub(super) fn warnings(
    result: &LoadResult,
    config: &Config,
    tally: &Tally,
    remarks: &[String],
) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(wrong_replies(result, tally));
    found.extend(lost(result, config));
    found.extend(failed(result));
    found.extend(overflow(result));
    found.extend(saturated(result, config));
    found.extend(queueing(result));
    found.extend_from_slice(remarks);
    found
}

fn wrong_replies(result: &LoadResult, tally: &Tally) -> Vec<String> {
    let mut found = Vec::new();
    let Mismatches {
        other_connection,
        out_of_order,
        changed,
        unasked,
    } = tally.mismatches;
    for (count, what) in [
        (other_connection, "were another connection's"),
        (out_of_order, "came twice or out of order"),
        (changed, "had other bytes than were sent"),
        (unasked, "came unasked"),
    ] {
        if count > 0 {
            found.push(format!("WRONG REPLIES: {count} {what}"));
        }
    }
    if tally.mismatched_elsewhere > 0 {
        let count = tally.mismatched_elsewhere;
        found.push(format!(
            "WRONG REPLIES outside of the measured part: {count}"
        ));
    }
    if result.probe.mismatched > 0 {
        let count = result.probe.mismatched;
        found.push(format!(
            "WRONG REPLIES: {count} idle connections answered their probe wrongly"
        ));
    }
    found
}

fn lost(result: &LoadResult, config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let (lost, opened) = (result.connections.lost, result.connections.opened);
    if lost > 0 {
        found.push(format!(
            "{lost} of {opened} connections were lost while they were held"
        ));
    }
    let silent = result.probe.dead.saturating_sub(lost);
    if silent > 0 {
        found.push(format!(
            "{silent} idle connections stood and did not answer their probe within {} s of the last reply to any probe",
            config.connect_timeout.as_secs_f64()
        ));
    }
    if result.echo.unanswered > 0 {
        let (count, sent) = (result.echo.unanswered, result.echo.sent);
        found.push(format!("{count} of {sent} messages were never answered"));
    }
    found
}

fn failed(result: &LoadResult) -> Vec<String> {
    let failed = &result.connections.failed;
    let causes = [
        (
            failed.no_files,
            "no descriptor was left here: raise the limit (echoloop doctor --role client shows how), or share the load \
             among several processes",
        ),
        (
            failed.no_ports,
            "no port was left at the source addresses: give more of them with --sources, or a wider range of ports \
             (echoloop doctor --role client shows how)",
        ),
        (
            failed.refused,
            "the server's machine refused them: nobody listens there (any more)",
        ),
        (
            failed.reset,
            "the server closed them as soon as it had accepted them: it is full, or out of descriptors",
        ),
        (failed.timeout, "no answer within --connect-timeout"),
        (failed.other, "another error; -v shows each"),
    ];
    let opened = result.connections.opened;
    let found = causes.into_iter().filter(|(count, _)| *count > 0);
    found
        .map(|(count, cause)| {
            format!("{count} connections could not be opened ({opened} were): {cause}")
        })
        .collect()
}

/// A full backlog shows only in the SYNs that the server's kernel drops, which are retransmitted after a second.
fn overflow(result: &LoadResult) -> Option<String> {
    let count = result.connect.retransmitted;
    (count > 0).then(|| {
        format!(
            "BACKLOG OVERFLOW: {count} SYN retransmits, since the server does not accept as fast as connections come: \
             raise its backlog (and net.core.somaxconn), or slow down with --ramp or --window"
        )
    })
}

fn saturated(result: &LoadResult, config: &Config) -> Option<String> {
    let rate = config.rate?;
    let generator = &result.generator;
    if !generator.saturated {
        return None;
    }
    Some(if generator.lag_us.p99 > MOST_LAG_US {
        format!(
            "SATURATED: this load tester was late by {} us (p99): the times are its own as much as the server's; \
             ask for less, or share the load among several processes",
            generator.lag_us.p99
        )
    } else {
        format!(
            "SATURATED: {:.0} of {rate:.0} echoes per second were reached",
            result.echo.per_second
        )
    })
}

/// The difference that coordinated omission hides.
fn queueing(result: &LoadResult) -> Option<String> {
    let (response, service) = (&result.echo.response_time_us, &result.echo.service_time_us);
    (response.p99 > service.p99.saturating_mul(QUEUEING) && response.p99 > MOST_LAG_US).then(|| {
        format!(
            "messages waited to be sent: of 100, one took more than {} us from when it was due, \
             and more than {} us from when it was sent",
            response.p99, service.p99
        )
    })
}

/// The server does not answer what it was asked while connections were opened.
pub(super) fn no_proof(patience: Duration) -> String {
    format!(
        "the server gave no echo within {} s while connections were opened: whether it accepts them is not known",
        patience.as_secs_f64()
    )
}

/// The time to begin had passed before everything was ready.
pub(super) fn late_start(late: Duration) -> String {
    format!(
        "the measured part began {:.1} s later than --start-at says: connections were not open in time",
        late.as_secs_f64()
    )
}

/// A signal has ended it.
pub(super) fn interrupted(stage: Stage) -> String {
    let what = match stage {
        Stage::Opening => "while connections were opened",
        Stage::Waiting | Stage::Warmup => "before the measured part",
        Stage::Measuring => "in the measured part",
        Stage::Settling | Stage::Probing | Stage::Done => "after the measured part",
    };
    format!("a signal ended it {what}")
}
