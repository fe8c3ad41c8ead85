//! The client and an independent TCP server over a network with faults.

use crate::checked::{TIMERS, endpoints};
use crate::echo_server::Settings;
use crate::network::{Faults, NO_FAULTS};
use crate::world::{Seen, World};
use echoloop::userspace::{Ended, UserspaceTcp};
use proptest::prelude::*;
use std::time::Duration;

const CONNECTIONS: u32 = 30;

fn settings(sockets: usize) -> Settings {
    let keepalive = None;
    Settings { sockets, keepalive }
}

/// A world without faults, with all connections established.
fn established() -> World {
    // Enough for new connections before the server has processed the end of the previous ones.
    let settings = settings(2 * CONNECTIONS as usize);
    let mut world = World::new(endpoints(false), CONNECTIONS, NO_FAULTS, settings, 1);
    world.connect_all();
    world.run_until_established();
    // The last acknowledgment arrives at the server.
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.server.established(), CONNECTIONS as usize);
    world
}

/// All connections are established, echo messages exactly, answer keepalive probes while they are idle, and close.
fn all_echo(is_ipv6: bool, faults: Faults, seed: u64) {
    let settings = Settings {
        sockets: 40,
        keepalive: Some(Duration::from_secs(60)),
    };
    let mut world = World::new(endpoints(is_ipv6), CONNECTIONS, faults, settings, seed);
    world.connect_all();
    world.run_until_established();
    for _ in 0..3 {
        for connection in world.connections() {
            world.message(connection);
        }
        world.run_until_echoed();
        // The server ends a connection from which nothing arrives for 600 s: the next message has time to be repeated.
        world.run_for(Duration::from_secs(570));
        assert_eq!(world.tcp.in_flight(), 0);
        assert_eq!(world.tcp.next_deadline(), None);
        assert_eq!(world.server.established(), CONNECTIONS as usize);
    }
    let counters = *world.tcp.counters();
    assert!(
        counters.keepalives >= 20 * u64::from(CONNECTIONS),
        "{counters:?}"
    );
    assert_eq!((counters.bad_checksums, counters.not_ours), (0, 0));
    // A probe of smoltcp in LAST-ACK has a byte in the place of its FIN.
    world.server.stop_keepalives();
    world.close_all();
    world.run_until("closed", |world| world.tcp.in_flight() == 0);
    let ends: Vec<_> = world.seen.iter().map(|seen| &seen.ended[..]).collect();
    assert!(
        ends.iter().all(|ended| *ended == [Ended::Closed]),
        "{ends:?}"
    );
}

#[test]
fn two_percent_of_faults_each_way_lose_nothing() {
    let faults = Faults {
        loss_per_mille: 20,
        duplicates_per_mille: 20,
        most_delay: Duration::from_millis(50),
    };
    for seed in 0..10 {
        all_echo(seed % 2 == 1, faults, 100 * seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_lose_nothing(
        is_ipv6: bool,
        loss_per_mille in 0..200u64,
        duplicates_per_mille in 0..200u64,
        most_delay in 1..500u64,
        seed in 0..1_000_000u64,
    ) {
        let most_delay = Duration::from_millis(most_delay);
        all_echo(is_ipv6, Faults { loss_per_mille, duplicates_per_mille, most_delay }, seed);
    }
}

#[test]
fn server_that_lost_its_state_resets_at_the_next_message() {
    let mut world = established();
    world.server.lose_state();
    world.run_for(Duration::from_secs(60));
    assert!(world.all(|seen| seen.ended.is_empty()), "nothing was sent");
    for connection in world.connections() {
        world.message(connection);
    }
    world.run_until("reset", |world| world.tcp.in_flight() == 0);
    assert!(world.all(|seen| seen.ended == [Ended::Reset]));
}

#[test]
fn fin_and_rst_of_the_server_are_reported() {
    for (with_fin, ended) in [(true, Ended::Fin), (false, Ended::Reset)] {
        let mut world = established();
        world.server.end_all(with_fin);
        world.run_until("ended", |world| world.all(|seen| !seen.ended.is_empty()));
        world.run_for(Duration::from_secs(60));
        assert!(world.all(|seen| seen.ended == [ended]));
        assert_eq!((world.tcp.in_flight(), world.server.established()), (0, 0));
    }
}

#[test]
fn connections_beyond_the_sockets_are_refused() {
    let mut world = World::new(endpoints(false), CONNECTIONS, NO_FAULTS, settings(20), 1);
    world.connect_all();
    world.run_until("an answer to each", |world| world.tcp.in_flight() == 0);
    let refused = world
        .seen
        .iter()
        .filter(|seen| seen.ended == [Ended::Refused]);
    assert_eq!(refused.count(), 10);
    let established = world.seen.iter().filter(|seen| seen.established == 1);
    assert_eq!(established.count(), 20);
}

#[test]
fn dropped_syn_is_retransmitted_until_a_place_is_free() {
    let mut world = World::new(endpoints(false), CONNECTIONS, NO_FAULTS, settings(40), 1);
    world.drops_syn = true;
    world.connect_all();
    world.run_for(Duration::from_secs(5));
    assert!(world.all(|seen| seen.established == 0 && seen.ended.is_empty()));
    world.drops_syn = false;
    world.run_until_established();
    let counters = world.tcp.counters();
    assert_eq!(counters.syn_retransmits, 3 * u64::from(CONNECTIONS));
}

#[test]
fn silent_server_times_out() {
    let mut world = World::new(endpoints(false), CONNECTIONS, NO_FAULTS, settings(40), 1);
    world.drops_syn = true;
    world.connect_all();
    world.run_for(Duration::from_secs(11));
    assert!(world.all(|seen| seen.ended == [Ended::TimedOut]));
    assert_eq!(world.tcp.in_flight(), 0);
}

/// A client that was killed and started again: the server still has its connections.
#[test]
fn addresses_and_ports_still_in_use_are_reset_and_opened() {
    let mut world = established();
    world.tcp = UserspaceTcp::new(endpoints(false), CONNECTIONS, 99, TIMERS).unwrap();
    world.seen.fill(Seen::default());
    world.connect_all();
    world.run_for(Duration::from_millis(900));
    assert!(world.all(|seen| seen.established == 1), "no timeout");
    let counters = *world.tcp.counters();
    assert_eq!(counters.reused, u64::from(CONNECTIONS), "{counters:?}");
    for connection in world.connections() {
        world.message(connection);
    }
    world.run_until_echoed();
}

#[test]
fn reset_ends_all_connections_of_the_server() {
    let mut world = established();
    world.reset_all();
    assert_eq!(world.tcp.in_flight(), 0);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.server.established(), 0);
}

#[test]
fn connections_are_opened_again_after_each_kind_of_end() {
    let mut world = established();
    for round in 2..6 {
        match round {
            2 => world.close_all(),
            3 => world.reset_all(),
            4 => world.server.end_all(true),
            _ => world.server.end_all(false),
        }
        world.run_for(Duration::from_secs(60));
        world.connect_all();
        world.run_until("open again", |world| {
            world.all(|seen| seen.established == round)
        });
        for connection in world.connections() {
            world.message(connection);
        }
        world.run_until_echoed();
    }
}
