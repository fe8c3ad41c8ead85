//! Traces of simulated runs: a seed determines the trace, and recording changes nothing.

use super::scenario::Scenario;
use super::{Report, Run, draw_second_signal, run};
use crate::rng::Rng;
use echoloop::net::Time;
use echoloop::trace::{Timeline, chrome_trace};

/// More events than a run of these seeds has.
const EVENTS: usize = 1 << 22;

/// Runs a seed as [`run`], and returns its trace as well.
fn run_traced(seed: u64) -> (Report, Timeline) {
    let mut rng = Rng::new(seed);
    let extras = (draw_second_signal(seed), None);
    let short_read_drains = rng.chance(500);
    let scenario = Scenario::draw(&mut rng);
    if short_read_drains {
        traced(Run::<true>::new(rng, scenario, extras))
    } else {
        traced(Run::<false>::new(rng, scenario, extras))
    }
}

fn traced<const DRAINS: bool>(mut run: Run<DRAINS>) -> (Report, Timeline) {
    let network = run.network.clone();
    let clock = move || Time::from_nanos(network.borrow().now);
    let recording = run.server.net().start(EVENTS, clock);
    let report = run.run();
    let timeline = Timeline::of(&recording.ring());
    (report, timeline)
}

fn json(timeline: &Timeline) -> String {
    chrome_trace("simulation", 1, timeline)
}

#[test]
fn seed_gives_the_same_trace_twice() {
    let mut events = 0;
    for seed in 0..8 {
        let (report, first) = run_traced(seed);
        let (_, second) = run_traced(seed);
        assert!(json(&first) == json(&second), "seed {seed}");
        assert_eq!(first.dropped, 0);
        events += first.events.len();
        let untraced = run(seed);
        assert_eq!(
            report.digest, untraced.digest,
            "seed {seed}: recording changes nothing"
        );
        for (serial, track) in &first.connections {
            assert!(
                track.opened.is_some() && track.closed.is_some(),
                "#{serial}"
            );
            assert!(track.reason.is_some(), "#{serial}");
        }
    }
    assert!(events > 1000, "{events} events");
}
