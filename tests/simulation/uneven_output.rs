//! Slow readers with very different amounts of pending output, until memory is scarce.

use crate::faults::Faults;
use crate::network::MILLISECOND;
use crate::peer::{Closing, Peer, Plan, Reading};
use crate::rng::{Rng, mix};
use crate::send_queue::Kernel;
use echoloop::server::Config;
use std::time::Duration;

/// In some runs, replaces all peers: the server holds 200,000 bytes of output for the first peer and a tenth of that
/// for some others. When these have stalled, further peers like them make memory scarce.
///
/// Draws from a copy of the generator: the other draws do not depend on it.
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
    // Bytes buffered by the kernels at both ends, in either direction.
    let in_transit = 2 * *window as u64;
    *peers = (0..20)
        .map(|id| {
            let mut plan = Plan::draw(&mut rng, 1_000);
            let (total, starts_at) = match id {
                0 => (200_000, 0),
                1..6 => (rng.between(13_000, 16_000), rng.between(0, 500)),
                _ => (rng.between(13_000, 16_000), rng.between(3_000, 3_200)),
            };
            plan.set_never_reading(in_transit + total);
            plan.starts_at = starts_at * MILLISECOND;
            plan.urgent_per_mille = 0;
            // The run continues until the server has closed the connection.
            plan.stops_reading_at = Some(0);
            debug_assert_eq!(
                (plan.reading, plan.closing),
                (Reading::Never, Closing::Never)
            );
            Peer::new(id, plan)
        })
        .collect();
    true
}
