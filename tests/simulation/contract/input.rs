//! Bytes, urgent ones too, and the peer's FIN: when an edge comes for them, and how far a read goes.

use super::worlds::{Peer, Worlds};
use super::{DRAIN, End, Found, READABLE, Stage, in_every_world, read_all};
use echoloop::net::{Readiness, Stream};

in_every_world! {
    a_stream_that_nothing_happens_to_is_silent,
    the_first_byte_after_registration_makes_an_edge,
    what_comes_after_a_read_that_would_block_makes_an_edge,
    a_stream_that_is_ready_before_it_is_watched_is_told_so,
    fin_that_came_before_the_stream_is_watched_is_told,
    watching_for_room_tells_again_of_input_that_is_there,
    what_comes_after_a_short_read_makes_an_edge_where_that_is_promised,
    a_read_takes_no_more_than_its_buffer_holds_and_leaves_the_rest,
    fin_alone_makes_an_edge_and_is_read_as_zero_ever_after,
    fin_with_data_says_to_drain_and_is_read_behind_it,
    fin_after_a_read_that_would_block_makes_an_edge_that_says_to_drain,
    an_urgent_byte_says_to_drain_and_a_read_stops_short_of_it,
    a_read_that_begins_at_the_urgent_mark_goes_on_past_it,
    urgent_data_that_was_read_says_nothing_any_more,
    data_before_a_later_urgent_byte_that_was_read_short_is_followed_by_an_edge,
    of_two_urgent_marks_only_the_last_is_left,
    what_was_read_before_it_was_told_is_not_told,
}

fn a_stream_that_nothing_happens_to_is_silent<W: Worlds>(mut stage: Stage<W>) {
    let pair = stage.pair();
    stage.expect_silence(pair.key);
}

fn the_first_byte_after_registration_makes_an_edge<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"a");
    let told = stage.expect(pair.key, READABLE);
    assert_eq!(told, READABLE, "nothing else has happened");
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"a"));
    stage.expect_silence(pair.key);
}

fn what_comes_after_a_read_that_would_block_makes_an_edge<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.drained_pair();
    for byte in *b"abc" {
        stage.expect_silence(pair.key);
        stage.pass_a_byte(&mut pair, byte);
    }
}

fn a_stream_that_is_ready_before_it_is_watched_is_told_so<W: Worlds>(mut stage: Stage<W>) {
    let mut peer = stage.dial();
    let mut stream = stage.accept_the_only_one();
    peer.send(b"early");
    stage.world.settle();
    let key = stage.register(&stream, false);
    assert_eq!(stage.hear(&mut stream, key), Found::bytes(b"early"));
}

fn fin_that_came_before_the_stream_is_watched_is_told<W: Worlds>(mut stage: Stage<W>) {
    let mut peer = stage.dial();
    let mut stream = stage.accept_the_only_one();
    peer.send_fin();
    stage.world.settle();
    let key = stage.register(&stream, false);
    stage.expect(key, READABLE | drain::<W>());
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}

fn watching_for_room_tells_again_of_input_that_is_there<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"a");
    stage.expect(pair.key, READABLE);
    stage.ask_for_room(&pair);
    stage.expect(pair.key, READABLE);
}

fn what_comes_after_a_short_read_makes_an_edge_where_that_is_promised<W: Worlds>(
    mut stage: Stage<W>,
) {
    if !Stage::<W>::SHORT_READ_DRAINS {
        return;
    }
    let mut pair = stage.pair();
    for round in [b"a", b"b"] {
        pair.peer.send(round);
        assert_eq!(stage.expect(pair.key, READABLE), READABLE);
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 1);
        stage.expect_silence(pair.key);
    }
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE | DRAIN);
}

fn a_read_takes_no_more_than_its_buffer_holds_and_leaves_the_rest<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"abcde");
    let told = stage.expect(pair.key, READABLE);
    let mut buffer = [0; 2];
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 2);
    assert_eq!(&buffer, b"ab");
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"cde"));
}

