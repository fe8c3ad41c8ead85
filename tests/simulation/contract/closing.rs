//! Closing: what the peer sees of it, and that nothing more is told of what was closed.

use super::worlds::{Peer, Worlds};
use super::{DRAIN, End, Found, READABLE, Stage, WRITABLE, in_every_world};
use echoloop::net::{Ending, Key, Net, Stream};
use std::io::ErrorKind;

in_every_world! {
    closed_with_fin_the_peer_reads_all_and_then_the_end,
    closed_with_reset_the_peer_is_reset,
    closed_with_input_unread_the_peer_is_reset,
    closed_with_only_the_peers_fin_unread_it_is_not_reset,
    closed_after_our_fin_the_peer_sees_nothing_more,
    input_for_a_stream_that_was_closed_resets_the_peer,
    nothing_is_told_of_a_stream_that_was_closed,
    nothing_is_told_of_a_stream_that_was_closed_with_its_event_on_the_way,
    who_is_given_a_used_descriptor_is_told_nothing_of_its_last_owner,
    what_was_registered_anew_is_told_under_its_own_key_only,
    a_reset_behind_our_fin_is_not_told_to_the_peers_reads,
    what_came_before_our_reset_the_peer_can_still_read,
    what_a_reset_behind_fin_is_told_by_is_a_broken_pipe_to_the_peers_writes,
    when_both_have_sent_fin_that_is_told_and_no_reset_comes_after_it,
}

fn closed_with_fin_the_peer_reads_all_and_then_the_end<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    assert_eq!(pair.stream.write(b"bye").unwrap(), 3);
    stage.net().close(pair.stream, Ending::Fin);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"bye").and(End::Fin));
}

fn closed_with_reset_the_peer_is_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    stage.net().close(pair.stream, Ending::Reset);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn closed_with_input_unread_the_peer_is_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"unread");
    stage.expect(pair.key, READABLE);
    stage.net().close(pair.stream, Ending::Fin);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn closed_with_only_the_peers_fin_unread_it_is_not_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE);
    stage.net().close(pair.stream, Ending::Fin);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Fin));
}

fn closed_after_our_fin_the_peer_sees_nothing_more<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.stream.shutdown_write().unwrap();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Fin));
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    assert_eq!(pair.peer.read(&mut [0; 8]).unwrap(), 0);
}

fn input_for_a_stream_that_was_closed_resets_the_peer<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    pair.peer.send(b"nobody");
    stage.world.settle();
    let error = pair.peer.try_send(b"at all").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

fn nothing_is_told_of_a_stream_that_was_closed<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    pair.peer.send_fin();
    stage.expect_silence(pair.key);
}

fn nothing_is_told_of_a_stream_that_was_closed_with_its_event_on_the_way<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.drained_pair();
    pair.peer.send(b"a");
    stage.world.settle();
    stage.net().close(pair.stream, Ending::Reset);
    stage.expect_silence(pair.key);
}

fn who_is_given_a_used_descriptor_is_told_nothing_of_its_last_owner<W: Worlds>(
    mut stage: Stage<W>,
) {
    /// Other tests of the process take descriptors too, so it may need a few attempts.
    const MOST_ATTEMPTS: usize = 1000;
    for _ in 0..MOST_ATTEMPTS {
        let (old, new) = replace_a_connection(&mut stage);
        if old == new {
            return;
        }
    }
    panic!("no descriptor was used again");
}

/// Closes a connection for which an event is on its way, and takes the next; returns the descriptors of both.
fn replace_a_connection<W: Worlds>(stage: &mut Stage<W>) -> (i32, i32) {
    let mut first = stage.pair();
    let mut next_peer = stage.dial();
    stage.expect(super::listener_key(), READABLE);
    first.peer.send(b"a");
    stage.world.settle();
    let old = W::descriptor(&first.stream);
    stage.net().close(first.stream, Ending::Fin);
    let mut stream = stage.accept().expect("one waits");
    let new = W::descriptor(&stream);
    let key = stage.register(&stream, false);
    assert!(stage.accept().is_err(), "nobody else waits");
    stage.expect_silence(first.key);
    stage.expect_silence(key);
    next_peer.send(b"b");
    assert_eq!(stage.hear(&mut stream, key), Found::bytes(b"b"));
    stage.expect_silence(first.key);
    stage.net().close(stream, Ending::Reset);
    (old, new)
}

fn what_was_registered_anew_is_told_under_its_own_key_only<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    let old = pair.key;
    let key = Key {
        serial: old.serial + 100,
        ..old
    };
    stage.net().watch_writable(&pair.stream, key).unwrap();
    pair.peer.send(b"a");
    stage.expect(key, READABLE);
    stage.expect_silence(old);
}

fn what_came_before_our_reset_the_peer_can_still_read<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    assert_eq!(pair.stream.write(b"part").unwrap(), 4);
    stage.world.settle();
    stage.net().close(pair.stream, Ending::Reset);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"part").and(End::Reset));
}

fn a_reset_behind_our_fin_is_not_told_to_the_peers_reads<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    stage.net().close(pair.stream, Ending::Fin);
    stage.world.settle();
    pair.peer.send(b"nobody");
    stage.world.settle();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found, Found::bytes(b"").and(End::Fin));
}

fn what_a_reset_behind_fin_is_told_by_is_a_broken_pipe_to_the_peers_writes<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.drained_pair();
    pair.peer.close();
    stage.expect(pair.key, READABLE);
    assert_eq!(pair.stream.write(b"nobody").unwrap(), 6);
    stage.world.settle();
    let taken = pair.stream.take_error().unwrap().expect("an error");
    assert_eq!(taken.kind(), ErrorKind::BrokenPipe);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn when_both_have_sent_fin_that_is_told_and_no_reset_comes_after_it<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.drained_pair();
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    pair.stream.shutdown_write().unwrap();
    if Stage::<W>::SHORT_READ_DRAINS {
        stage.expect(pair.key, READABLE | WRITABLE | DRAIN);
    }
    assert!(pair.stream.peer_addr().is_err(), "it is over");
    pair.peer.reset();
    stage.expect_silence(pair.key);
    assert!(pair.stream.take_error().unwrap().is_none());
    let again = pair.stream.shutdown_write().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotConnected);
}
