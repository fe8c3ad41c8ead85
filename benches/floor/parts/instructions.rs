//! User instructions for each 128-byte echo on 50 connections, counted by callgrind: the same on every machine, so a
//! bar that can be kept everywhere.

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::{Rival, Server};
use crate::row::{Row, Unit};
use crate::stats::as_f64;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The most instructions that an echo may take, counters and deadlines included.
const MOST: f64 = 150.0;

/// Between these counts the slope is taken: what starting and ending take is in both.
const ECHOES: [u64; 2] = [20_000, 60_000];

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
    let series = Rival::ALL.map(|rival| vec![per_echo(bench, rival, &Speech::RAW)]);
    let what = "128 B on 50 connections, per echo";
    let row = Row::new("instructions", what, Unit::Instructions, series);
    let met = row.median(0) <= MOST;
    bench.report.add(row.bar(format!("≤ {MOST}"), met, false));
    for speech in &Speech::OTHERS {
        let each = per_echo(bench, Rival::Echoloop, speech);
        let what = format!(
            "{}, {} x 128 B on 50 connections, per message",
            speech.words[1], speech.pipeline
        );
        let row = Row::alone("instructions", what, Unit::Instructions, vec![each]);
        let met = each <= speech.most;
        bench
            .report
            .add(row.bar(format!("≤ {}", speech.most), met, false));
    }
}

/// What the server speaks, and the most instructions that a message may take in it.
struct Speech {
    words: &'static [&'static str],
    /// As the generator knows it.
    name: &'static str,
    /// Messages in one read.
    pipeline: u64,
    most: f64,
}

impl Speech {
    const RAW: Speech = Speech {
        words: &[],
        name: "",
        pipeline: 1,
        most: MOST,
    };

    const fn line(pipeline: u64, most: f64) -> Speech {
        // Without a prefix a line comes back as long as it was, but goes another way than one that has one.
        Speech {
            words: &["--protocol", "line", "--prefix", ""],
            name: "line",
            pipeline,
            most,
        }
    }

    const fn frame(pipeline: u64, most: f64) -> Speech {
        Speech {
            words: &["--protocol", "frame:4"],
            name: "frame",
            pipeline,
            most,
        }
    }

    const OTHERS: [Speech; 4] = [
        Speech::line(1, 475.0),
        Speech::line(16, 230.0),
        Speech::frame(1, 350.0),
        Speech::frame(16, 135.0),
    ];
}

fn per_echo(bench: &Bench, rival: Rival, speech: &Speech) -> f64 {
    let [few, many] = ECHOES.map(|echoes| {
        let (instructions, done) = count(bench, rival, speech, echoes * speech.pipeline);
        (as_f64(instructions), done)
    });
    (many.0 - few.0) / (many.1 - few.1)
}

/// The instructions of a whole life with so many echoes, and how many they were in the end.
fn count(bench: &Bench, rival: Rival, speech: &Speech, echoes: u64) -> (u64, f64) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let totals = folder.join(format!("callgrind.{}.{echoes}", std::process::id()));
    let plain = bench.command(rival);
    let mut command = Command::new("valgrind");
    command
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", totals.display()))
        .arg(plain.get_program())
        .args(plain.get_args())
        .args(speech.words);
    let server = [Server::start(command, bench.machine.server_core())];
    // All messages are there when the server wakes, however busy the machine is: else the count would depend on how
    // often it must wait.
    let load = Load::ping_pong(50, 128).with("echoes", echoes);
    let load = load
        .with("pipeline", speech.pipeline)
        .with("speech", speech.name)
        .with("lockstep", "yes")
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
