//! Unacknowledged bytes: how the kernel reports them, when output space raises an edge, and what happens to them on
//! close.

use super::backend::{Backend, Peer};
use super::{Harness, Pair, READABLE, StreamEnd, WRITABLE, on_every_buffered_backend};
use echoloop::net::{Ending, Net, Stream};
use std::io::ErrorKind;
use std::time::Instant;

on_every_buffered_backend! {
    bytes_beyond_the_window_stay_unacknowledged,
    bytes_within_the_window_are_acknowledged_unread,
    writable_edge_needs_enough_acknowledged_bytes,
    fin_arrives_after_unsent_bytes,
    own_reset_discards_unsent_bytes,
    peers_reset_discards_own_unsent_bytes,
    orphan_keeps_transmitting,
    input_for_an_orphan_discards_its_unsent_bytes,
    reset_after_both_fins_is_reported_with_unsent_bytes,
}

impl<B: Backend> Harness<B> {
    /// Writes until the send buffer and the window of the peer, which does not read, are full; returns the number of
    /// bytes accepted.
    fn fill_beyond_window(&mut self, pair: &mut Pair<B>) -> usize {
        let deadline = Instant::now() + B::MAX_WAIT;
        let mut written = 0;
        loop {
            match pair.stream.write(&[b'x'; 4096]) {
                Ok(count) => written += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    let progress = self.net().progress(&pair.stream).expect("established");
                    if progress.unacknowledged > 0 && progress.since_acknowledged >= B::ACK_QUIET {
                        return written;
                    }
                    assert!(Instant::now() < deadline, "{progress:?}");
                    self.poll_events(pair.key);
                }
            }
        }
    }

    fn unacknowledged(&mut self, pair: &Pair<B>) -> usize {
        let progress = self.net().progress(&pair.stream).expect("established");
        usize::try_from(progress.unacknowledged).unwrap()
    }

    /// Waits until everything is acknowledged.
    fn expect_all_acknowledged(&mut self, pair: &Pair<B>) {
        let deadline = Instant::now() + B::MAX_WAIT;
        while self.unacknowledged(pair) > 0 {
            assert!(Instant::now() < deadline, "bytes remain unacknowledged");
            self.poll_events(pair.key);
        }
    }
}

fn bytes_beyond_the_window_stay_unacknowledged<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    let unacknowledged = harness.unacknowledged(&pair);
    assert!(0 < unacknowledged && unacknowledged < written);
    let received = harness.peer_reads(&mut pair.peer, |received| received.bytes.len() == written);
    assert_eq!(received.end, None);
    harness.expect_all_acknowledged(&pair);
}

fn bytes_within_the_window_are_acknowledged_unread<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    assert_eq!(pair.stream.write(b"unread").unwrap(), 6);
    harness.expect_all_acknowledged(&pair);
    let received = harness.peer_reads(&mut pair.peer, |received| received.bytes.len() == 6);
    assert_eq!(received.bytes, b"unread");
}

/// Reading one byte causes no window update, since the window grows in steps. The stream becomes writable only once a
/// part of the send buffer is free.
fn writable_edge_needs_enough_acknowledged_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    harness.watch_writable(&pair);
    harness.expect_no_event(pair.key);
    let unacknowledged = harness.unacknowledged(&pair);
    assert_eq!(pair.peer.read(&mut [0]).unwrap(), 1);
    harness.expect_no_event(pair.key);
    assert_eq!(harness.unacknowledged(&pair), unacknowledged);
    harness.peer_reads(&mut pair.peer, |received| {
        received.bytes.len() == written - 1
    });
    harness.expect(pair.key, WRITABLE);
    assert!(harness.unacknowledged(&pair) < unacknowledged);
}

fn fin_arrives_after_unsent_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    pair.stream.shutdown_write().unwrap();
    harness.backend.deliver_all();
    assert!(pair.stream.peer_addr().is_ok(), "the connection is over");
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(
        (received.bytes.len(), received.end),
        (written, Some(StreamEnd::Fin))
    );
    // The other direction stays open.
    pair.peer.send(b"late");
    harness.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 4);
}

fn own_reset_discards_unsent_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    let unacknowledged = harness.unacknowledged(&pair);
    harness.net().close(pair.stream, Ending::Reset);
    harness.backend.deliver_all();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received.end, Some(StreamEnd::Reset));
    assert_eq!(received.bytes.len(), written - unacknowledged);
}

fn peers_reset_discards_own_unsent_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    harness.fill_beyond_window(&mut pair);
    pair.peer.reset();
    harness.expect(pair.key, READABLE | WRITABLE);
    assert_eq!(harness.net().progress(&pair.stream), None);
    let error = pair.stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn orphan_keeps_transmitting<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    let unacknowledged = harness.unacknowledged(&pair);
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    let had_arrived = written - unacknowledged;
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert!(received.bytes.len() > had_arrived);
    assert_eq!(
        (received.bytes.len(), received.end),
        (written, Some(StreamEnd::Fin))
    );
}

fn input_for_an_orphan_discards_its_unsent_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    let written = harness.fill_beyond_window(&mut pair);
    let unacknowledged = harness.unacknowledged(&pair);
    harness.net().close(pair.stream, Ending::Fin);
    harness.backend.deliver_all();
    pair.peer.send(b"unread");
    harness.backend.deliver_all();
    let received = harness.peer_reads(&mut pair.peer, |received| received.end.is_some());
    assert_eq!(received.end, Some(StreamEnd::Reset));
    assert_eq!(received.bytes.len(), written - unacknowledged);
}

/// The own FIN still waits behind unsent bytes when the peer's FIN arrives, so the connection is not over.
fn reset_after_both_fins_is_reported_with_unsent_bytes<B: Backend>(mut harness: Harness<B>) {
    let mut pair = harness.pair();
    harness.fill_beyond_window(&mut pair);
    pair.peer.send_fin();
    harness.expect(pair.key, READABLE);
    pair.stream.shutdown_write().unwrap();
    assert!(pair.stream.peer_addr().is_ok(), "the connection is over");
    if Harness::<B>::SHORT_READ_DRAINS {
        harness.expect(pair.key, READABLE | WRITABLE);
    }
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    pair.peer.reset();
    harness.backend.deliver_all();
    let error = pair.stream.take_error().unwrap().expect("an error");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}
