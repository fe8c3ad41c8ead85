//! Peers that read slowly but steadily: their kernels acknowledge bytes while the server has neither input nor space
//! for output. Some of them stop reading midway.

use crate::faults::Faults;
use crate::network::MILLISECOND;
use crate::peer::{Closing, Peer, Reading};
use crate::rng::{Rng, mix};
use crate::run::UNLIMITED_MEMORY;
use crate::send_queue::Kernel;
use echoloop::server::Config;
use std::time::Duration;

/// The approximate number of polls in which a peer reads the bytes buffered by the kernels.
const POLLS: u64 = 100;

/// In some runs, sets timeouts so short that deadlines pass before most peers are done, and accepts all input.
pub fn draw_short_timeouts(
    rng: &Rng,
    config: &mut Config,
    (window, kernel, faults): (usize, &mut Kernel, &mut Faults),
) -> bool {
    let mut rng = Rng::new(mix(rng.clone().next() ^ 0xDEAD_11E5));
    if kernel.send_buffer == 0 || kernel.hides_progress || !rng.chance(400) {
        return false;
    }
    let mut time = || Some(Duration::from_millis(rng.between(300, 4_000)));
    (config.idle_timeout, config.stall_timeout) = (time(), time());
    config.max_buffered = UNLIMITED_MEMORY;
    config.max_connections = 60;
    // The kernel buffers much output, so the output of the server stays pending for long.
    kernel.send_buffer = kernel.send_buffer.max(window);
    kernel.notsent_lowat = kernel.notsent_lowat.max(window);
    (kernel.progress_hidden, faults.progress_hidden) = (0, 0);
    if rng.chance(300) {
        // Some deadlines pass while their connections have unread input.
        faults.clock_jump_if_busy = 50;
        faults.clock_jump_ms = 10_000;
    }
    true
}

/// In some runs, or in this one if `all`, makes some of the peers slow, steady readers: reading the bytes buffered by
/// the kernels at both ends takes a few times one of the timeouts of the server.
///
/// Draws from a copy of the generator: the other draws do not depend on it.
pub fn draw_steady_readers(
    rng: &Rng,
    config: &Config,
    (window, kernel): (usize, &Kernel),
    peers: &mut [Peer],
    all: bool,
) {
    let mut rng = Rng::new(mix(rng.clone().next() ^ 0x57EA_D1E5));
    if kernel.send_buffer == 0 || !(all || rng.chance(600)) {
        return;
    }
    let timeouts: Vec<Duration> = [config.stall_timeout, config.idle_timeout]
        .into_iter()
        .flatten()
        .collect();
    let held = (window + kernel.send_buffer.min(kernel.notsent_lowat)) as u64;
    for peer in peers {
        if !rng.chance(if all { 800 } else { 400 }) {
            continue;
        }
        let timeout = rng.one_of(&timeouts).as_nanos() as u64;
        let plan = &mut peer.plan;
        plan.starts_at /= 8;
        // Either the kernels buffer everything it sends, or the server has pending output.
        plan.total = held * rng.between(1, 4) / 2;
        if all {
            plan.total += rng.between(0, (4 * held).min(config.max_pending as u64));
        }
        plan.chunk = plan.total;
        // The pause is an upper limit; the average is half of it.
        let timeouts = rng.between(1, if all { 12 } else { 4 });
        plan.pause = (2 * timeouts * timeout / POLLS).max(MILLISECOND);
        plan.reading = Reading::Slow((held / POLLS).max(1) as usize);
        plan.closing = Closing::WhenEchoed;
        plan.urgent_per_mille = 0;
        if rng.chance(300) {
            // It sends while it reads.
            plan.chunk = 1 + plan.total / rng.between(2, 40);
        }
        if rng.chance(400) {
            plan.stops_reading_at = Some(plan.starts_at + rng.between(0, timeouts * timeout));
        }
    }
}
