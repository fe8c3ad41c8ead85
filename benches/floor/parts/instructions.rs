//! User instructions for each message of 128 bytes on 50 connections, counted by callgrind: the same on every machine,
//! so a bar that can be kept everywhere.

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::{Rival, Server};
use crate::row::{Row, Unit};
use crate::stats::as_f64;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(super) fn run(bench: &mut Bench) {
    let found = Command::new("valgrind").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        let lacking = "instructions: NOT COUNTED, valgrind is missing (apt-get install valgrind)";
        if env::var_os("ECHOLOOP_REQUIRE_TOOLS").is_some() {
            bench.report.failure(lacking.into());
        } else {
            println!("{lacking}");
        }
        return;
    }
    let series = Rival::ALL.map(|rival| vec![per_message(bench, rival, &RAW)]);
    let what = "128 B on 50 connections, per echo";
    let row = Row::new("instructions", what, Unit::Instructions, series);
    let met = row.median(0) <= RAW.most;
    bench
        .report
        .add(row.bar(format!("≤ {}", RAW.most), met, false));
    for speech in &OTHERS {
        let each = per_message(bench, Rival::Echoloop, speech);
        let row = Row::alone("instructions", speech.what, Unit::Instructions, vec![each]);
        let met = each <= speech.most;
        bench
            .report
            .add(row.bar(format!("≤ {}", speech.most), met, false));
    }
}

/// What is said to the server, in messages of 128 bytes on 50 connections, and what that may take.
struct Speech {
    what: &'static str,
    serve: &'static [&'static str],
    work: Work,
    /// As the generator knows the protocol.
    name: &'static str,
    /// Messages in one read.
    pipeline: u64,
    /// The most instructions for each message.
    most: f64,
}

/// What the generator does, and how it knows that a step is done.
#[derive(Clone, Copy)]
enum Work {
    /// Each message has a reply of so many bytes.
    Echo(usize),
    /// Nothing comes back.
    Pour,
    /// Each message is a connection.
    Records,
}

/// The bar counts all that is on the way of an echo: counters and deadlines are included.
const RAW: Speech = Speech {
    what: "",
    serve: &[],
    work: Work::Echo(128),
    name: "",
    pipeline: 1,
    most: 150.0,
};

const LINE: Speech = Speech {
    serve: &["--protocol", "line"],
    // `ECHO ` stands before it.
    work: Work::Echo(133),
    name: "line",
    ..RAW
};

const BARE_LINE: Speech = Speech {
    // Without a prefix a line comes back as it is, and goes another way than one that has one.
    serve: &["--protocol", "line", "--prefix", ""],
    work: Work::Echo(128),
    ..LINE
};

const FRAME: Speech = Speech {
    serve: &["--protocol", "frame:4"],
    name: "frame",
    ..RAW
};

const DISCARD: Speech = Speech {
    serve: &["--protocol", "discard"],
    work: Work::Pour,
    ..RAW
};

const COLLECT: Speech = Speech {
    serve: &["--protocol", "collect"],
    work: Work::Pour,
    ..RAW
};

const OTHERS: [Speech; 9] = [
    Speech {
        what: "line, 128 B, per line",
        most: 545.0,
        ..LINE
    },
    Speech {
        what: "line, 16 x 128 B in one read, per line",
        pipeline: 16,
        most: 355.0,
        ..LINE
    },
    Speech {
        what: "line without prefix, 128 B, per line",
        most: 430.0,
        ..BARE_LINE
    },
    Speech {
        what: "line without prefix, 16 x 128 B in one read, per line",
        pipeline: 16,
        most: 228.0,
        ..BARE_LINE
    },
    Speech {
        what: "frame:4, 128 B, per frame",
        most: 350.0,
        ..FRAME
    },
    Speech {
        what: "frame:4, 16 x 128 B in one read, per frame",
        pipeline: 16,
        most: 135.0,
        ..FRAME
    },
    Speech {
        what: "discard, 128 B, per read",
        most: 128.0,
        ..DISCARD
    },
    Speech {
        what: "collect, 128 B, per read",
        most: 1000.0,
        ..COLLECT
    },
    Speech {
        what: "collect, record of 128 B, connection included",
        work: Work::Records,
        most: 3800.0,
        ..COLLECT
    },
];

fn per_message(bench: &Bench, rival: Rival, speech: &Speech) -> f64 {
    let [few, many] = speech.work.counts().map(|messages| {
        let (instructions, done) = count(bench, rival, speech, messages * speech.pipeline);
        (as_f64(instructions), done)
    });
    (many.0 - few.0) / (many.1 - few.1)
}

impl Work {
    /// Between these counts the slope is taken: what starting and ending take is in both.
    fn counts(self) -> [u64; 2] {
        match self {
            Work::Echo(_) => [20_000, 60_000],
            Work::Pour | Work::Records => [5_000, 20_000],
        }
    }

    fn load(self) -> Load {
        match self {
            // All messages are there when the server wakes, however busy the machine is: else the count would depend
            // on how often it must wait.
            Work::Echo(reply) => Load::ping_pong(50, 128)
                .with("reply", reply)
                .with("lockstep", "yes"),
            Work::Pour => Load::pour(50, 128),
            Work::Records => Load::records(50, 128),
        }
    }
}

/// The instructions of a whole life with so many messages, and how many they were in the end.
fn count(bench: &Bench, rival: Rival, speech: &Speech, messages: u64) -> (u64, f64) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let totals = folder.join(format!("callgrind.{}.{messages}", std::process::id()));
    let plain = bench.command(rival);
    let mut command = Command::new("valgrind");
    command
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", totals.display()))
        .arg(plain.get_program())
        .args(plain.get_args())
        .args(speech.serve)
        .stdout(Stdio::null());
    let server = [Server::start(command, bench.machine.server_core())];
    let load = speech.work.load();
    let load = load
        .with("count", messages)
        .with("pipeline", speech.pipeline)
        .with("speech", speech.name)
        .on_servers_core();
    let done = load.run(&bench.machine, &server).done();
    let [server] = server;
    // Only an orderly end writes the totals; a rival that does not catch the signal is ended by callgrind itself.
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
    let line = line.expect("a callgrind file has its totals");
    line.trim().parse().unwrap()
}