fn fin_alone_makes_an_edge_and_is_read_as_zero_ever_after<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_fin();
    stage.expect(pair.key, READABLE | drain::<W>());
    for _ in 0..3 {
        assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 0);
    }
    stage.expect_silence(pair.key);
}

fn fin_with_data_says_to_drain_and_is_read_behind_it<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"last");
    pair.peer.send_fin();
    let told = stage.expect(pair.key, READABLE | drain::<W>());
    let found = read_all(&mut pair.stream, told);
    assert_eq!(found, Found::bytes(b"last").and(End::Fin));
}

fn fin_after_a_read_that_would_block_makes_an_edge_that_says_to_drain<W: Worlds>(
    mut stage: Stage<W>,
) {
    let mut pair = stage.drained_pair();
    pair.peer.send_fin();
    let told = stage.expect(pair.key, READABLE | drain::<W>());
    assert_eq!(
        read_all(&mut pair.stream, told),
        Found::bytes(b"").and(End::Fin)
    );
}

fn an_urgent_byte_says_to_drain_and_a_read_stops_short_of_it<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_urgent(b"abcX");
    let told = stage.expect(pair.key, READABLE | drain::<W>());
    let mut buffer = [0; 8];
    let count = pair.stream.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"abc", "short of the mark");
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"X"));
}

fn a_read_that_begins_at_the_urgent_mark_goes_on_past_it<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_urgent(b"abcX");
    pair.peer.send(b"def");
    stage.expect(pair.key, READABLE | drain::<W>());
    let mut buffer = [0; 8];
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 3);
    assert_eq!(pair.stream.read(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"Xdef");
}

fn urgent_data_that_was_read_says_nothing_any_more<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_urgent(b"abcX");
    let told = stage.expect(pair.key, READABLE | drain::<W>());
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"abcX"));
    pair.peer.send(b"d");
    let told = stage.expect(pair.key, READABLE);
    assert_eq!(told, READABLE);
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"d"));
}

/// The case that a connection must not sleep through: its event came before the urgent byte, its read after it.
fn data_before_a_later_urgent_byte_that_was_read_short_is_followed_by_an_edge<W: Worlds>(
    mut stage: Stage<W>,
) {
    if !Stage::<W>::SHORT_READ_DRAINS {
        return;
    }
    let mut pair = stage.pair();
    pair.peer.send(b"abc");
    assert_eq!(stage.expect(pair.key, READABLE), READABLE);
    pair.peer.send_urgent(b"X");
    stage.world.settle();
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 3, "short");
    let told = stage.expect(pair.key, READABLE | DRAIN);
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"X"));
}

fn of_two_urgent_marks_only_the_last_is_left<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send_urgent(b"abcX");
    pair.peer.send_urgent(b"defY");
    stage.world.settle();
    let told = stage.expect(pair.key, READABLE | drain::<W>());
    let mut buffer = [0; 16];
    let count = pair.stream.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"abcXdef");
    assert_eq!(read_all(&mut pair.stream, told), Found::bytes(b"Y"));
}

fn what_was_read_before_it_was_told_is_not_told<W: Worlds>(mut stage: Stage<W>) {
    let mut pair = stage.pair();
    pair.peer.send(b"a");
    stage.expect(pair.key, READABLE);
    pair.peer.send(b"b");
    stage.world.settle();
    assert_eq!(pair.stream.read(&mut [0; 8]).unwrap(), 2);
    stage.expect_silence(pair.key);
    if Stage::<W>::SHORT_READ_DRAINS {
        pair.peer.send(b"c");
        assert_eq!(stage.hear(&mut pair.stream, pair.key), Found::bytes(b"c"));
    }
}

/// Where a short read promises nothing, reads go on until they block, and events need not say so.
fn drain<W: Worlds>() -> Readiness {
    DRAIN.when(Stage::<W>::SHORT_READ_DRAINS)
}
