//! Peers that read slowly but steadily: while a server sees neither input nor room for output, their kernels go on
//! acknowledging bytes. Some of them stop in the middle.

use crate::faults::Faults;
use crate::peer::{Leaving, Peer, Reading};
use crate::rng::{Rng, mix};
use crate::run::PLENTY;
use crate::send_queue::Kernel;
use crate::world::MILLISECOND;
use echoloop::server::Config;
use std::time::Duration;

/// How many looks of a peer it takes, about, to read what the kernels hold for it.
const LOOKS: u64 = 100;

/// In some runs deadlines pass before most peers are done: timeouts are short, and all that peers send is let through.
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
    config.max_buffered = PLENTY;
    config.max_connections = 60;
    // The server has pending output for long before there is room for it.
    kernel.send_buffer = kernel.send_buffer.max(window);
    kernel.notsent_lowat = kernel.notsent_lowat.max(window);
    (kernel.progress_hidden, faults.progress_hidden) = (0, 0);
    if rng.chance(300) {
        // Some fall due while their connections have input left to read.
        faults.busy_jump = 50;
        faults.clock_jump_ms = 10_000;
    }
    true
}

/// In some runs, or in this one if `all`, makes some of the peers slow and steady: what the kernels at both ends hold for one of them is read in
/// a few times one of the server's timeouts. A copy of the generator is used, so that everything else is drawn as
/// without them.
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
        // All that it says fits into the kernels, or the server is left with pending output.
        plan.total = held * rng.between(1, 4) / 2;
        if all {
            plan.total += rng.between(0, (4 * held).min(config.max_pending as u64));
        }
        plan.chunk = plan.total;
        // A pause is as long as drawn at most, and half of that on average.
        let timeouts = rng.between(1, if all { 12 } else { 4 });
        plan.pause = (2 * timeouts * timeout / LOOKS).max(MILLISECOND);
        plan.reading = Reading::Slow((held / LOOKS).max(1) as usize);
        plan.leaving = Leaving::WhenEchoed;
        plan.urgent = 0;
        if rng.chance(300) {
            // It goes on sending while it reads.
            plan.chunk = 1 + plan.total / rng.between(2, 40);
        }
        if rng.chance(400) {
            plan.stops_at = Some(plan.starts_at + rng.between(0, timeouts * timeout));
        }
    }
}
