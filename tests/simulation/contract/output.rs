//! Writing: room for output, its end, and how a program is told that there is some again.

use super::worlds::{Peer, Worlds};
use super::{End, Found, READABLE, Stage, WRITABLE, in_every_world};
use echoloop::net::{Ending, Net, Stream};
use std::io::ErrorKind;

in_every_world! {
    what_is_written_arrives_in_order,
    who_asks_for_room_where_there_is_some_is_told_at_once,
    who_asks_for_room_when_a_stream_is_registered_is_told_at_once,
    a_write_that_would_block_is_followed_by_an_edge_when_the_peer_has_read,
    room_that_came_before_it_was_asked_for_is_told,
    who_looks_for_room_and_finds_none_is_told_when_there_is_some,
    who_does_not_ask_for_room_is_not_told_of_it,
    half_closed_by_the_peer_a_stream_can_still_be_written_to,
    half_closed_by_us_a_stream_can_still_be_read,
    what_was_written_before_a_close_with_fin_arrives_all_the_same,
    who_has_asked_for_room_is_told_of_it_with_every_input,
}

fn what_is_written_arrives_in_order<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    assert_eq!(pair.stream.write(b"abc").unwrap(), 3);
    assert_eq!(pair.stream.write(b"def").unwrap(), 3);
    let found = stage.peer_finds(&mut pair.peer, |found| found.bytes.len() >= 6);
    assert_eq!(found.bytes, b"abcdef");
}

fn who_asks_for_room_where_there_is_some_is_told_at_once<W: Worlds>(mut stage: Stage<W>) {
    let pair = stage.pair();
    stage.ask_for_room(&pair);
    assert_eq!(stage.expect(pair.key, WRITABLE), WRITABLE);
}

fn who_asks_for_room_when_a_stream_is_registered_is_told_at_once<W: Worlds>(mut stage: Stage<W>) {
    let _peer = stage.dial();
    let stream = stage.accept_the_only_one();
    let key = stage.register(&stream, true);
    assert_eq!(stage.expect(key, WRITABLE), WRITABLE);
}

/// Writes until a write would block; says how many bytes were taken.
fn fill(stream: &mut impl Stream) -> usize {
    let mut taken = 0;
    loop {
        match stream.write(&[b'x'; 4096]) {
            Ok(count) => taken += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return taken;
            }
        }
    }
}

fn a_write_that_would_block_is_followed_by_an_edge_when_the_peer_has_read<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.pair();
    let mut written = fill(&mut pair.stream);
    stage.ask_for_room(&pair);
    stage.expect_silence(pair.key);
    let mut received = 0;
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        let peer = &mut pair.peer;
        let mut read_some = || {
            while let Ok(count) = peer.read(&mut buffer) {
                received += count;
            }
        };
        stage.expect_while(pair.key, WRITABLE, &mut read_some);
        written += fill(&mut pair.stream);
    }
    let rest = stage.peer_finds(&mut pair.peer, |found| {
        received + found.bytes.len() >= written
    });
    assert_eq!(received + rest.bytes.len(), written);
}

fn room_that_came_before_it_was_asked_for_is_told<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = fill(&mut pair.stream);
    stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == written);
    stage.ask_for_room(&pair);
    stage.expect(pair.key, WRITABLE);
}

/// The selector has told of room for output once and is emptied; then a look, without any write, is what asks anew.
fn who_looks_for_room_and_finds_none_is_told_when_there_is_some<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    stage.ask_for_room(&pair);
    stage.expect(pair.key, WRITABLE);
    let mut written = 0;
    while pair.stream.takes_output() {
        let taken = pair.stream.write(&[b'x'; 1024]).unwrap();
        assert!(taken > 0);
        written += taken;
    }
    stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == written);
    assert!(pair.stream.takes_output());
    stage.expect(pair.key, WRITABLE);
}

fn who_does_not_ask_for_room_is_not_told_of_it<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = fill(&mut pair.stream);
    stage.peer_finds(&mut pair.peer, |found| found.bytes.len() == written);
    stage.expect_silence(pair.key);
}

fn half_closed_by_the_peer_a_stream_can_still_be_written_to<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(pair.stream.write(b"late").unwrap(), 4);
    pair.stream.shutdown_write().unwrap();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!((&*found.bytes, found.end), (&b"late"[..], Some(End::Fin)));
}

fn half_closed_by_us_a_stream_can_still_be_read<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    pair.stream.shutdown_write().unwrap();
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!(found.end, Some(End::Fin));
    pair.peer.send(b"late");
    let found = stage.hear(&mut pair.stream, pair.key);
    assert_eq!(found, Found::bytes(b"late"));
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE);
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
}

fn what_was_written_before_a_close_with_fin_arrives_all_the_same<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    let written = fill(&mut pair.stream);
    stage.net().close(pair.stream, Ending::Fin);
    let found = stage.peer_finds(&mut pair.peer, |found| found.end.is_some());
    assert_eq!((found.bytes.len(), found.end), (written, Some(End::Fin)));
}

/// A surplus that mio allows, and that a connection must not take for news.
fn who_has_asked_for_room_is_told_of_it_with_every_input<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    stage.ask_for_room(&pair);
    stage.expect(pair.key, WRITABLE);
    pair.peer.send(b"a");
    assert_eq!(stage.expect(pair.key, READABLE), READABLE | WRITABLE);
}
