//! Connections that are begun from here: how their outcome is learnt.

use super::worlds::Worlds;
use super::{Found, READABLE, Stage, WRITABLE, in_every_world};
use echoloop::net::{Net, Stream};
use std::io::ErrorKind;

in_every_world! {
    a_connection_that_was_begun_is_told_by_room_for_output_and_stands,
    a_connection_that_is_refused_is_told_so_by_an_event,
    a_connection_that_stood_and_was_reset_before_anybody_looked_says_so,
}

fn a_connection_that_was_begun_is_told_by_room_for_output_and_stands<W: Worlds>(
    mut stage: Stage<W>,
) {
    let address = stage.world.address();
    let mut stream = stage.net().connect(address, None).unwrap();
    let key = stage.register(&stream, true);
    stage.expect(key, WRITABLE);
    assert!(stream.connected().unwrap());
    let mut accepted = stage.accept_the_only_one();
    let accepted_key = stage.register(&accepted, false);
    assert_eq!(stream.write(b"hello").unwrap(), 5);
    let found = stage.hear(&mut accepted, accepted_key);
    assert_eq!(found, Found::bytes(b"hello"));
}

fn a_connection_that_is_refused_is_told_so_by_an_event<W: Worlds>(mut stage: Stage<W>) {
    stage.close_listener();
    let address = stage.world.address();
    let mut stream = stage.net().connect(address, None).expect("it is begun");
    let key = stage.register(&stream, true);
    stage.expect(key, WRITABLE);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Its end is told only once, by whichever call comes first.
    assert!(stream.take_error().unwrap().is_none());
}

fn a_connection_that_stood_and_was_reset_before_anybody_looked_says_so<W: Worlds>(
    mut stage: Stage<W>,
) {
    let address = stage.world.address();
    let mut stream = stage.net().connect(address, None).unwrap();
    let key = stage.register(&stream, true);
    stage.close_listener();
    stage.world.settle();
    stage.expect(key, READABLE | WRITABLE);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
