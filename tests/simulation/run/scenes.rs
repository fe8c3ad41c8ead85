//! Runs with one thing to show: the memory of all connections is used up by a few peers that do not read, while others
//! wait for it; or peers read so slowly that bytes are acknowledged for much longer than a timeout.

use super::scene::Scene;
use crate::faults::Faults;
use crate::peer::{Leaving, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::world::MILLISECOND;
use echoloop::server::Config;
use std::time::Duration;

/// When the peers that read have sent all that they send before memory is there again.
const WAITING: u64 = 300;

impl Scene {
    /// Draws such a run: peers that do not read send until nothing more is read, others send a little that waits in the
    /// kernel, and then the first are cut off, or evicted. In some runs SIGTERM comes shortly before.
    pub(super) fn draw_scarce(rng: &mut Rng) -> Scene {
        // One peer's input fills the memory, and the output that fills its window comes before that.
        let size = rng.between(5_000, 60_000) as usize;
        let millis = |rng: &mut Rng, least, most| Duration::from_millis(rng.between(least, most));
        let cut_at = rng.between(WAITING + 100, 1_500) * MILLISECOND;
        let stops_early = rng.chance(400);
        let config = Config {
            max_connections: 60,
            max_pending: size,
            max_buffered: size + rng.index(size),
            idle_timeout: rng.chance(400).then(|| millis(rng, 200, 2_000)),
            stall_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_secs(30),
            ..Config::default()
        };
        let mut peers = Vec::new();
        for id in 0..rng.between(3, 20) {
            peers.push(Peer::new(id, stalled(rng, 4 * size as u64)));
        }
        for id in 0..rng.between(1, 4) {
            peers.push(Peer::new(100 + id, waiting(rng)));
        }
        Scene {
            config,
            faults: draw_faults(rng),
            window: size,
            kernel: Kernel::default(),
            peers,
            most_clients: 0,
            step: size as u64,
            cut_at,
            turning_point: if stops_early {
                cut_at - rng.between(10, 90) * MILLISECOND
            } else {
                cut_at + 1_000 * MILLISECOND
            },
            stops_early,
        }
    }
}

impl Scene {
    /// Draws a run in which peers read slowly and steadily, and send now and then: between any two deadlines bytes are
    /// acknowledged, and again and again one is received after such a deadline.
    pub(super) fn draw_slow(rng: &mut Rng) -> Scene {
        let window = rng.between(1_000, 20_000);
        let timeout = rng.between(800, 1_900);
        let config = Config {
            max_connections: 60,
            max_pending: 200_000,
            idle_timeout: Some(Duration::from_millis(timeout)),
            stall_timeout: Some(Duration::from_secs(60)),
            ..Config::default()
        };
        let kernel = Kernel {
            send_buffer: 2 * window as usize,
            segment: (window as usize / 200).max(1),
            ..Kernel::default()
        };
        let peers = (0..rng.between(1, 5)).map(|id| Peer::new(id, slow(rng, window, timeout)));
        Scene {
            peers: peers.collect(),
            config,
            faults: Faults::default(),
            window: window as usize,
            kernel,
            most_clients: 0,
            step: window,
            cut_at: u64::MAX,
            turning_point: 60_000 * MILLISECOND,
            stops_early: rng.chance(300),
        }
    }
}

/// A peer that reads about four times in a timeout. It sends twice, with four timeouts between, in which it has always
/// something left that fits into no window.
fn slow(rng: &mut Rng, window: u64, timeout: u64) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.chunk = window * 6 / 5;
    plan.says(2 * plan.chunk);
    plan.sends_every = 16;
    plan.starts_at = rng.between(0, 1_000) * MILLISECOND;
    plan.pause = timeout * MILLISECOND / 2;
    plan.reading = Reading::Slow((window / 80).max(1) as usize);
    plan.leaving = Leaving::WhenEchoed;
    plan.urgent = 0;
    plan
}

/// A peer that sends so much and does not read.
fn stalled(rng: &mut Rng, total: u64) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.never_reads(total);
    plan.starts_at = rng.between(0, 50) * MILLISECOND;
    plan.urgent = 0;
    plan
}

/// A peer that sends a little while memory is used up, and reads all that comes back.
fn waiting(rng: &mut Rng) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.says(1 + rng.magnitude(2_000));
    plan.chunk = plan.total;
    plan.starts_at = rng.between(100, WAITING) * MILLISECOND;
    plan.pause = 0;
    plan.reading = Reading::Prompt;
    plan.leaving = rng.one_of(&[Leaving::Never, Leaving::WhenEchoed, Leaving::HalfClose]);
    plan.urgent = 0;
    plan
}

/// None in most runs: each event and each iteration may set right what was forgotten.
fn draw_faults(rng: &mut Rng) -> Faults {
    if rng.chance(500) {
        return Faults::default();
    }
    if rng.chance(400) {
        // Just when memory is there again, there is often none to remember whose turn it is.
        return Faults {
            places_refused: rng.between(100, 600),
            ..Faults::default()
        };
    }
    let drawn = Faults::draw(rng);
    Faults {
        read_blocks: drawn.read_blocks,
        write_blocks: drawn.write_blocks,
        interrupted: drawn.interrupted,
        batch: drawn.batch,
        places_refused: drawn.places_refused,
        ..Faults::default()
    }
}
