//! The patterns under one load: first idle clients, then active ones that echo on schedule.
//!
//! The order is the experiment. A pool of workers appears healthy if the active clients come first; behind as many idle
//! clients as it has workers, it replies to none.
//!
//! - `Server`: a pattern as a process.
//! - `IdleClients`: connections that never send.
//! - `Traffic`: the active clients, a child process `echoloop load`.
//! - `Usage`: CPU time and context switches of the server's processes.
//!
//! Out: a [`Row`] for each pattern and number of idle clients, as text ([`text()`]), JSON, and a page ([`page()`]).

mod idle;
mod page;
mod row;
#[cfg(test)]
mod sample;
mod server;
mod text;
mod traffic;
mod usage;

pub use page::page;
pub use row::{Failure, FailureKind, Idle, Row};
pub use text::text;

use crate::lab::patterns::{Family, Pattern};
use crate::load::Saved;
use crate::numbers::{as_f64, grouped};
use crate::sorting;
use idle::IdleClients;
use serde::Serialize;
use server::Server;
use std::io;
use std::time::Duration;
use traffic::{Report, Traffic};
use usage::{Usage, available_memory};

/// The version of the JSON; it increases when a field changes its meaning.
const SCHEMA: u32 = 1;

/// The time before the measured part in which messages are not counted.
const WARMUP: Duration = Duration::from_millis(250);

/// The share of the messages due that must be answered.
const MIN_ANSWERED: f64 = 0.98;

/// The load is the limit if it uses this much of a CPU.
const SATURATED_PERCENT: f64 = 95.0;

/// What a process per client takes at most, to stop before the memory is used up.
const BYTES_PER_PROCESS: u64 = 200_000;

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Idle clients.
    pub idle: usize,
    /// Active clients.
    pub active: usize,
    /// Messages per second over all active clients.
    pub rate: u32,
    /// The measured time of each row, in seconds.
    pub seconds: u32,
    /// How often each row is measured; in a round, all of them once.
    pub rounds: usize,
    /// Threads or processes of the patterns with a fixed number.
    pub workers: usize,
    /// Further numbers of idle clients, in ascending order, for the charts.
    pub sizes: Vec<usize>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The version of this format.
    pub schema: u32,
    /// Active clients.
    pub active: usize,
    /// Messages per second over all active clients.
    pub rate: u32,
    /// The measured time of each row.
    pub seconds: u32,
    /// How often each row was measured. Each row shown is that of the round with the median CPU time per echo.
    pub rounds: usize,
    /// Threads or processes of the patterns with a fixed number.
    pub workers: usize,
    /// CPU time per echo of the serial server with one client, at the same rate.
    pub serial_cpu_us_per_echo: Option<f64>,
    /// All patterns among the same number of idle clients.
    pub patterns: Vec<Row>,
    /// Each pattern among growing numbers of idle clients, up to the first at which it fails. Empty without charts.
    pub series: Vec<Row>,
}

/// Measures the patterns. `progress` gets a line before each row.
///
/// # Errors
/// A resource of this process, or the load, has failed. Failures of patterns are in their rows.
pub fn compare(
    patterns: &[&Pattern],
    plan: &Plan,
    progress: &mut dyn FnMut(&str),
) -> io::Result<Comparison> {
    let mut baseline = Vec::new();
    let mut measured: Vec<Vec<Row>> = patterns.iter().map(|_| Vec::new()).collect();
    for round in 1..=plan.rounds {
        let round = match plan.rounds {
            1 => String::new(),
            rounds => format!("round {round} of {rounds}  "),
        };
        if let Some(serial) = Pattern::find("serial") {
            progress(&format!(
                "{round}baseline  serial with one client, none idle"
            ));
            baseline.push(measure(serial, 0, 1, plan)?);
        }
        for (index, (pattern, rows)) in patterns.iter().zip(&mut measured).enumerate() {
            let place = format!("{round}{:>2} of {}", index + 1, patterns.len());
            rows.extend(measure_all(pattern, plan, &mut |idle| {
                let idle = grouped(idle as u64);
                progress(&format!(
                    "{place}  {:<11} {idle:>6} idle clients",
                    pattern.name
                ));
            })?);
        }
    }
    let serial = typical(&baseline, 0).and_then(|row| row.cpu_us_per_echo);
    for row in measured.iter_mut().flatten() {
        row.subtract(serial);
    }
    let mut series = Vec::new();
    for rows in &measured {
        for row in plan
            .chart_sizes()
            .iter()
            .map_while(|size| typical(rows, *size))
        {
            series.push(row.clone());
            if row.failure.is_some() {
                break;
            }
        }
    }
    let typical_row = |rows: &Vec<Row>| typical(rows, plan.idle).cloned();
    Ok(Comparison {
        schema: SCHEMA,
        active: plan.active,
        rate: plan.rate,
        seconds: plan.seconds,
        rounds: plan.rounds,
        workers: plan.workers,
        serial_cpu_us_per_echo: serial,
        patterns: measured.iter().filter_map(typical_row).collect(),
        series,
    })
}

