//! The peer's reset: how it is told, and what is left of the stream.

use super::worlds::{Peer, Worlds};
use super::{DRAIN, End, Found, READABLE, Stage, WRITABLE, in_every_world, read_all};
use echoloop::net::{Readiness, Stream};
use std::io::ErrorKind;

in_every_world! {
    a_reset_makes_an_edge_that_says_to_drain,
    a_reset_is_read_as_an_error_once_and_then_as_the_end,
    a_reset_before_the_stream_is_watched_is_told,
    a_peer_that_has_reset_before_it_was_accepted_is_accepted_and_told_of,
    a_reset_after_our_fin_is_told,
    who_waits_for_room_is_told_of_a_reset,
    writing_to_a_stream_that_was_reset_fails,
    fin_cannot_be_sent_on_a_stream_that_was_reset,
    a_peer_that_closed_answers_what_it_is_sent_with_a_reset,
    a_peer_that_closed_with_input_unread_has_reset,
    what_came_before_a_reset_can_still_be_read,
    a_reset_is_told_to_a_write_if_that_comes_first_and_then_not_to_a_read,
    a_reset_is_told_to_who_takes_the_error_and_then_not_to_a_read,
    a_reset_tells_of_room_to_who_has_not_asked_for_it,
    after_a_reset_nobody_knows_the_peers_address,
}

/// As the kernel tells of an end: in the weak world that is read like anything else.
fn ended<W: Worlds>() -> Readiness {
    READABLE | DRAIN.when(Stage::<W>::SHORT_READ_DRAINS)
}

fn a_reset_makes_an_edge_that_says_to_drain<W: Worlds>(mut stage: Stage<W>) {
    let pair = stage.drained_pair();
    pair.peer.reset();
    stage.expect(pair.key, ended::<W>());
    stage.expect_silence(pair.key);
}

fn a_reset_is_read_as_an_error_once_and_then_as_the_end<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.reset();
    let told = stage.expect(pair.key, ended::<W>());
    let found = read_all(&mut pair.stream, told);
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
    for _ in 0..2 {
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    }
}

fn a_reset_before_the_stream_is_watched_is_told<W: Worlds>(mut stage: Stage<W>) {
    let peer = stage.dial();
    let mut stream = stage.accept_the_only_one();
    peer.reset();
    stage.world.settle();
    let key = stage.register(&stream, false);
    let told = stage.expect(key, ended::<W>());
    let found = read_all(&mut stream, told);
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn a_peer_that_has_reset_before_it_was_accepted_is_accepted_and_told_of<W: Worlds>(
    mut stage: Stage<W>,
) {
    stage.dial().reset();
    let mut stream = stage.accept_the_only_one();
    let key = stage.register(&stream, false);
    let told = stage.expect(key, ended::<W>());
    let found = read_all(&mut stream, told);
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn a_reset_after_our_fin_is_told<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    pair.stream.shutdown_write().unwrap();
    stage.world.settle();
    pair.peer.reset();
    let told = stage.expect(pair.key, ended::<W>());
    let found = read_all(&mut pair.stream, told);
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

/// A connection that owes does not read: it learns of the reset by writing.
fn who_waits_for_room_is_told_of_a_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    while pair.stream.write(&[b'x'; 4096]).is_ok() {}
    stage.ask_for_room(&pair);
    stage.expect_silence(pair.key);
    pair.peer.reset();
    stage.expect(pair.key, WRITABLE);
    assert_write_fails(&mut pair.stream);
}

fn writing_to_a_stream_that_was_reset_fails<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.reset();
    stage.expect(pair.key, READABLE);
    assert_write_fails(&mut pair.stream);
    assert_write_fails(&mut pair.stream);
}

fn assert_write_fails(stream: &mut impl Stream) {
    let kind = stream.write(b"x").unwrap_err().kind();
    let is_reset = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    assert!(is_reset, "{kind}");
}

fn fin_cannot_be_sent_on_a_stream_that_was_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.reset();
    stage.expect(pair.key, READABLE);
    let error = pair.stream.shutdown_write().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

fn a_peer_that_closed_answers_what_it_is_sent_with_a_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.close();
    stage.expect(pair.key, ended::<W>());
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(pair.stream.write(b"nobody").unwrap(), 6, "who knows yet?");
    if Stage::<W>::SHORT_READ_DRAINS {
        // Where an edge is owed only after a call has blocked, none is owed after FIN was read.
        stage.expect(pair.key, ended::<W>());
    }
    stage.world.settle();
    assert_write_fails(&mut pair.stream);
}

fn a_peer_that_closed_with_input_unread_has_reset<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    assert_eq!(pair.stream.write(b"unread").unwrap(), 6);
    stage.world.settle();
    pair.peer.close();
    let told = stage.expect(pair.key, ended::<W>());
    let found = read_all(&mut pair.stream, told);
    assert_eq!(found, Found::bytes(b"").and(End::Reset));
}

fn what_came_before_a_reset_can_still_be_read<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"last words");
    stage.world.settle();
    pair.peer.reset();
    let told = stage.expect(pair.key, ended::<W>());
    let found = read_all(&mut pair.stream, told);
    assert_eq!(found, Found::bytes(b"last words").and(End::Reset));
}

fn a_reset_is_told_to_a_write_if_that_comes_first_and_then_not_to_a_read<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.pair();
    pair.peer.reset();
    stage.expect(pair.key, ended::<W>());
    let first = pair.stream.write(b"x").unwrap_err();
    assert_eq!(first.kind(), ErrorKind::ConnectionReset);
    let second = pair.stream.write(b"x").unwrap_err();
    assert_eq!(second.kind(), ErrorKind::BrokenPipe);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn a_reset_is_told_to_who_takes_the_error_and_then_not_to_a_read<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.reset();
    stage.expect(pair.key, ended::<W>());
    let taken = pair.stream.take_error().unwrap().expect("an error");
    assert_eq!(taken.kind(), ErrorKind::ConnectionReset);
    assert!(pair.stream.take_error().unwrap().is_none());
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn a_reset_tells_of_room_to_who_has_not_asked_for_it<W: Worlds>(mut stage: Stage<W>) {
    let pair = stage.drained_pair();
    pair.peer.reset();
    stage.expect(pair.key, READABLE | WRITABLE);
}

fn after_a_reset_nobody_knows_the_peers_address<W: Worlds>(mut stage: Stage<W>) {
    let pair = stage.pair();
    assert!(pair.stream.peer_addr().is_ok());
    pair.peer.reset();
    stage.expect(pair.key, ended::<W>());
    let error = pair.stream.peer_addr().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
