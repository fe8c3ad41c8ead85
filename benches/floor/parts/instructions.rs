//! User instructions per message of 128 bytes on 50 connections, counted by callgrind: the same on every machine, so
//! the bars hold everywhere.
//!
//! A server that wakes more often for the same messages executes more instructions, and how often it wakes depends on
//! the scheduler. The generator therefore stops the server (SIGSTOP) while it sends the messages of a step, so that the
//! server wakes once per step for all of them. Stopping has a cost, too: `epoll_wait` then fails with EINTR (signal(7)).
//! Both measurements of a slope stop the server equally often, so this cost cancels out. The server also runs with a
//! clock that does not depend on the scheduler (`clock.c`).

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::{Rival, Server, build_directory, compile_c, is_installed};
use crate::row::{Row, Unit};
use crate::stats::as_f64;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Connections, and thus messages, reads or records per step.
const CONNECTIONS: usize = 50;

pub(super) fn run(bench: &mut Bench) {
    if !is_installed("valgrind") {
        bench.missing_tool(
            "instructions: NOT COUNTED, valgrind is missing (apt-get install valgrind)",
        );
        return;
    }
    let clock = compile_c("parts/clock.c", "clock.so", &["-shared", "-fPIC"]);
    let per_message = |bench: &Bench, rival, case| per_message(bench, rival, case, &clock);
    let series = Rival::ALL.map(|rival| {
        if bench.has(rival) && rival.runs_in_valgrind() {
            vec![per_message(bench, rival, &RAW)]
        } else {
            Vec::new()
        }
    });
    let row = Row::new("instructions", RAW.what, Unit::Instructions, series);
    add(bench, row, &RAW);
    for case in &CASES {
        let figure = per_message(bench, Rival::Echoloop, case);
        let row = Row::alone("instructions", case.what, Unit::Instructions, vec![figure]);
        add(bench, row, case);
    }
}

fn add(bench: &mut Bench, row: Row, case: &Case) {
    let met = row.median(0) <= case.most;
    bench
        .report
        .add(row.bar(format!("≤ {}", case.most), met, false));
}

/// A protocol, the messages to send, and the bar.
struct Case {
    what: &'static str,
    /// Arguments of `serve`.
    arguments: &'static [&'static str],
    work: Work,
    /// The protocol, as the generator names it.
    protocol: &'static str,
    /// Messages per read.
    pipeline: u64,
    /// The most instructions per message.
    most: f64,
}

/// What the generator does.
#[derive(Clone, Copy)]
enum Work {
    /// Each message has a reply of this size.
    Echo(usize),
    /// Messages without a reply.
    OneWay,
    /// One message per connection.
    Records,
}

/// The bar includes everything on the path of an echo, such as counters and deadlines.
const RAW: Case = Case {
    what: "128 B on 50 connections, per echo",
    arguments: &[],
    work: Work::Echo(128),
    protocol: "",
    pipeline: 1,
    most: 150.0,
};

const LINE: Case = Case {
    arguments: &["--protocol", "line"],
    // The reply begins with `ECHO `.
    work: Work::Echo(133),
    protocol: "line",
    ..RAW
};

/// Without a prefix a line is echoed from the input buffer, on another path than one with a prefix.
const BARE_LINE: Case = Case {
    arguments: &["--protocol", "line", "--prefix", ""],
    work: Work::Echo(128),
    ..LINE
};

const FRAME: Case = Case {
    arguments: &["--protocol", "frame:4"],
    protocol: "frame",
    ..RAW
};

const DISCARD: Case = Case {
    arguments: &["--protocol", "discard"],
    work: Work::OneWay,
    ..RAW
};

const COLLECT: Case = Case {
    arguments: &["--protocol", "collect"],
    work: Work::OneWay,
    ..RAW
};

