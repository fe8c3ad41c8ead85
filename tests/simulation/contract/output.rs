//! Output: writes, EAGAIN, and when output space raises an edge.

use super::backend::{Backend, Peer};
use super::{Harness, READABLE, Received, StreamEnd, WRITABLE, on_every_backend};
use echoloop::net::{Ending, Net, Stream};
use std::io::ErrorKind;

on_every_backend! {
    written_bytes_arrive_in_order,
    watching_writable_with_space_raises_an_edge,
    registering_writable_with_space_raises_an_edge,
    blocked_write_is_followed_by_an_edge_once_the_peer_reads,
    space_before_watching_writable_is_reported,
    poll_without_space_is_followed_by_an_edge,
    space_is_not_reported_without_watching_writable,
    stream_is_writable_after_the_peers_fin,
    stream_is_readable_after_own_fin,
    full_send_buffer_arrives_after_close_with_fin,
    watched_stream_reports_writable_with_every_input,
}

fn written_bytes_arrive_in_order<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    assert_eq!(pair.stream.write(b"abc").unwrap(), 3);
    assert_eq!(pair.stream.write(b"def").unwrap(), 3);
    let received = harness.peer_reads(&mut pair.peer, |received| received.bytes.len() >= 6);
    assert_eq!(received.bytes, b"abcdef");
}

fn watching_writable_with_space_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    let pair = harness.pair();
    harness.watch_writable(&pair);
    assert_eq!(harness.expect(pair.key, WRITABLE), WRITABLE);
}

fn registering_writable_with_space_raises_an_edge<B: Backend>(mut harness: Harness<B>) {
    let _peer = harness.connect_peer();
    let stream = harness.accept_only();
    let key = harness.register(&stream, true);
    assert_eq!(harness.expect(key, WRITABLE), WRITABLE);
}

/// Writes until EAGAIN; returns the number of bytes accepted.
fn fill(stream: &mut impl Stream) -> usize {
    let mut accepted = 0;
    loop {
        match stream.write(&[b'x'; 4096]) {
            Ok(count) => accepted += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return accepted;
            }
        }
    }
}

fn blocked_write_is_followed_by_an_edge_once_the_peer_reads<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let mut written = fill(&mut pair.stream);
    harness.watch_writable(&pair);
    harness.expect_no_event(pair.key);
    let mut bytes_read = 0;
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        let peer = &mut pair.peer;
        let mut read_some = || {
            while let Ok(count) = peer.read(&mut buffer) {
                bytes_read += count;
            }
        };
        harness.expect_while(pair.key, WRITABLE, &mut read_some);
        written += fill(&mut pair.stream);
    }
    let rest = harness.peer_reads(&mut pair.peer, |received| {
        bytes_read + received.bytes.len() >= written
    });
    assert_eq!(bytes_read + rest.bytes.len(), written);
}

fn space_before_watching_writable_is_reported<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = fill(&mut pair.stream);
    harness.peer_reads(&mut pair.peer, |received| received.bytes.len() == written);
    harness.watch_writable(&pair);
    harness.expect(pair.key, WRITABLE);
}

/// The writable event was already consumed. The poll that finds no space, without a write, requests the next edge.
fn poll_without_space_is_followed_by_an_edge<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    harness.watch_writable(&pair);
    harness.expect(pair.key, WRITABLE);
    let mut written = 0;
    while pair.stream.takes_output() {
        let count = pair.stream.write(&[b'x'; 1024]).unwrap();
        assert!(count > 0);
        written += count;
    }
    harness.peer_reads(&mut pair.peer, |received| received.bytes.len() == written);
    assert!(pair.stream.takes_output());
    harness.expect(pair.key, WRITABLE);
}

fn space_is_not_reported_without_watching_writable<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = fill(&mut pair.stream);
    harness.peer_reads(&mut pair.peer, |received| received.bytes.len() == written);
    harness.expect_no_event(pair.key);
}

fn stream_is_writable_after_the_peers_fin<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(pair.stream.write(b"late").unwrap(), 4);
    pair.stream.shutdown_write().unwrap();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(
        (&*received.bytes, received.end),
        (&b"late"[..], Some(StreamEnd::Fin))
    );
}

fn stream_is_readable_after_own_fin<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    pair.stream.shutdown_write().unwrap();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received.end, Some(StreamEnd::Fin));
    pair.peer.send(b"late");
    let received = harness.receive(&mut pair.stream, pair.key);
    assert_eq!(received, Received::bytes(b"late"));
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn full_send_buffer_arrives_after_close_with_fin<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = fill(&mut pair.stream);
    harness.net().close(pair.stream, Ending::Fin);
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(
        (received.bytes.len(), received.end),
        (written, Some(StreamEnd::Fin))
    );
}

/// mio allows this surplus; a connection must not conclude that output space is new.
fn watched_stream_reports_writable_with_every_input<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.drained_pair();
    harness.watch_writable(&pair);
    harness.expect(pair.key, WRITABLE);
    pair.peer.send(b"a");
    assert_eq!(harness.expect(pair.key, READABLE), READABLE | WRITABLE);
}
