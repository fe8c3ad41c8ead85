//! Listeners: when a queued connection raises an edge, and what happens to the accept queue on close.

use super::backend::{Backend, Peer};
use super::{Harness, READABLE, Received, StreamEnd, listener_key, on_every_backend};
use echoloop::net::{AcceptError, Stream};
use std::io::ErrorKind;

on_every_backend! {
    listener_without_connections_has_no_events,
    first_connection_raises_an_edge,
    queued_connections_are_accepted_in_order_after_one_edge,
    connection_after_an_empty_accept_raises_an_edge,
    connection_after_an_empty_poll_raises_an_edge,
    bytes_of_a_peer_that_closed_before_accept_are_readable,
    address_of_a_peer_reset_in_the_queue_comes_from_accept,
    closing_a_listener_resets_queued_connections,
    closed_listener_refuses_connections_without_events,
}

fn listener_without_connections_has_no_events<B: Backend>(mut harness: Harness<B>) {
    harness.expect_no_event(listener_key());
    assert!(matches!(harness.accept(), Err(AcceptError::Empty)));
}

fn first_connection_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    let _peer = harness.connect_peer();
    assert_eq!(harness.expect(listener_key(), READABLE), READABLE);
    assert!(harness.accept().is_ok());
    assert!(matches!(harness.accept(), Err(AcceptError::Empty)));
    harness.expect_no_event(listener_key());
}

fn queued_connections_are_accepted_in_order_after_one_edge<B: Backend>(mut harness: Harness<B>) {
    let mut peers = [
        harness.connect_peer(),
        harness.connect_peer(),
        harness.connect_peer(),
    ];
    for (peer, name) in peers.iter_mut().zip([b"a", b"b", b"c"]) {
        peer.send(name);
    }
    harness.expect(listener_key(), READABLE);
    for name in [b"a", b"b", b"c"] {
        let mut stream = harness.accept().expect("three queued connections");
        let key = harness.register(&stream, false);
        assert_eq!(harness.receive(&mut stream, key), Received::bytes(name));
    }
    assert!(matches!(harness.accept(), Err(AcceptError::Empty)));
}

fn connection_after_an_empty_accept_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    for _ in 0..3 {
        let _peer = harness.connect_peer();
        harness.accept_only();
        harness.expect_no_event(listener_key());
    }
}

fn connection_after_an_empty_poll_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    for _ in 0..3 {
        let _peers = [harness.connect_peer(), harness.connect_peer()];
        harness.expect(listener_key(), READABLE);
        for _ in 0..2 {
            assert!(harness.has_waiting());
            assert!(harness.accept().is_ok());
        }
        assert!(!harness.has_waiting());
        harness.expect_no_event(listener_key());
    }
}

fn bytes_of_a_peer_that_closed_before_accept_are_readable<B: Backend>(mut harness: Harness<B>) {
    let mut peer = harness.connect_peer();
    peer.send(b"closed early");
    peer.close();
    let mut stream = harness.accept_only();
    let key = harness.register(&stream, false);
    let received = harness.receive(&mut stream, key);
    assert_eq!(
        received,
        Received::bytes(b"closed early").and(StreamEnd::Fin)
    );
}

fn address_of_a_peer_reset_in_the_queue_comes_from_accept<B: Backend>(mut harness: Harness<B>) {
    let open = harness.connect_peer();
    let (stream, address) = harness.accept_from().expect("a queued connection");
    assert_eq!(stream.peer_addr().expect("established"), address);
    let reset = harness.connect_peer();
    reset.reset();
    harness.backend.deliver_all();
    let (stream, address) = harness
        .accept_from()
        .expect("a queued connection, though reset");
    assert!(address.ip().is_loopback(), "from {address}");
    let unknown = stream.peer_addr().expect_err("a reset connection");
    assert_eq!(unknown.kind(), ErrorKind::NotConnected);
    assert!(matches!(harness.accept_from(), Err(AcceptError::Empty)));
    drop(open);
}

fn closing_a_listener_resets_queued_connections<B: Backend>(mut harness: Harness<B>) {
    let mut peer = harness.connect_peer();
    harness.expect(listener_key(), READABLE);
    harness.close_listener();
    let received = harness.peer_reads(&mut peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn closed_listener_refuses_connections_without_events<B: Backend>(mut harness: Harness<B>) {
    let _queued = harness.connect_peer();
    harness.backend.deliver_all();
    harness.close_listener();
    harness.expect_no_event(listener_key());
    let refused = harness.backend.connect_peer().map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    harness.expect_no_event(listener_key());
}