const CASES: [Case; 10] = [
    Case {
        what: "with --admin and no request, per echo",
        arguments: &["--admin", "127.0.0.1:0"],
        most: 160.0,
        ..RAW
    },
    Case {
        what: "line, 128 B, per line",
        most: 545.0,
        ..LINE
    },
    Case {
        what: "line, 16 x 128 B in one read, per line",
        pipeline: 16,
        most: 355.0,
        ..LINE
    },
    Case {
        what: "line without prefix, 128 B, per line",
        most: 430.0,
        ..BARE_LINE
    },
    Case {
        what: "line without prefix, 16 x 128 B in one read, per line",
        pipeline: 16,
        most: 228.0,
        ..BARE_LINE
    },
    Case {
        what: "frame:4, 128 B, per frame",
        most: 350.0,
        ..FRAME
    },
    Case {
        what: "frame:4, 16 x 128 B in one read, per frame",
        pipeline: 16,
        most: 135.0,
        ..FRAME
    },
    Case {
        what: "discard, 128 B, per read",
        most: 137.0,
        ..DISCARD
    },
    Case {
        what: "collect, 128 B, per read",
        most: 1000.0,
        ..COLLECT
    },
    Case {
        what: "collect, record of 128 B, connection included",
        work: Work::Records,
        most: 3800.0,
        ..COLLECT
    },
];

/// The slope between two counts of messages, which excludes the instructions of start and stop.
fn per_message(bench: &Bench, rival: Rival, case: &Case, clock: &Path) -> f64 {
    let [few, many] = case.work.steps();
    let empty = many - few;
    let count = |steps, empty| {
        let server = start(bench, rival, case, clock);
        count(bench, server, case, steps, empty)
    };
    let (at_few, few) = count(few, empty);
    let (at_many, many) = count(many, 0);
    (as_f64(at_many) - as_f64(at_few)) / (many - few)
}

impl Work {
    /// The steps of the two measurements of a slope.
    fn steps(self) -> [u64; 2] {
        match self {
            Work::Echo(_) => [400, 1_200],
            Work::OneWay | Work::Records => [100, 400],
        }
    }

    fn load(self) -> Load {
        match self {
            Work::Echo(reply) => Load::echo_steps(CONNECTIONS, 128, reply),
            Work::OneWay => Load::one_way_steps(CONNECTIONS, 128),
            Work::Records => Load::record_steps(CONNECTIONS, 128),
        }
    }
}

/// Starts a server in callgrind, with the clock preloaded.
fn start(bench: &Bench, rival: Rival, case: &Case, clock: &Path) -> Server {
    let server = bench.command(rival);
    let mut command = Command::new("valgrind");
    command
        .env("LD_PRELOAD", clock)
        .args(["-q", "--tool=callgrind"])
        .arg(format!(
            "--callgrind-out-file={}/callgrind.%p",
            build_directory().display()
        ))
        .arg(server.get_program())
        .args(server.get_args())
        .args(case.arguments)
        .stdout(Stdio::null());
    Server::start(command, bench.machine.server_core())
}

/// Loads a server, stops it, and returns its instructions from start to stop and the number of messages. In the
/// `empty` steps the server is stopped as in the others, but receives no message.
fn count(bench: &Bench, server: Server, case: &Case, steps: u64, empty: u64) -> (u64, f64) {
    let totals = build_directory().join(format!("callgrind.{}", server.pid()));
    let load = case.work.load();
    let load = load
        .with("count", steps * CONNECTIONS as u64 * case.pipeline)
        .with("empty_steps", empty)
        .with("pipeline", case.pipeline)
        .with("protocol", case.protocol)
        .on_server_core();
    let server = [server];
    let done = load.run(&bench.machine, &server).done();
    let [server] = server;
    // Callgrind writes the totals when the process ends by SIGTERM, handled or not.
    server.terminate();
    let text = fs::read_to_string(&totals).unwrap();
    let _ = fs::remove_file(&totals);
    (instructions_in(&text), done)
}

/// The total of a callgrind file: its `summary:` or, where there is none, its `totals:` line.
fn instructions_in(callgrind: &str) -> u64 {
    let line = ["summary: ", "totals: "]
        .iter()
        .find_map(|name| callgrind.lines().find_map(|line| line.strip_prefix(name)));
    let line = line.expect("a callgrind file has totals");
    line.trim().parse().unwrap()
}
