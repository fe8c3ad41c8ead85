//! Bytes that the peer's kernel has not acknowledged: what the kernel reports of them, when there is room behind them,
//! and what becomes of them when one side closes.

use super::worlds::{Peer, Worlds};
use super::{End, Pair, READABLE, Stage, WRITABLE, in_every_world_with_send_buffers};
use echoloop::net::{Ending, Net, Stream};
use std::io::ErrorKind;
use std::time::Instant;

in_every_world_with_send_buffers! {
    bytes_beyond_the_window_stay_unacknowledged,
    bytes_within_the_window_are_acknowledged_unread,
    no_writable_edge_before_enough_was_acknowledged,
    fin_behind_unsent_bytes_arrives_after_them,
    our_reset_destroys_unsent_bytes,
    the_peers_reset_destroys_our_unsent_bytes,
    an_orphan_goes_on_transmitting,
    input_for_an_orphan_destroys_its_unsent_bytes,
    a_reset_behind_both_fins_is_told_while_bytes_are_unsent,
}

impl<W: Worlds> Stage<W> {
    /// Writes until the window of the peer, which does not read, and the send buffer are full; returns how many bytes the
    /// kernel took.
    fn fill_beyond_window(&mut self, pair: &mut Pair<W>) -> usize {
        let deadline = Instant::now() + W::PATIENCE;
        let mut written = 0;
        loop {
            match pair.stream.write(&[b'x'; 4096]) {
                Ok(count) => written += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    let progress = self.net().progress(&pair.stream).expect("it stands");
                    if progress.unacknowledged > 0 && progress.since_acknowledged >= W::QUIET {
                        return written;
                    }
                    assert!(Instant::now() < deadline, "{progress:?}");
                    self.look(pair.key);
                }
            }
        }
    }

    fn unacknowledged(&mut self, pair: &Pair<W>) -> usize {
        let progress = self.net().progress(&pair.stream).expect("it stands");
        usize::try_from(progress.unacknowledged).unwrap()
    }

    /// Waits until everything is acknowledged.
    fn expect_all_acknowledged(&mut self, pair: &Pair<W>) {
        let deadline = Instant::now() + W::PATIENCE;
        while self.unacknowledged(pair) > 0 {
            assert!(Instant::now() < deadline, "bytes stay unacknowledged");
            self.look(pair.key);
        }
    }
}

fn bytes_beyond_the_window_stay_unacknowledged<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    let unacknowledged = stage.unacknowledged(&pair);
    assert!(0 < unacknowledged && unacknowledged < written);
    let found = stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == written);
    assert_eq!(found.end, None);
    stage.expect_all_acknowledged(&pair);
}

fn bytes_within_the_window_are_acknowledged_unread<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    assert_eq!(pair.stream.write(b"unread").unwrap(), 6);
    stage.expect_all_acknowledged(&pair);
    let found = stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == 6);
    assert_eq!(found.bytes, b"unread");
}

/// The window opens in steps, so a byte that is read makes none; and room is told of only when a part of the send buffer
/// is free.
fn no_writable_edge_before_enough_was_acknowledged<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    stage.ask_for_room(&pair);
    stage.expect_silence(pair.key);
    let unacknowledged = stage.unacknowledged(&pair);
    assert_eq!(pair.peer.read(&mut [0]).unwrap(), 1);
    stage.expect_silence(pair.key);
    assert_eq!(stage.unacknowledged(&pair), unacknowledged);
    stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == written - 1);
    stage.expect(pair.key, WRITABLE);
    assert!(stage.unacknowledged(&pair) < unacknowledged);
}

fn fin_behind_unsent_bytes_arrives_after_them<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    pair.stream.shutdown_write().unwrap();
    stage.world.settle();
    assert!(pair.stream.peer_addr().is_ok(), "it is not over");
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!((found.bytes.len(), found.end), (written, Some(End::Fin)));
    // It can still be read.
    pair.peer.send(b"late");
    stage.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 4);
}

fn our_reset_destroys_unsent_bytes<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    let unacknowledged = stage.unacknowledged(&pair);
    stage.net().close(pair.stream, Ending::Reset);
    stage.world.settle();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found.end, Some(End::Reset));
    assert_eq!(found.bytes.len(), written - unacknowledged);
}

fn the_peers_reset_destroys_our_unsent_bytes<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    stage.fill_beyond_window(&mut pair);
    pair.peer.reset();
    stage.expect(pair.key, READABLE | WRITABLE);
    assert_eq!(stage.net().progress(&pair.stream), None);
    let error = pair.stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn an_orphan_goes_on_transmitting<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    let unacknowledged = stage.unacknowledged(&pair);
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    let had_arrived = written - unacknowledged;
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert!(found.bytes.len() > had_arrived);
    assert_eq!((found.bytes.len(), found.end), (written, Some(End::Fin)));
}

fn input_for_an_orphan_destroys_its_unsent_bytes<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = stage.fill_beyond_window(&mut pair);
    let unacknowledged = stage.unacknowledged(&pair);
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    pair.peer.send(b"nobody");
    stage.world.settle();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found.end, Some(End::Reset));
    assert_eq!(found.bytes.len(), written - unacknowledged);
}

/// Our FIN is still behind unsent bytes when the peer's has come: the connection is not over.
fn a_reset_behind_both_fins_is_told_while_bytes_are_unsent<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    stage.fill_beyond_window(&mut pair);
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE);
    pair.stream.shutdown_write().unwrap();
    assert!(pair.stream.peer_addr().is_ok(), "it is not over");
    if Stage::<W>::SHORT_READ_DRAINS {
        stage.expect(pair.key, READABLE | WRITABLE);
    }
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    pair.peer.reset();
    stage.world.settle();
    let error = pair.stream.take_error().unwrap().expect("it was reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}
