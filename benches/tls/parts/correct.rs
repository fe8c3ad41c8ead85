//! Every server negotiates the same parameters, and echoes every byte.

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::Rival;

pub(super) fn run(bench: &mut Bench) {
    for rival in Rival::ALL {
        if !bench.has(rival) {
            continue;
        }
        let server = bench.start(rival);
        // The generator fails if an echo is wrong.
        let outcome = Load::new("check").run(&bench.machine, &server, server.address);
        let name = rival.name();
        let [version, suite, group, kind] =
            ["version", "suite", "group", "handshake"].map(|name| outcome.text(name));
        println!(
            "correct: {name}: {version}, {suite}, {group}, {kind} handshake, {} tickets",
            outcome.text("tickets")
        );
        let expected = ["TLSv1_3", "TLS13_AES_128_GCM_SHA256", "X25519", "Full"];
        if [version, suite, group, kind] != expected {
            let message = format!("{name} negotiates other parameters than {expected:?}");
            bench.report.failure(message);
        }
    }
}
