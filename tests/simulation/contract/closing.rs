//! Closing: what the peer receives, and that no event is reported for a closed stream.

use super::backend::{Backend, Peer};
use super::{DRAIN, Harness, READABLE, Received, StreamEnd, WRITABLE, on_every_backend};
use echoloop::net::{Ending, Key, Net, Stream};
use std::io::ErrorKind;

on_every_backend! {
    close_with_fin_delivers_bytes_then_fin,
    close_with_reset_resets_the_peer,
    close_with_unread_input_resets_the_peer,
    close_with_only_fin_unread_sends_fin,
    close_after_own_fin_sends_nothing_more,
    input_for_a_closed_stream_resets_the_peer,
    closed_stream_has_no_events,
    pending_event_of_a_closed_stream_is_dropped,
    reused_fd_gets_no_event_of_its_previous_owner,
    reregistered_stream_reports_only_its_new_key,
    reset_after_fin_is_not_reported_by_the_peers_reads,
    bytes_before_own_reset_are_readable_by_the_peer,
    reset_after_the_peers_fin_is_reported_as_epipe,
    after_both_fins_a_reset_is_not_reported,
}

fn close_with_fin_delivers_bytes_then_fin<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    assert_eq!(pair.stream.write(b"bye").unwrap(), 3);
    harness.net().close(pair.stream, Ending::Fin);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"bye").and(StreamEnd::Fin));
}

fn close_with_reset_resets_the_peer<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    harness.net().close(pair.stream, Ending::Reset);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn close_with_unread_input_resets_the_peer<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"unread");
    harness.expect(pair.key, READABLE);
    harness.net().close(pair.stream, Ending::Fin);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn close_with_only_fin_unread_sends_fin<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE);
    harness.net().close(pair.stream, Ending::Fin);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Fin));
}

fn close_after_own_fin_sends_nothing_more<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.stream.shutdown_write().unwrap();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Fin));
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    assert_eq!(pair.peer.read(&mut [0; 8]).unwrap(), 0);
}

fn input_for_a_closed_stream_resets_the_peer<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    pair.peer.send(b"unread");
    harness.backend.deliver_all();
    let error = pair.peer.try_send(b"broken").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

fn closed_stream_has_no_events<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    pair.peer.send_fin();
    harness.expect_no_event(pair.key);
}

fn pending_event_of_a_closed_stream_is_dropped<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.peer.send(b"a");
    harness.backend.deliver_all();
    harness.net().close(pair.stream, Ending::Reset);
    harness.expect_no_event(pair.key);
}

fn reused_fd_gets_no_event_of_its_previous_owner<B: Backend>(mut harness: Harness<B>) {
    /// Other tests of the process open file descriptors, too, so several attempts may be needed.
    const MOST_ATTEMPTS: usize = 1000;
    for _ in 0..MOST_ATTEMPTS {
        let (old, new) = replace_connection(&mut harness);
        if old == new {
            return;
        }
    }
    panic!("no file descriptor was reused");
}

/// Closes a connection with a pending event, and accepts the next; returns the file descriptors of both.
fn replace_connection<B: Backend>(harness: &mut Harness<B>) -> (i32, i32) {
    let mut first = harness.pair();
    let mut next_peer = harness.connect_peer();
    harness.expect(super::listener_key(), READABLE);
    first.peer.send(b"a");
    harness.backend.deliver_all();
    let old = B::raw_fd(&first.stream);
    harness.net().close(first.stream, Ending::Fin);
    let mut stream = harness.accept().expect("a queued connection");
    let new = B::raw_fd(&stream);
    let key = harness.register(&stream, false);
    assert!(harness.accept().is_err(), "the accept queue is not empty");
    harness.expect_no_event(first.key);
    harness.expect_no_event(key);
    next_peer.send(b"b");
    assert_eq!(harness.receive(&mut stream, key), Received::bytes(b"b"));
    harness.expect_no_event(first.key);
    harness.net().close(stream, Ending::Reset);
    (old, new)
}

fn reregistered_stream_reports_only_its_new_key<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    let old = pair.key;
    let key = Key {
        serial: old.serial + 100,
        ..old
    };
    harness.net().watch_writable(&pair.stream, key).unwrap();
    pair.peer.send(b"a");
    harness.expect(key, READABLE);
    harness.expect_no_event(old);
}

fn bytes_before_own_reset_are_readable_by_the_peer<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    assert_eq!(pair.stream.write(b"part").unwrap(), 4);
    harness.backend.deliver_all();
    harness.net().close(pair.stream, Ending::Reset);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"part").and(StreamEnd::Reset));
}

fn reset_after_fin_is_not_reported_by_the_peers_reads<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    pair.peer.send(b"unread");
    harness.backend.deliver_all();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Fin));
}

fn reset_after_the_peers_fin_is_reported_as_epipe<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.peer.close();
    harness.expect(pair.key, READABLE);
    assert_eq!(pair.stream.write(b"unread").unwrap(), 6);
    harness.backend.deliver_all();
    let error = pair.stream.take_error().unwrap().expect("an error");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn after_both_fins_a_reset_is_not_reported<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    pair.stream.shutdown_write().unwrap();
    if Harness::<B>::SHORT_READ_DRAINS {
        harness.expect(pair.key, READABLE | WRITABLE | DRAIN);
    }
    assert!(pair.stream.peer_addr().is_err(), "the connection is over");
    pair.peer.reset();
    harness.expect_no_event(pair.key);
    assert!(pair.stream.take_error().unwrap().is_none());
    let again = pair.stream.shutdown_write().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotConnected);
}
