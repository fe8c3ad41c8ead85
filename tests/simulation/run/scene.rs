//! What is drawn for a run beside the bytes: the server's configuration, what goes wrong, and the peers.

use super::PLENTY;
use crate::faults::Faults;
use crate::peer::{Peer, Plan};
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::steady::{draw_short_timeouts, draw_steady_readers};
use crate::uneven;
use crate::world::MILLISECOND;
use echoloop::server::Config;
use std::time::Duration;

/// All of it.
pub(super) struct Scene {
    pub(super) config: Config,
    pub(super) faults: Faults,
    pub(super) window: usize,
    pub(super) kernel: Kernel,
    pub(super) peers: Vec<Peer>,
    /// How many connections the program with the crate's own clients has at most.
    pub(super) most_clients: u64,
    /// How many bytes go through at once, at most.
    pub(super) step: u64,
    /// When all peers that do not read reset their connections.
    pub(super) cut_at: u64,
    /// When the faults stop, or SIGTERM comes.
    pub(super) turning_point: u64,
    /// Whether SIGTERM comes then, and not when everybody is served.
    pub(super) stops_early: bool,
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
            PLENTY
        },
        idle_timeout: rng.chance(500).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        spin: Duration::ZERO,
        // In some runs reads are small against what may be owed, so that one that owes is read on.
        budget: if rng.chance(300) {
            (max_pending / 8).max(1)
        } else {
            size(rng, 300_000)
        },
        accepts_per_turn: size(rng, 20),
    }
}

impl Scene {
    /// Draws a run of any kind.
    pub(super) fn draw(rng: &mut Rng) -> Scene {
        let mut config = draw_config(rng);
        let mut faults = Faults::draw(rng);
        let mut window = usize::try_from(rng.magnitude(200_000)).unwrap().max(1);
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let mut kernel = Kernel::draw(rng, step as usize, &mut faults);
        let count = rng.magnitude(40).max(1);
        let peers = (0..count).map(|id| Peer::new(id, Plan::draw(rng, step)));
        let mut peers: Vec<Peer> = peers.collect();
        let is_small = window as u64 <= 100 * step;
        let is_about_deadlines =
            is_small && draw_short_timeouts(rng, &mut config, (window, &mut kernel, &mut faults));
        if is_small {
            let all = is_about_deadlines;
            draw_steady_readers(rng, &config, (window, &kernel), &mut peers, all);
        }
        let kernels = (&mut window, &mut kernel, &mut faults);
        let is_uneven = uneven::maybe_draw(rng, &mut config, kernels, &mut peers);
        let is_about_deadlines = is_about_deadlines && !is_uneven;
        let mut cut_at = rng.between(0, 60_000) * MILLISECOND;
        let mut turning_point = rng.magnitude(60_000) * MILLISECOND;
        let mut stops_early = rng.chance(400) && !is_about_deadlines;
        // With small steps and large windows it would take too many turns to fill them.
        if is_small && rng.chance(200) && !is_about_deadlines && !is_uneven {
            // Many who do not read fill the memory of all, others wait for it, and then all of the first are gone.
            config.max_buffered = config.max_pending;
            config.max_connections = 60;
            config.stall_timeout = Some(Duration::from_secs(60));
            // Mostly before they are evicted, which takes a second.
            cut_at = if rng.chance(700) {
                rng.between(300, 1_500) * MILLISECOND
            } else {
                rng.between(2_000, 10_000) * MILLISECOND
            };
            if rng.chance(400) {
                // The server is told to stop while connections wait for memory, which there is soon after.
                stops_early = true;
                turning_point = cut_at - rng.between(10, 290) * MILLISECOND;
                config.drain_timeout = Duration::from_secs(30);
            }
            for peer in peers.iter_mut().filter(|_| rng.chance(600)) {
                let in_transit = 4 * window + 2 * kernel.send_buffer;
                peer.plan
                    .never_reads((in_transit + config.max_pending) as u64);
            }
            if rng.chance(500) {
                // Just when there is memory for them, there is often none to remember whose turn it is.
                faults.places_refused = rng.between(100, 400);
                if !stops_early {
                    turning_point = turning_point.max(cut_at + 1_000 * MILLISECOND);
                }
            }
        }
        if is_uneven {
            // Long enough for evictions, and nobody is cut off before.
            (turning_point, cut_at, stops_early) = (10_000 * MILLISECOND, u64::MAX, true);
        }
        Scene {
            config,
            faults,
            window,
            kernel,
            peers,
            most_clients: 4,
            step,
            cut_at,
            turning_point,
            stops_early,
        }
    }
}
