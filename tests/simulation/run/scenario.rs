//! The parameters of a run: configuration of the server, network, faults and peers.

use super::UNLIMITED_MEMORY;
use crate::faults::Faults;
use crate::network::MILLISECOND;
use crate::peer::{Peer, Plan};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::steady_readers::{draw_short_timeouts, draw_steady_readers};
use crate::uneven_output;
use echoloop::server::Config;
use std::time::Duration;

/// The parameters of one run.
pub(super) struct Scenario {
    pub(super) config: Config,
    pub(super) faults: Faults,
    pub(super) window: usize,
    pub(super) kernel: Kernel,
    pub(super) peers: Vec<Peer>,
    /// The most connections of the program with real clients.
    pub(super) most_clients: u64,
    /// The most bytes that pass through the server at once.
    pub(super) step: u64,
    /// When all peers that do not read reset their connections.
    pub(super) reset_at: u64,
    /// When the faults stop, or SIGTERM comes.
    pub(super) faults_end_at: u64,
    /// SIGTERM is sent at that time, and not when every peer is served.
    pub(super) drains_early: bool,
}

fn draw_config(rng: &mut Rng) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(1);
    let max_pending = size(rng, 200_000);
    Config {
        max_connections: size(rng, 60),
        max_per_source: rng.chance(300).then(|| size(rng, 10)),
        max_pending,
        max_buffered: if rng.chance(600) {
            size(rng, 8 * max_pending as u64)
        } else {
            UNLIMITED_MEMORY
        },
        idle_timeout: rng.chance(500).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        spin: Duration::ZERO,
        // In some runs the budget is far below the output limit: input is read while output is pending.
        budget: if rng.chance(300) {
            (max_pending / 8).max(1)
        } else {
            size(rng, 300_000)
        },
        accepts_per_iteration: size(rng, 20),
        ..Config::default()
    }
}

impl Scenario {
    /// Draws a general scenario.
    pub(super) fn draw(rng: &mut Rng) -> Scenario {
        let mut config = draw_config(rng);
        let mut faults = Faults::draw(rng);
        let mut window = usize::try_from(rng.magnitude(200_000)).unwrap().max(1);
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let mut kernel = Kernel::draw(rng, step as usize, &mut faults);
        let count = rng.magnitude(40).max(1);
        let peers = (0..count).map(|id| Peer::new(id, Plan::draw(rng, step)));
        let mut peers: Vec<Peer> = peers.collect();
        let is_small = window as u64 <= 100 * step;
        let has_short_timeouts =
            is_small && draw_short_timeouts(rng, &mut config, (window, &mut kernel, &mut faults));
        if is_small {
            let all = has_short_timeouts;
            draw_steady_readers(rng, &config, (window, &kernel), &mut peers, all);
        }
        let network = (&mut window, &mut kernel, &mut faults);
        let is_uneven = uneven_output::maybe_draw(rng, &mut config, network, &mut peers);
        let has_short_timeouts = has_short_timeouts && !is_uneven;
        let mut reset_at = rng.between(0, 60_000) * MILLISECOND;
        let mut faults_end_at = rng.magnitude(60_000) * MILLISECOND;
        let mut drains_early = rng.chance(400) && !has_short_timeouts;
        // Filling large windows in small steps would take too many iterations.
        if is_small && rng.chance(200) && !has_short_timeouts && !is_uneven {
            // Many slow readers fill the memory, other connections wait for it, and then the slow readers reset.
            config.max_buffered = config.max_pending;
            config.max_connections = 60;
            config.stall_timeout = Some(Duration::from_secs(60));
            // Mostly before their eviction, which takes a second.
            reset_at = if rng.chance(700) {
                rng.between(300, 1_500) * MILLISECOND
            } else {
                rng.between(2_000, 10_000) * MILLISECOND
            };
            if rng.chance(400) {
                // SIGTERM is sent while connections wait for memory that becomes available soon after.
                drains_early = true;
                faults_end_at = reset_at - rng.between(10, 290) * MILLISECOND;
                config.drain_timeout = Duration::from_secs(30);
            }
            for peer in peers.iter_mut().filter(|_| rng.chance(600)) {
                let in_transit = 4 * window + 2 * kernel.send_buffer;
                peer.plan
                    .set_never_reading((in_transit + config.max_pending) as u64);
            }
            if rng.chance(500) {
                // When memory becomes available, allocations for the run queue often fail.
                faults.queue_alloc_fails = rng.between(100, 400);
                if !drains_early {
                    faults_end_at = faults_end_at.max(reset_at + 1_000 * MILLISECOND);
                }
            }
        }
        if is_uneven {
            // Long enough for evictions, and no peer resets before.
            (faults_end_at, reset_at, drains_early) = (10_000 * MILLISECOND, u64::MAX, true);
        }
        Scenario {
            config,
            faults,
            window,
            kernel,
            peers,
            most_clients: 4,
            step,
            reset_at,
            faults_end_at,
            drains_early,
        }
    }
}
