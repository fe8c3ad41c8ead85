//! Peers that do not read and for which the server holds very different amounts of memory, until it is scarce.

use crate::faults::Faults;
use crate::peer::{Leaving, Peer, Plan, Reading};
use crate::rng::{Rng, mix};
use crate::send_queue::Kernel;
use crate::world::MILLISECOND;
use echoloop::server::Config;
use std::time::Duration;

/// In some runs, replaces all peers: the first one makes the server hold 200,000 bytes, some others a tenth of that, and when
/// all of them have stalled, memory becomes scarce because of more like these. A copy of the generator is used, so that everything else is drawn as without them.
pub fn maybe_draw(
    rng: &Rng,
    config: &mut Config,
    (window, kernel, faults): (&mut usize, &mut Kernel, &mut Faults),
    peers: &mut Vec<Peer>,
) -> bool {
    let mut rng = Rng::new(mix(rng.clone().next() ^ 0x0E7E_11E5));
    if !rng.chance(50) {
        return false;
    }
    *config = Config {
        max_connections: 60,
        max_pending: 400_000,
        max_buffered: 500_000,
        stall_timeout: Some(Duration::from_secs(60)),
        drain_timeout: config.drain_timeout,
        ..Config::default()
    };
    *window = 1_000;
    *kernel = Kernel::default();
    *faults = Faults::default();
    // What the kernels at both ends take, in either direction.
    let in_transit = 2 * *window as u64;
    *peers = (0..20)
        .map(|id| {
            let mut plan = Plan::draw(&mut rng, 1_000);
            let (total, starts_at) = match id {
                0 => (200_000, 0),
                1..6 => (rng.between(13_000, 16_000), rng.between(0, 500)),
                _ => (rng.between(13_000, 16_000), rng.between(3_000, 3_200)),
            };
            plan.never_reads(in_transit + total);
            plan.starts_at = starts_at * MILLISECOND;
            plan.urgent = 0;
            // The run goes on until the server has closed it.
            plan.stops_at = Some(0);
            debug_assert_eq!(
                (plan.reading, plan.leaving),
                (Reading::Never, Leaving::Never)
            );
            Peer::new(id, plan)
        })
        .collect();
    true
}
