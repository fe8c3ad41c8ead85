//! The peer's reset: how it is reported, and what the stream still allows.

use super::backend::{Backend, Peer};
use super::{DRAIN, Harness, READABLE, Received, StreamEnd, WRITABLE, on_every_backend, read_all};
use echoloop::net::{Readiness, Stream};
use std::io::ErrorKind;

on_every_backend! {
    reset_raises_an_edge_with_drain,
    reset_is_read_as_one_error_and_then_as_eof,
    reset_before_registration_is_reported,
    reset_before_accept_is_accepted_and_reported,
    reset_after_own_fin_is_reported,
    reset_with_a_full_send_buffer_is_reported_as_writable,
    write_after_a_reset_fails,
    shutdown_after_a_reset_fails,
    closed_peer_answers_bytes_with_a_reset,
    peer_that_closes_with_unread_input_resets,
    bytes_before_a_reset_are_readable,
    reset_reported_by_a_write_is_not_reported_by_a_read,
    reset_reported_by_so_error_is_not_reported_by_a_read,
    reset_is_reported_as_writable_without_watching,
    peer_address_is_unknown_after_a_reset,
}

/// The readiness of a closed connection. The weak backend reports no DRAIN, since its reads always continue until EAGAIN.
fn ended<B: Backend>() -> Readiness {
    READABLE | DRAIN.when(Harness::<B>::SHORT_READ_DRAINS)
}

fn reset_raises_an_edge_with_drain<B: Backend>(mut harness: Harness<B>) {
    let pair = harness.drained_pair();
    pair.peer.reset();
    harness.expect(pair.key, ended::<B>());
    harness.expect_no_event(pair.key);
}

fn reset_is_read_as_one_error_and_then_as_eof<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.reset();
    let reported = harness.expect(pair.key, ended::<B>());
    let received = read_all(&mut pair.stream, reported);
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
    for _ in 0..2 {
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    }
}

fn reset_before_registration_is_reported<B: Backend>(mut harness: Harness<B>) {
    let peer = harness.connect_peer();
    let mut stream = harness.accept_only();
    peer.reset();
    harness.backend.deliver_all();
    let key = harness.register(&stream, false);
    let reported = harness.expect(key, ended::<B>());
    let received = read_all(&mut stream, reported);
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn reset_before_accept_is_accepted_and_reported<B: Backend>(mut harness: Harness<B>) {
    harness.connect_peer().reset();
    let mut stream = harness.accept_only();
    let key = harness.register(&stream, false);
    let reported = harness.expect(key, ended::<B>());
    let received = read_all(&mut stream, reported);
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn reset_after_own_fin_is_reported<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.stream.shutdown_write().unwrap();
    harness.backend.deliver_all();
    pair.peer.reset();
    let reported = harness.expect(pair.key, ended::<B>());
    let received = read_all(&mut pair.stream, reported);
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

/// A connection with pending output does not read, so a write must report the reset.
fn reset_with_a_full_send_buffer_is_reported_as_writable<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    while pair.stream.write(&[b'x'; 4096]).is_ok() {}
    harness.watch_writable(&pair);
    harness.expect_no_event(pair.key);
    pair.peer.reset();
    harness.expect(pair.key, WRITABLE);
    assert_write_fails(&mut pair.stream);
}

fn write_after_a_reset_fails<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.reset();
    harness.expect(pair.key, READABLE);
    assert_write_fails(&mut pair.stream);
    assert_write_fails(&mut pair.stream);
}

fn assert_write_fails(stream: &mut impl Stream) {
    let kind = stream.write(b"x").unwrap_err().kind();
    let is_reset = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    assert!(is_reset, "{kind}");
}

fn shutdown_after_a_reset_fails<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.reset();
    harness.expect(pair.key, READABLE);
    let error = pair.stream.shutdown_write().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

fn closed_peer_answers_bytes_with_a_reset<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.close();
    harness.expect(pair.key, ended::<B>());
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(
        pair.stream.write(b"unread").unwrap(),
        6,
        "the peer's RST has not arrived"
    );
    if Harness::<B>::SHORT_READ_DRAINS {
        // The weak backend raises an edge only after EAGAIN, and a read at FIN never returns that.
        harness.expect(pair.key, ended::<B>());
    }
    harness.backend.deliver_all();
    assert_write_fails(&mut pair.stream);
}

fn peer_that_closes_with_unread_input_resets<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    assert_eq!(pair.stream.write(b"unread").unwrap(), 6);
    harness.backend.deliver_all();
    pair.peer.close();
    let reported = harness.expect(pair.key, ended::<B>());
    let received = read_all(&mut pair.stream, reported);
    assert_eq!(received, Received::bytes(b"").and(StreamEnd::Reset));
}

fn bytes_before_a_reset_are_readable<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send(b"last part");
    harness.backend.deliver_all();
    pair.peer.reset();
    let reported = harness.expect(pair.key, ended::<B>());
    let received = read_all(&mut pair.stream, reported);
    assert_eq!(
        received,
        Received::bytes(b"last part").and(StreamEnd::Reset)
    );
}

fn reset_reported_by_a_write_is_not_reported_by_a_read<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.reset();
    harness.expect(pair.key, ended::<B>());
    let first = pair.stream.write(b"x").unwrap_err();
    assert_eq!(first.kind(), ErrorKind::ConnectionReset);
    let second = pair.stream.write(b"x").unwrap_err();
    assert_eq!(second.kind(), ErrorKind::BrokenPipe);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn reset_reported_by_so_error_is_not_reported_by_a_read<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.reset();
    harness.expect(pair.key, ended::<B>());
    let error = pair.stream.take_error().unwrap().expect("an error");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(pair.stream.take_error().unwrap().is_none());
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn reset_is_reported_as_writable_without_watching<B: Backend>(mut harness: Harness<B>) {
    let pair = harness.drained_pair();
    pair.peer.reset();
    harness.expect(pair.key, READABLE | WRITABLE);
}

fn peer_address_is_unknown_after_a_reset<B: Backend>(mut harness: Harness<B>) {
    let pair = harness.pair();
    assert!(pair.stream.peer_addr().is_ok());
    pair.peer.reset();
    harness.expect(pair.key, ended::<B>());
    let error = pair.stream.peer_addr().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