/// The row with the median CPU time per echo of all rounds among `idle` clients. Rows that failed come last.
fn typical(rows: &[Row], idle: usize) -> Option<&Row> {
    let mut rows: Vec<&Row> = rows.iter().filter(|row| row.idle.asked == idle).collect();
    let cost = |row: &Row| row.cpu_us_per_echo.unwrap_or(f64::INFINITY);
    sorting::sort_by(&mut rows, |one, other| {
        let has_failed = |row: &Row| row.failure.is_some();
        let by_failure = has_failed(one).cmp(&has_failed(other));
        by_failure.then(cost(one).total_cmp(&cost(other)))
    });
    rows.get(rows.len().saturating_sub(1) / 2).copied()
}

impl Plan {
    /// The numbers of idle clients in the charts, in ascending order.
    fn chart_sizes(&self) -> Vec<usize> {
        let mut sizes = self.sizes.clone();
        if !sizes.is_empty() {
            sizes.push(self.idle);
            sorting::sort(&mut sizes);
            sizes.dedup();
        }
        sizes
    }
}

/// Measures a pattern once: among the idle clients of the table, then among those of the charts, up to the first number at
/// which it fails.
fn measure_all(
    pattern: &Pattern,
    plan: &Plan,
    announce: &mut dyn FnMut(usize),
) -> io::Result<Vec<Row>> {
    announce(plan.idle);
    let mut rows = vec![measure(pattern, plan.idle, plan.active, plan)?];
    for idle in plan.chart_sizes() {
        if idle != plan.idle {
            announce(idle);
            rows.push(measure(pattern, idle, plan.active, plan)?);
        }
        if typical(&rows, idle).is_some_and(|row| row.failure.is_some()) {
            break;
        }
    }
    Ok(rows)
}

/// Measures a pattern among `idle` clients.
fn measure(pattern: &Pattern, idle: usize, active: usize, plan: &Plan) -> io::Result<Row> {
    let mut row = empty_row(pattern, idle, plan.workers);
    if let Some(failure) = lacks_memory(pattern, idle + active) {
        row.failure = Some(failure);
        return Ok(row);
    }
    let mut server = match Server::start(pattern, plan.workers) {
        Ok(server) => server,
        Err(error) => {
            row.failure = Some(Failure {
                kind: FailureKind::NotStarted,
                reason: format!("not started: {error}"),
            });
            return Ok(row);
        }
    };
    let clients = IdleClients::open(server.address, idle)?;
    row.idle.opened = clients.opened();
    row.idle.queued = clients.queued;
    row.idle.accepted = clients.opened().saturating_sub(clients.queued);
    if server.is_running() {
        drive(&mut row, &server, active, plan)?;
    }
    let has_ended = !server.is_running();
    // Before the clients close, so that a server that is waiting for them serves no other.
    let log = server.end();
    drop(clients);
    row.failure = if has_ended {
        Some(Failure {
            kind: FailureKind::Ended,
            reason: format!("ended: {log}"),
        })
    } else {
        failure(&row, pattern, active, plan)
    };
    Ok(row)
}

fn empty_row(pattern: &Pattern, idle: usize, workers: usize) -> Row {
    Row {
        pattern: pattern.name,
        family: pattern.family,
        places: pattern.places(workers),
        idle: Idle {
            asked: idle,
            ..Idle::default()
        },
        active_opened: 0,
        echoes_per_second: 0.0,
        cpu_us_per_echo: None,
        cpu_us_above_serial: None,
        p50_us: None,
        p99_us: None,
        threads: 0,
        processes: 0,
        pss_bytes: None,
        switches_per_echo: None,
        load_cpu_percent: 0.0,
        saturated: false,
        overloaded: false,
        failure: None,
    }
}

/// A thousand programs fit anywhere; ten thousand do not.
fn lacks_memory(pattern: &Pattern, clients: usize) -> Option<Failure> {
    let needed = BYTES_PER_PROCESS * clients as u64;
    let is_process = pattern.family == Family::PerClient && pattern.workers == "processes";
    let fits = available_memory().is_none_or(|available| needed < available / 2);
    (is_process && !fits).then(|| Failure {
        kind: FailureKind::NotTried,
        reason: "not tried: it could use half of the memory".to_owned(),
    })
}

