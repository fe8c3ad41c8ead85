//! Listeners: when they are told that somebody waits, and what becomes of those who wait when they close.

use super::worlds::{Peer, Worlds};
use super::{End, Found, READABLE, Stage, in_every_world, listener_key};
use echoloop::net::{AcceptError, Stream};
use std::io::ErrorKind;

in_every_world! {
    a_listener_that_nobody_comes_to_is_silent_and_its_queue_empty,
    the_first_connection_makes_an_edge,
    all_who_wait_are_taken_after_one_edge_in_their_order,
    who_comes_after_the_queue_was_found_empty_makes_an_edge,
    who_comes_after_a_look_at_an_empty_queue_makes_an_edge,
    a_peer_that_spoke_and_left_before_it_was_accepted_is_heard,
    where_a_peer_came_from_that_was_reset_in_the_queue_is_told_by_accepting_it_only,
    a_listener_that_closes_resets_who_waits,
    a_listener_that_has_closed_refuses_who_comes_and_is_silent,
}

fn a_listener_that_nobody_comes_to_is_silent_and_its_queue_empty<W: Worlds>(mut stage: Stage<W>) {
    stage.expect_silence(listener_key());
    assert!(matches!(stage.accept(), Err(AcceptError::Empty)));
}

fn the_first_connection_makes_an_edge<W: Worlds>(mut stage: Stage<W>) {
    let _peer = stage.dial();
    assert_eq!(stage.expect(listener_key(), READABLE), READABLE);
    assert!(stage.accept().is_ok());
    assert!(matches!(stage.accept(), Err(AcceptError::Empty)));
    stage.expect_silence(listener_key());
}

fn all_who_wait_are_taken_after_one_edge_in_their_order<W: Worlds>(mut stage: Stage<W>) {
    let mut peers = [stage.dial(), stage.dial(), stage.dial()];
    for (peer, name) in peers.iter_mut().zip([b"a", b"b", b"c"]) {
        peer.send(name);
    }
    stage.expect(listener_key(), READABLE);
    for name in [b"a", b"b", b"c"] {
        let mut stream = stage.accept().expect("three wait");
        let key = stage.register(&stream, false);
        assert_eq!(stage.hear(&mut stream, key), Found::bytes(name));
    }
    assert!(matches!(stage.accept(), Err(AcceptError::Empty)));
}

fn who_comes_after_the_queue_was_found_empty_makes_an_edge<W: Worlds>(mut stage: Stage<W>) {
    for _ in 0..3 {
        let _peer = stage.dial();
        stage.accept_the_only_one();
        stage.expect_silence(listener_key());
    }
}

fn who_comes_after_a_look_at_an_empty_queue_makes_an_edge<W: Worlds>(mut stage: Stage<W>) {
    for _ in 0..3 {
        let _peers = [stage.dial(), stage.dial()];
        stage.expect(listener_key(), READABLE);
        for _ in 0..2 {
            assert!(stage.has_waiting());
            assert!(stage.accept().is_ok());
        }
        assert!(!stage.has_waiting());
        stage.expect_silence(listener_key());
    }
}

fn a_peer_that_spoke_and_left_before_it_was_accepted_is_heard<W: Worlds>(mut stage: Stage<W>) {
    let mut peer = stage.dial();
    peer.send(b"in a hurry");
    peer.close();
    let mut stream = stage.accept_the_only_one();
    let key = stage.register(&stream, false);
    let found = stage.hear(&mut stream, key);
    assert_eq!(found, Found::bytes(b"in a hurry").and(End::Fin));
}

fn where_a_peer_came_from_that_was_reset_in_the_queue_is_told_by_accepting_it_only<W: Worlds>(
    mut stage: Stage<W>,
) {
    let stays = stage.dial();
    let (stream, address) = stage.accept_from().expect("one waits");
    assert_eq!(stream.peer_addr().expect("it stands"), address);
    let goes = stage.dial();
    goes.reset();
    stage.world.settle();
    let (stream, address) = stage.accept_from().expect("one waits all the same");
    assert!(address.ip().is_loopback(), "from {address}");
    let unknown = stream.peer_addr().expect_err("its peer has gone");
    assert_eq!(unknown.kind(), ErrorKind::NotConnected);
    assert!(matches!(stage.accept_from(), Err(AcceptError::Empty)));
    drop(stays);
}

fn a_listener_that_closes_resets_who_waits<W: Worlds>(mut stage: Stage<W>) {
    let mut peer = stage.dial();
    stage.expect(listener_key(), READABLE);
    stage.close_listener();
    let found = stage.peer_finds(&mut peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn a_listener_that_has_closed_refuses_who_comes_and_is_silent<W: Worlds>(mut stage: Stage<W>) {
    let _waits = stage.dial();
    stage.world.settle();
    stage.close_listener();
    stage.expect_silence(listener_key());
    let refused = stage.world.dial().map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    stage.expect_silence(listener_key());
}
