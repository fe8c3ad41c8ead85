//! Scenarios for one case each: a few slow readers use up the memory for which other connections wait; or peers read so
//! slowly that bytes are acknowledged for much longer than a timeout.

use super::scenario::Scenario;
use crate::faults::Faults;
use crate::network::MILLISECOND;
use crate::peer::{Closing, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use echoloop::server::Config;
use std::time::Duration;

/// The peers that wait for memory have started after this many milliseconds.
const WAITING_START_MS: u64 = 300;

impl Scenario {
    /// Draws scarce memory: peers that never read send until the server stops reading, input of other peers waits in
    /// the kernel, and then the former reset or are evicted. In some runs SIGTERM is sent shortly before.
    pub(super) fn draw_scarce(rng: &mut Rng) -> Scenario {
        // The output for one peer fills its window first, and then the memory. Where the memory is small, no share is
        // large enough for the buffers of a connection.
        let most = if rng.chance(500) { 3_000 } else { 60_000 };
        let size = rng.between(most / 12, most) as usize;
        let millis = |rng: &mut Rng, least, most| Duration::from_millis(rng.between(least, most));
        let reset_at = rng.between(WAITING_START_MS + 100, 1_500) * MILLISECOND;
        let drains_early = rng.chance(400);
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
            peers.push(Peer::new(id, never_reading(rng, 4 * size as u64)));
        }
        for id in 0..rng.between(1, 4) {
            peers.push(Peer::new(100 + id, waiting_for_memory(rng)));
        }
        Scenario {
            config,
            faults: draw_faults(rng),
            window: size,
            kernel: Kernel::default(),
            peers,
            most_clients: 0,
            step: size as u64,
            reset_at,
            faults_end_at: if drains_early {
                reset_at - rng.between(10, 90) * MILLISECOND
            } else {
                reset_at + 1_000 * MILLISECOND
            },
            drains_early,
        }
    }
}

impl Scenario {
    /// Draws slow, steady readers that send from time to time: bytes are acknowledged between any two deadlines, and
    /// input is received after such deadlines.
    pub(super) fn draw_slow(rng: &mut Rng) -> Scenario {
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
        Scenario {
            peers: peers.collect(),
            config,
            faults: Faults::default(),
            window: window as usize,
            kernel,
            most_clients: 0,
            step: window,
            reset_at: u64::MAX,
            faults_end_at: 60_000 * MILLISECOND,
            drains_early: rng.chance(300),
        }
    }
}

/// A peer that reads about four times per timeout. It sends twice, four timeouts apart; meanwhile a part of its input
/// always exceeds the window.
fn slow(rng: &mut Rng, window: u64, timeout: u64) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.chunk = window * 6 / 5;
    plan.set_total(2 * plan.chunk);
    plan.polls_per_send = 16;
    plan.starts_at = rng.between(0, 1_000) * MILLISECOND;
    plan.pause = timeout * MILLISECOND / 2;
    plan.reading = Reading::Slow((window / 80).max(1) as usize);
    plan.closing = Closing::WhenEchoed;
    plan.urgent_per_mille = 0;
    plan
}

/// A peer that sends `total` bytes and never reads.
fn never_reading(rng: &mut Rng, total: u64) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.set_never_reading(total);
    plan.starts_at = rng.between(0, 50) * MILLISECOND;
    plan.urgent_per_mille = 0;
    plan
}

/// A peer that sends little while memory is used up, and reads every reply.
fn waiting_for_memory(rng: &mut Rng) -> Plan {
    let mut plan = Plan::draw(rng, 1_000);
    plan.set_total(1 + rng.magnitude(2_000));
    plan.chunk = plan.total;
    plan.starts_at = rng.between(100, WAITING_START_MS) * MILLISECOND;
    plan.pause = 0;
    plan.reading = Reading::Prompt;
    plan.closing = rng.one_of(&[Closing::Never, Closing::WhenEchoed, Closing::HalfClose]);
    plan.urgent_per_mille = 0;
    plan
}

/// Draws no faults in most runs: further events and iterations may hide a missed wake-up.
fn draw_faults(rng: &mut Rng) -> Faults {
    if rng.chance(500) {
        return Faults::default();
    }
    if rng.chance(400) {
        // When memory becomes available, allocations for the run queue often fail.
        return Faults {
            queue_alloc_fails: rng.between(100, 600),
            ..Faults::default()
        };
    }
    let drawn = Faults::draw(rng);
    Faults {
        read_blocks: drawn.read_blocks,
        write_blocks: drawn.write_blocks,
        interrupted: drawn.interrupted,
        batch: drawn.batch,
        queue_alloc_fails: drawn.queue_alloc_fails,
        ..Faults::default()
    }
}
