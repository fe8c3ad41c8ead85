//! User memory per idle TLS connection that has echoed once: the slope between two counts; and what an idle server does.

use super::idle::{self, SystemCalls};
use crate::bench::Bench;
use crate::load::{Load, Steps};
use crate::rivals::{RIVALS, Rival, is_installed};
use crate::row::{Row, Unit};
use crate::stats::as_f64;

/// The most bytes per idle TLS connection.
const MOST: f64 = 4.0 * 1024.0;

/// One server with idle connections.
struct Idle {
    bytes_each: f64,
    /// User memory of the whole process with all connections, in bytes.
    total: f64,
    /// `None` for a server that is not traced.
    calls: Option<SystemCalls>,
}

pub(super) fn run(bench: &mut Bench) {
    let many = bench.full_or_quick(9_000, 1_500).min(bench.max_held);
    let few = many / 3;
    let trace = is_installed("strace");
    if !trace {
        bench.missing_tool("system calls: NOT COUNTED, strace is missing (apt-get install strace)");
    }
    let servers = bench.full_or_quick(3, 1);
    let outcomes = bench.measure_rivals(servers, |rival| {
        Some(measure(bench, rival, few, many, trace))
    });
    let series = |figure: fn(&Idle) -> f64| {
        let series = outcomes.each_ref();
        series.map(|outcomes| outcomes.iter().map(figure).collect())
    };
    let what = format!("per idle TLS connection, {many} held");
    let row = Row::new("memory", what, Unit::Bytes, series(|idle| idle.bytes_each));
    let met = row.median(0) <= MOST;
    bench.report.add(row.bar(format!("≤ {MOST} B"), met, false));
    let what = format!("of the TLS process with {many} connections");
    let megabytes = |idle: &Idle| idle.total / 1e6;
    let row = Row::new("memory", what, Unit::Megabytes, series(megabytes));
    bench.report.add(row);
    if trace {
        report_calls(bench, &outcomes);
    }
}

fn measure(bench: &Bench, rival: Rival, few: usize, many: usize, trace: bool) -> Idle {
    let server = bench.start(rival);
    let load = Load::new("hold").with("counts", format!("{few},{many}"));
    let mut holder = load.start(&bench.machine, &server);
    let hold = |holder: &mut Steps| {
        let held = holder.wait().number("done");
        server.wait_until_at_rest();
        (held, as_f64(server.user_memory()))
    };
    let (few, at_few) = hold(&mut holder);
    holder.resume();
    // The connections are held until the generator is resumed again, or ends.
    let (many, at_many) = hold(&mut holder);
    // Attaching to thousands of threads takes longer than the trace.
    let trace = trace && rival != Rival::Stunnel;
    let seconds = bench.full_or_quick(5.0, 1.0);
    let calls = trace.then(|| idle::count_system_calls(&server.pids(), seconds));
    Idle {
        bytes_each: (at_many - at_few) / (many - few),
        total: at_many,
        calls,
    }
}

fn report_calls(bench: &mut Bench, outcomes: &[Vec<Idle>; RIVALS]) {
    let per_second = |idle: &Idle| idle.calls.as_ref().map(SystemCalls::per_second);
    let series = outcomes.each_ref();
    let series = series.map(|outcomes| outcomes.iter().filter_map(per_second).collect());
    let ours = outcomes[0].iter().filter_map(|idle| idle.calls.as_ref());
    let others: Vec<&str> = ours.flat_map(SystemCalls::other_than_wait).collect();
    let met = !outcomes[0].is_empty() && others.is_empty();
    let bar = match others[..] {
        [] => "epoll_wait alone".to_string(),
        _ => format!("epoll_wait alone, not {}", others.join(" ")),
    };
    let what = "system calls while idle";
    let row = Row::new("memory", what, Unit::PerSecond, series);
    bench.report.add(row.bar(bar, met, false));
}
