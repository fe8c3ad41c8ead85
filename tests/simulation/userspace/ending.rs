//! How connections in user space end with the load.

use super::{Settings, Wires, World, draw_config, for_each_seed};
use crate::network::MILLISECOND;
use crate::userspace::link_network::Faults;
use echoloop::load::WallTime;
use std::time::Duration;

/// However many there are, the load neither waits for answers nor sends more than one packet for each.
#[test]
fn each_connection_is_reset_at_the_end_without_waiting() {
    for_each_seed(|mut rng| {
        let config = draw_config(&mut rng);
        let idle = config.idle;
        let mut world = World::with(&mut rng, config, |rng, endpoints| {
            let faults = Faults {
                loss_per_mille: 0,
                duplicates_per_mille: rng.magnitude(100),
                most_delay: Duration::from_micros(1 + rng.magnitude(200_000)),
            };
            let settings = Settings {
                sockets: idle as usize,
                keepalive: None,
            };
            Wires::new(rng, endpoints, faults, settings)
        });
        world.run_while(|world| !world.load.is_done());
        let World {
            mut load,
            wires,
            network,
            ..
        } = world;
        let mut saved = load.to_saved(WallTime::default());
        let before = (wires.borrow().sent, wires.borrow().resets);
        let begin = network.borrow().now;
        assert_eq!(wires.borrow().server.established(), idle as usize);
        if rng.chance(500) {
            load.close(&mut saved);
        } else {
            load.reset();
        }
        assert_eq!(network.borrow().now, begin, "it waits");
        let (sent, resets) = (wires.borrow().sent, wires.borrow().resets);
        let idle = u64::from(idle);
        assert_eq!((sent, resets), (before.0 + idle, before.1 + idle));
        // All arrive by themselves.
        let mut wires = wires.borrow_mut();
        let second = Duration::from_nanos(begin + 1_000 * MILLISECOND);
        wires.run(second);
        assert_eq!(wires.server.established(), 0);
        saved.result
    });
}
