//! Rechecks of a deadline at which the kernel reported progress: the case of a seed that failed.

use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::SERVER;
use crate::sim_net::{SimNet, address};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{Config, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Runs the server up to the time `until` and until it sleeps.
fn run(server: &mut Server<SimNet<true>, Raw>, network: &SharedNetwork, until: u64) {
    loop {
        server.run_iteration().unwrap();
        let mut network = network.borrow_mut();
        let is_ready = network.is_anything_ready(SERVER);
        let asleep = network.hosts[SERVER].asleep_until.take_if(|_| !is_ready);
        let Some(asleep) = asleep else { continue };
        network.now = asleep.min(until);
        if asleep > until {
            return;
        }
    }
}

#[test]
fn byte_written_in_the_tick_of_a_recheck_restarts_timeout() {
    let config = Config {
        stall_timeout: Some(Duration::from_millis(400)),
        ..Config::default()
    };
    let mut network = Network::new(Rng::new(0), Faults::default(), false);
    network.window = 1_000;
    network.kernel.send_buffer = 1_000;
    network.kernel.notsent_lowat = 500;
    network.kernel.segment = 50;
    network.least_timeout = least_timeout(&config, None);
    let network = Rc::new(RefCell::new(network));
    let net = SimNet::<true> {
        network: network.clone(),
        host: SERVER,
    };
    let mut server = Server::new(net, Raw, config);
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let client = network.borrow_mut().connect(0, 1).unwrap();
    for _ in 0..5 {
        network.borrow_mut().send(client, &[b'x'; 1_000]);
        run(&mut server, &network, 10 * MILLISECOND);
    }
    let read = |bytes: usize| {
        let mut buffer = vec![0; bytes];
        assert_eq!(
            network.borrow_mut().read(client, &mut buffer).unwrap(),
            bytes
        );
    };
    // The deadline is at 650 ms. Bytes acknowledged before it are reported then, and leave the socket unwritable.
    run(&mut server, &network, 600 * MILLISECOND);
    read(100);
    run(&mut server, &network, 700 * MILLISECOND);
    // This makes the socket writable, in the tick in which the rechecks began.
    read(500);
    run(&mut server, &network, 1_099 * MILLISECOND);
    assert_eq!(server.live(), 1, "closed before the timeout");
    run(&mut server, &network, 1_700 * MILLISECOND);
    assert_eq!(server.live(), 0);
}
