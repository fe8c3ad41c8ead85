//! Another build upgrades to this one, and this one back to it.

use crate::cut::{Cut, Messages};
use crate::load::report_verified;
use crate::report::Report;
use crate::server::{Server, program};
use crate::slow::SlowReaders;
use std::fs;
use std::path::PathBuf;

/// The path of the other build.
const PREVIOUS: &str = "ECHOLOOP_PREVIOUS";

/// How often a daemon is upgraded and downgraded.
const ROUNDS: usize = 5;

/// Clients with unread echoes.
const SLOW: u64 = 20;

pub(crate) fn run(report: &mut Report) {
    report.part("previous", "another build upgrades to this one and back");
    let Some(previous) = std::env::var_os(PREVIOUS).map(PathBuf::from) else {
        println!(
            "  SKIPPED: {PREVIOUS} is not set; it is the path of the echoloop of another build"
        );
        return;
    };
    let builds = [fs::read(program()).unwrap(), fs::read(&previous).unwrap()];
    let mut servers = [&["-p", "line"][..], &["-p", "frame:4"], &["-p", "raw"]]
        .map(|flags| Server::start_from(&previous, flags));
    let lines = Cut::start(servers[0].address, Messages::Lines);
    let frames = Cut::start(servers[1].address, Messages::Frames);
    let slow = SlowReaders::start(servers[2].address, SLOW);
    let (mut forth, mut back) = (0, 0);
    for _ in 0..ROUNDS {
        for (build, done) in builds.iter().zip([&mut forth, &mut back]) {
            for server in &mut servers {
                server.install(build);
                match server.upgrade() {
                    Ok(()) => *done += 1,
                    Err(reason) => println!("  !! {reason}"),
                }
            }
        }
    }
    let all = ROUNDS * servers.len();
    report.bar(
        "upgrades to this build",
        forth,
        &all.to_string(),
        forth == all,
    );
    report.bar("upgrades back", back, &all.to_string(), back == all);
    report_verified("line clients: messages", lines.stop(), report);
    report_verified("frame clients: messages", frames.stop(), report);
    let outcome = slow.stop();
    let met = outcome.ends.errors() == 0 && outcome.unfinished == 0;
    let ends = outcome.ends.summary();
    report.bar("slow readers", ends, "all as expected", met);
}
