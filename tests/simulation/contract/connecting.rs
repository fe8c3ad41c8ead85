//! Outgoing connections: how the outcome of connect(2) is reported.

use super::backend::Backend;
use super::{Harness, READABLE, Received, WRITABLE, on_every_backend};
use echoloop::net::{Net, Stream};
use std::io::ErrorKind;

on_every_backend! {
    established_connection_is_reported_as_writable,
    refused_connection_is_reported_by_an_event,
    reset_before_the_first_event_is_reported_by_so_error,
}

fn established_connection_is_reported_as_writable<B: Backend>(mut harness: Harness<B>) {
    let address = harness.backend.address();
    let mut stream = harness.net().connect(address, None).unwrap();
    let key = harness.register(&stream, true);
    harness.expect(key, WRITABLE);
    assert!(stream.connected().unwrap());
    let mut accepted = harness.accept_only();
    let accepted_key = harness.register(&accepted, false);
    assert_eq!(stream.write(b"hello").unwrap(), 5);
    let received = harness.receive(&mut accepted, accepted_key);
    assert_eq!(received, Received::bytes(b"hello"));
}

fn refused_connection_is_reported_by_an_event<B: Backend>(mut harness: Harness<B>) {
    harness.close_listener();
    let address = harness.backend.address();
    let mut stream = harness
        .net()
        .connect(address, None)
        .expect("a connecting socket");
    let key = harness.register(&stream, true);
    harness.expect(key, WRITABLE);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Only the first call reports the error.
    assert!(stream.take_error().unwrap().is_none());
}

fn reset_before_the_first_event_is_reported_by_so_error<B: Backend>(mut harness: Harness<B>) {
    let address = harness.backend.address();
    let mut stream = harness.net().connect(address, None).unwrap();
    let key = harness.register(&stream, true);
    harness.close_listener();
    harness.backend.deliver_all();
    harness.expect(key, READABLE | WRITABLE);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