/// Runs the active clients, and adds their figures and the server's.
fn drive(row: &mut Row, server: &Server, active: usize, plan: &Plan) -> io::Result<()> {
    let mut traffic = Traffic::start(server.address, active, plan)?;
    let (mut before, mut after) = (server.usage(), None);
    let saved = loop {
        match traffic.next()? {
            Report::Connected => {
                before = server.usage();
                traffic.begin()?;
            }
            Report::Measured => after = Some(server.usage()),
            Report::Result(saved) => break saved,
        }
    };
    row.pss_bytes = server.pss_bytes();
    let usage = after.unwrap_or_else(|| server.usage());
    traffic.finish();
    row.threads = usage.threads;
    row.processes = usage.processes;
    add_result(row, &saved, plan);
    let seconds = f64::from(plan.seconds) + WARMUP.as_secs_f64();
    add_usage(row, usage.since(before), row.echoes_per_second * seconds);
    Ok(())
}

fn add_result(row: &mut Row, saved: &Saved, plan: &Plan) {
    let result = &saved.result;
    row.active_opened = result.connections.opened;
    row.echoes_per_second = result.echo.per_second;
    let times = &result.echo.response_time_us;
    if result.echo.received > 0 {
        (row.p50_us, row.p99_us) = (Some(times.p50), Some(times.p99));
    }
    row.load_cpu_percent = result.generator.cpu_percent;
    // Without a reply, the load has nothing to do.
    let is_limit = result.generator.saturated || row.load_cpu_percent >= SATURATED_PERCENT;
    row.saturated = is_limit && result.echo.received > 0;
    let is_slow = row.echoes_per_second < MIN_ANSWERED * f64::from(plan.rate);
    // The load counts messages as missing that overload does not explain.
    row.overloaded = is_slow && result.echo.received > 0 && result.echo.missing == 0;
}

fn add_usage(row: &mut Row, used: Usage, echoes: f64) {
    if echoes >= 1.0 {
        row.cpu_us_per_echo = Some(as_f64(used.cpu_nanos) / 1e3 / echoes);
        row.switches_per_echo = Some(as_f64(used.switches) / echoes);
    }
}

/// Why this row is a failure of a running server, if it is.
fn failure(row: &Row, pattern: &Pattern, active: usize, plan: &Plan) -> Option<Failure> {
    let answered = row.echoes_per_second / f64::from(plan.rate);
    let is_answered = row.overloaded || answered >= MIN_ANSWERED;
    let (kind, what) = if answered <= 0.0 {
        (FailureKind::NoReply, "no reply".to_owned())
    } else if !is_answered || row.active_opened < active as u64 {
        let percent = 100.0 * answered;
        (
            FailureKind::SomeReplies,
            format!("{percent:.0} % of replies"),
        )
    } else if row.idle.opened < row.idle.asked {
        let opened = grouped(row.idle.opened as u64);
        let what = format!("only {opened} idle clients connected");
        (FailureKind::IdleNotOpened, what)
    } else {
        return None;
    };
    let taken = row.places.filter(|_| kind != FailureKind::IdleNotOpened);
    let reason = match taken {
        Some(1) => format!("{what}: it serves one client"),
        Some(places) if row.idle.accepted >= places => {
            format!("{what}: {places} {} serve idle clients", pattern.workers)
        }
        Some(_) => format!("{what}: clients wait for {}", pattern.workers),
        None => what,
    };
    Some(Failure { kind, reason })
}

/// The file descriptors that this process needs for so many idle clients.
#[must_use]
pub fn needed_fds(idle: usize) -> u64 {
    idle as u64 + crate::doctor::RESERVED_FDS as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typical_row_has_the_median_time_and_failures_come_last() {
        let pattern = Pattern::find("poll").unwrap();
        let row = |cpu: Option<f64>, idle| Row {
            cpu_us_per_echo: cpu,
            ..empty_row(pattern, idle, 1)
        };
        let failed = |row| Row {
            failure: Some(Failure {
                kind: FailureKind::NoReply,
                reason: String::new(),
            }),
            ..row
        };
        let mut rows = vec![row(Some(9.0), 10), row(Some(1.0), 10), row(Some(4.0), 10)];
        rows.push(row(Some(100.0), 20));
        let typical_of = |rows: &[Row]| typical(rows, 10).unwrap().clone();
        assert_eq!(typical_of(&rows), row(Some(4.0), 10));
        assert_eq!(typical(&rows, 30), None);
        rows[1] = failed(row(Some(1.0), 10));
        assert_eq!(typical_of(&rows), row(Some(9.0), 10), "one of three failed");
        rows[2] = failed(row(None, 10));
        assert_eq!(typical_of(&rows), failed(row(Some(1.0), 10)), "two failed");
    }
}
