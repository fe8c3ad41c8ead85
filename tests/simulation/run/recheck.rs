//! What a seed has found about deadlines at which the kernel had reported progress.

use crate::faults::Faults;
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::SERVER;
use crate::sim_net::{SimNet, address};
use crate::world::{MILLISECOND, SharedWorld, World};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{Config, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Runs the server until that time has come and nothing is left to do.
fn run(server: &mut Server<SimNet<true>, Raw>, world: &SharedWorld, until: u64) {
    loop {
        server.turn().unwrap();
        let mut world = world.borrow_mut();
        let is_ready = world.is_anything_ready(SERVER);
        let asleep = world.hosts[SERVER].asleep_until.take_if(|_| !is_ready);
        let Some(asleep) = asleep else { continue };
        world.now = asleep.min(until);
        if asleep > until {
            return;
        }
    }
}

#[test]
fn a_byte_in_the_tick_of_a_recheck_restarts_the_timeout() {
    let config = Config {
        stall_timeout: Some(Duration::from_millis(400)),
        ..Config::default()
    };
    let mut world = World::new(Rng::new(0), Faults::default(), false);
    world.window = 1_000;
    world.kernel.send_buffer = 1_000;
    world.kernel.notsent_lowat = 500;
    world.kernel.segment = 50;
    world.least_timeout = least_timeout(&config, None);
    let world = Rc::new(RefCell::new(world));
    let net = SimNet::<true> {
        world: world.clone(),
        host: SERVER,
    };
    let mut server = Server::new(net, Raw, config);
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let client = world.borrow_mut().connect(0, 1).unwrap();
    for _ in 0..5 {
        world.borrow_mut().send(client, &[b'x'; 1_000]);
        run(&mut server, &world, 10 * MILLISECOND);
    }
    let read = |bytes: usize| {
        let mut buffer = vec![0; bytes];
        assert_eq!(world.borrow_mut().read(client, &mut buffer).unwrap(), bytes);
    };
    // The deadline is at 650 ms. What is acknowledged before that is reported then, and makes no room for output.
    run(&mut server, &world, 600 * MILLISECOND);
    read(100);
    run(&mut server, &world, 700 * MILLISECOND);
    // This makes room, in the tick in which the rechecks began.
    read(500);
    run(&mut server, &world, 1_099 * MILLISECOND);
    assert_eq!(server.live(), 1, "closed before the timeout");
    run(&mut server, &world, 1_700 * MILLISECOND);
    assert_eq!(server.live(), 0);
}
