//! Input, urgent data and the peer's FIN: when they raise an edge, and where a read stops.

use super::backend::{Backend, Peer};
use super::{DRAIN, Harness, READABLE, Received, StreamEnd, on_every_backend, read_all};
use echoloop::net::{Readiness, Stream};

on_every_backend! {
    stream_without_activity_has_no_events,
    first_byte_after_registration_raises_an_edge,
    input_after_a_blocked_read_raises_an_edge,
    input_before_registration_is_reported,
    fin_before_registration_is_reported,
    watching_writable_reports_unread_input_again,
    input_after_a_short_read_raises_an_edge,
    read_fills_its_buffer_and_leaves_the_rest,
    fin_raises_an_edge_and_every_read_returns_zero,
    fin_with_data_reports_drain_and_is_read_after_it,
    fin_after_a_blocked_read_raises_an_edge_with_drain,
    urgent_byte_reports_drain_and_a_read_stops_before_it,
    read_from_the_urgent_mark_continues_past_it,
    urgent_byte_that_was_read_no_longer_reports_drain,
    short_read_before_an_urgent_byte_is_followed_by_an_edge,
    second_urgent_mark_replaces_the_first,
    input_read_before_its_event_is_not_reported,
}

fn stream_without_activity_has_no_events<B: Backend>(mut harness: Harness<B>) {
    let pair = harness.pair();
    harness.expect_no_event(pair.key);
}

fn first_byte_after_registration_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"a");
    let reported = harness.expect(pair.key, READABLE);
    assert_eq!(reported, READABLE, "readiness without a cause");
    assert_eq!(read_all(&mut pair.stream, reported), Received::bytes(b"a"));
    harness.expect_no_event(pair.key);
}

fn input_after_a_blocked_read_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    for byte in *b"abc" {
        harness.expect_no_event(pair.key);
        harness.exchange_byte(&mut pair, byte);
    }
}

fn input_before_registration_is_reported<B: Backend>(mut harness: Harness<B>) {
    let mut peer = harness.connect_peer();
    let mut stream = harness.accept_only();
    peer.send(b"early");
    harness.backend.deliver_all();
    let key = harness.register(&stream, false);
    assert_eq!(harness.receive(&mut stream, key), Received::bytes(b"early"));
}

fn fin_before_registration_is_reported<B: Backend>(mut harness: Harness<B>) {
    let mut peer = harness.connect_peer();
    let mut stream = harness.accept_only();
    peer.send_fin();
    harness.backend.deliver_all();
    let key = harness.register(&stream, false);
    harness.expect(key, READABLE | drain::<B>());
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}

fn watching_writable_reports_unread_input_again<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"a");
    harness.expect(pair.key, READABLE);
    harness.watch_writable(&pair);
    harness.expect(pair.key, READABLE);
}

fn input_after_a_short_read_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    if !Harness::<B>::SHORT_READ_DRAINS {
        return;
    }
    let mut pair = harness.pair();
    for round in [b"a", b"b"] {
        pair.peer.send(round);
        assert_eq!(harness.expect(pair.key, READABLE), READABLE);
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 1);
        harness.expect_no_event(pair.key);
    }
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE | DRAIN);
}

fn read_fills_its_buffer_and_leaves_the_rest<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"abcde");
    let reported = harness.expect(pair.key, READABLE);
    let mut buffer = [0; 2];
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 2);
    assert_eq!(&buffer, b"ab");
    assert_eq!(
        read_all(&mut pair.stream, reported),
        Received::bytes(b"cde")
    );
}

fn fin_raises_an_edge_and_every_read_returns_zero<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE | drain::<B>());
    for _ in 0..3 {
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    }
    harness.expect_no_event(pair.key);
}

fn fin_with_data_reports_drain_and_is_read_after_it<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"last");
    pair.peer.send_fin();
    let reported = harness.expect(pair.key, READABLE | drain::<B>());
    let received = read_all(&mut pair.stream, reported);
    assert_eq!(received, Received::bytes(b"last").and(StreamEnd::Fin));
}

fn fin_after_a_blocked_read_raises_an_edge_with_drain<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.peer.send_fin();
    let reported = harness.expect(pair.key, READABLE | drain::<B>());
    assert_eq!(
        read_all(&mut pair.stream, reported),
        Received::bytes(b"").and(StreamEnd::Fin)
    );
}

fn urgent_byte_reports_drain_and_a_read_stops_before_it<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_urgent(b"abcX");
    let reported = harness.expect(pair.key, READABLE | drain::<B>());
    let mut buffer = [0; 8];
    let count = pair.stream.read(&mut buffer).unwrap();
    assert_eq!(
        &buffer[..count],
        b"abc",
        "the read must stop before the mark"
    );
    assert_eq!(read_all(&mut pair.stream, reported), Received::bytes(b"X"));
}

fn read_from_the_urgent_mark_continues_past_it<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_urgent(b"abcX");
    pair.peer.send(b"def");
    harness.expect(pair.key, READABLE | drain::<B>());
    let mut buffer = [0; 8];
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 3);
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"Xdef");
}

fn urgent_byte_that_was_read_no_longer_reports_drain<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_urgent(b"abcX");
    let reported = harness.expect(pair.key, READABLE | drain::<B>());
    assert_eq!(
        read_all(&mut pair.stream, reported),
        Received::bytes(b"abcX")
    );
    pair.peer.send(b"d");
    let reported = harness.expect(pair.key, READABLE);
    assert_eq!(reported, READABLE);
    assert_eq!(read_all(&mut pair.stream, reported), Received::bytes(b"d"));
}

/// The event comes before the urgent byte, the read after it. Without another edge the connection would miss the byte.
fn short_read_before_an_urgent_byte_is_followed_by_an_edge<B: Backend>(mut harness: Harness<B>) {
    if !Harness::<B>::SHORT_READ_DRAINS {
        return;
    }
    let mut pair = harness.pair();
    pair.peer.send(b"abc");
    assert_eq!(harness.expect(pair.key, READABLE), READABLE);
    pair.peer.send_urgent(b"X");
    harness.backend.deliver_all();
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 3, "a short read");
    let reported = harness.expect(pair.key, READABLE | DRAIN);
    assert_eq!(read_all(&mut pair.stream, reported), Received::bytes(b"X"));
}

fn second_urgent_mark_replaces_the_first<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_urgent(b"abcX");
    pair.peer.send_urgent(b"defY");
    harness.backend.deliver_all();
    let reported = harness.expect(pair.key, READABLE | drain::<B>());
    let mut buffer = [0; 16];
    let count = pair.stream.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"abcXdef");
    assert_eq!(read_all(&mut pair.stream, reported), Received::bytes(b"Y"));
}

fn input_read_before_its_event_is_not_reported<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"a");
    harness.expect(pair.key, READABLE);
    pair.peer.send(b"b");
    harness.backend.deliver_all();
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 2);
    harness.expect_no_event(pair.key);
    if Harness::<B>::SHORT_READ_DRAINS {
        pair.peer.send(b"c");
        assert_eq!(
            harness.receive(&mut pair.stream, pair.key),
            Received::bytes(b"c")
        );
    }
}

/// DRAIN, on backends where a short read shows that the socket is empty. On the others every read continues until
/// EAGAIN, so DRAIN is not reported.
fn drain<B: Backend>() -> Readiness {
    DRAIN.when(Harness::<B>::SHORT_READ_DRAINS)
}
