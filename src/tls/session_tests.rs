//! A session over TLS against a client's codec, with ciphertext cut anywhere.

use super::certificates::Authority;
use super::{ClientSettings, Codec, Identity, ServerSettings, Settings, Tls, TlsSession, Trust};
use crate::protocol::{
    Collect, ConnectionId, Context, Finish, Frame, Line, Outbox, Protocol, Session, Width,
};
use crate::time::Time;
use proptest::prelude::*;
use std::sync::LazyLock;

const ID: ConnectionId = ConnectionId { slot: 0, serial: 1 };

static SETTINGS: LazyLock<(ServerSettings, ClientSettings)> = LazyLock::new(|| {
    let authority = Authority::new("test authority");
    let (certificate, key) = authority.issue(&["localhost"]);
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let ca = authority.pem();
    let trust = Trust::Authorities(&ca);
    (
        ServerSettings::new(&identity, None, &[]).unwrap(),
        ClientSettings::new("localhost", trust, None, &[], false).unwrap(),
    )
});

/// A server's session, called as a connection does, and its client.
struct Pair<P: Protocol> {
    protocol: Tls<P>,
    session: TlsSession<P::Session>,
    capacity: usize,
    /// Ciphertext for the client.
    output: Vec<u8>,
    finished: Option<Finish>,
    is_deferred: bool,
    client: Codec,
    /// Ciphertext for the server.
    input: Vec<u8>,
    received: Vec<u8>,
    is_client_closed: bool,
}

impl<P: Protocol> Pair<P> {
    fn new(inner: P) -> Self {
        let mut protocol = Tls::new(inner, Settings::Server(SETTINGS.0.clone()), 10);
        let session = protocol.session();
        let mut input = Vec::new();
        let client = Codec::connect(&SETTINGS.1, &mut input).unwrap();
        let mut pair = Pair {
            protocol,
            session,
            capacity: 1 << 16,
            output: Vec::new(),
            finished: None,
            is_deferred: false,
            client,
            input,
            received: Vec::new(),
            is_client_closed: false,
        };
        pair.call(TlsSession::open);
        pair
    }

    fn established(inner: P) -> Self {
        let mut pair = Pair::new(inner);
        pair.exchange(usize::MAX);
        assert!(!pair.session.is_handshaking() && !pair.client.is_handshaking());
        pair
    }

    fn call(
        &mut self,
        method: impl FnOnce(&mut TlsSession<P::Session>, Context<'_, Tls<P>>, &mut Outbox<'_>),
    ) {
        self.call_with(&[], |session, _, context, outbox| {
            method(session, context, outbox);
        });
    }

    fn call_with(
        &mut self,
        input: &[u8],
        method: impl for<'x> FnOnce(
            &mut TlsSession<P::Session>,
            &'x [u8],
            Context<'_, Tls<P>>,
            &mut Outbox<'x>,
        ),
    ) {
        let mut buffer = Vec::new();
        let mut outbox = Outbox::new(&mut buffer, self.capacity);
        let context = Context::new(ID, Time::ZERO, &mut self.protocol);
        method(&mut self.session, input, context, &mut outbox);
        assert!(!outbox.is_out_of_memory());
        self.output.extend(outbox.bytes());
        self.finished = self.finished.or(outbox.finished());
        self.is_deferred = outbox.is_deferred();
    }

    /// Passes ciphertext to the server, and calls it again as long as it defers work.
    fn receive(&mut self, ciphertext: &[u8]) {
        self.protocol.begin_iteration();
        self.receive_once(ciphertext);
        let mut calls = 0;
        while self.is_deferred && self.finished.is_none() {
            self.protocol.begin_iteration();
            self.receive_once(&[]);
            calls += 1;
            assert!(calls < 100_000, "deferred without end");
        }
    }

    fn receive_once(&mut self, ciphertext: &[u8]) {
        if self.finished.is_none() {
            self.call_with(ciphertext, |session, input, context, outbox| {
                let consumed = session.receive(input, context, outbox);
                assert_eq!(consumed, input.len(), "ciphertext is left");
            });
        }
    }

    fn send(&mut self, plaintext: &[u8]) {
        self.client.encrypt(plaintext, &mut self.input).unwrap();
    }

    /// Passes ciphertext in pieces of at most `piece` bytes in both directions until none is left.
    fn exchange(&mut self, piece: usize) {
        while !self.input.is_empty() || !self.output.is_empty() {
            let input = std::mem::take(&mut self.input);
            for piece in input.chunks(piece) {
                self.receive(piece);
            }
            let output = std::mem::take(&mut self.output);
            let progress = self.client.receive(
                &output,
                &mut Vec::new(),
                &mut self.received,
                &mut self.input,
                &mut 99,
            );
            self.is_client_closed = progress.unwrap().peer_closed;
        }
    }

    fn close_notify(&mut self) {
        self.client.close_notify(&mut self.input).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn lines_are_echoed_for_any_cut_and_capacity(
        writes in prop::collection::vec("[a-z\n]{0,300}", 1..8),
        piece in 1_usize..600,
        capacity in 1_usize..2000,
    ) {
        let mut pair = Pair::new(Line::echo(10_000, b""));
        pair.capacity = capacity;
        for write in &writes {
            pair.send(write.as_bytes());
        }
        pair.exchange(piece);
        let all = writes.concat();
        let complete = all.rfind('\n').map_or(0, |at| at + 1);
        prop_assert_eq!(&pair.received, &all.as_bytes()[..complete]);
        let rest = all.len() - complete;
        let held = pair.session.held_bytes();
        prop_assert!(held >= rest && (rest > 0 || held == 0), "{} bytes, {} held", rest, held);
        pair.close_notify();
        pair.exchange(piece);
        prop_assert_eq!(pair.finished, Some(Finish::PeerClosed));
    }
}

#[test]
fn frames_in_parts_across_records_are_echoed() {
    let mut pair = Pair::established(Frame::echo(Width::Two, 1000));
    for part in [&b"\0"[..], b"\x05he", b"llo\0\x02o", b"k"] {
        pair.send(part);
        pair.exchange(7);
    }
    assert_eq!(pair.received, b"\0\x05hello\0\x02ok");
    assert_eq!(pair.session.held_bytes(), 0);
}

#[test]
fn unconsumed_plaintext_is_held_and_released() {
    let mut pair = Pair::established(Line::echo(1000, b""));
    pair.send(b"half a li");
    pair.exchange(usize::MAX);
    assert!(pair.session.held_bytes() >= 9);
    assert!(pair.received.is_empty());
    pair.send(b"ne\n");
    pair.exchange(usize::MAX);
    assert_eq!(pair.received, b"half a line\n");
    assert_eq!(pair.session.held_bytes(), 0);
}

#[test]
fn replies_are_encrypted() {
    let mut pair = Pair::established(Line::echo(1000, b""));
    pair.send(b"a line in plain text\n");
    let input = std::mem::take(&mut pair.input);
    pair.receive(&input);
    assert_eq!(pair.output[..3], [23, 3, 3], "a record of application data");
    let is_plain = memchr::memmem::find(&pair.output, b"plain text").is_some();
    assert!(!is_plain);
    pair.exchange(usize::MAX);
    assert_eq!(pair.received, b"a line in plain text\n");
}

#[test]
fn line_that_is_too_long_finishes_the_session() {
    let mut pair = Pair::established(Line::echo(10, b""));
    pair.send(b"a line of more than ten bytes\n");
    pair.exchange(usize::MAX);
    assert_eq!(pair.finished, Some(Finish::TooLong));
}

#[test]
fn handshake_without_steps_is_deferred_to_an_iteration_with_steps() {
    let mut pair = Pair::new(Line::echo(1000, b""));
    // No iteration has begun, so there are no steps.
    let input = std::mem::take(&mut pair.input);
    for _ in 0..3 {
        pair.receive_once([&input[..], &[]][usize::from(pair.is_deferred)]);
        assert!(pair.is_deferred && pair.output.is_empty());
        assert!(pair.session.held_bytes() >= input.len());
    }
    pair.protocol.begin_iteration();
    pair.receive_once(&[]);
    assert!(!pair.is_deferred && !pair.output.is_empty());
    pair.send(b"early\n");
    pair.exchange(usize::MAX);
    assert_eq!(pair.received, b"early\n");
}

#[test]
fn steps_of_an_iteration_are_shared_by_its_sessions() {
    let mut protocol = Tls::new(
        Line::echo(9, b""),
        Settings::Server(SETTINGS.0.clone()),
        100,
    );
    let mut answered = 0;
    protocol.begin_iteration();
    for _ in 0..12 {
        let mut hello = Vec::new();
        Codec::connect(&SETTINGS.1, &mut hello).unwrap();
        let mut session = protocol.session();
        let mut buffer = Vec::new();
        let mut outbox = Outbox::new(&mut buffer, 1 << 16);
        let context = Context::new(ID, Time::ZERO, &mut protocol);
        session.receive(&hello, context, &mut outbox);
        assert_eq!(outbox.is_empty(), outbox.is_deferred());
        answered += usize::from(!outbox.is_empty());
    }
    assert_eq!(answered, 8);
}

#[test]
fn handshakes_in_progress_are_limited() {
    let mut protocol = Tls::new(Line::echo(9, b""), Settings::Server(SETTINGS.0.clone()), 2);
    let first = protocol.session();
    assert!(protocol.admits());
    let second = protocol.session();
    assert!(!protocol.admits());
    drop(first);
    assert!(protocol.admits());
    drop(second);
    let pair = Pair::established(Line::echo(9, b""));
    assert!(pair.protocol.admits());
    assert_eq!(pair.protocol.failure(ID), None);
}

#[test]
fn close_notify_is_sent_once_before_fin() {
    let mut pair = Pair::established(Line::echo(1000, b""));
    pair.call(TlsSession::before_fin);
    pair.call(TlsSession::before_fin);
    assert_eq!(pair.output.len(), 5 + 2 + 1 + 16, "one record");
    pair.exchange(usize::MAX);
    assert!(pair.is_client_closed);
    assert_eq!(pair.client.end(), Ok(()));
}

#[test]
fn fin_without_close_notify_is_malformed() {
    let mut pair = Pair::established(Line::echo(1000, b""));
    pair.send(b"a line\n");
    pair.exchange(usize::MAX);
    pair.call(|session, context, outbox| session.end(&[], context, outbox));
    assert_eq!(pair.finished, Some(Finish::Malformed));
    let error = pair.protocol.failure(ID).unwrap().to_string();
    assert!(error.contains("without close_notify"), "{error}");
}

#[test]
fn fin_within_the_handshake_is_malformed() {
    let mut pair = Pair::new(Line::echo(1000, b""));
    let input = std::mem::take(&mut pair.input);
    pair.receive(&input[..50]);
    pair.call(|session, context, outbox| session.end(&[], context, outbox));
    assert_eq!(pair.finished, Some(Finish::Malformed));
}

#[test]
fn close_notify_completes_a_record() {
    for piece in [1, 17, usize::MAX] {
        let mut pair = Pair::established(Collect::new(1000));
        pair.send(b"a ");
        pair.exchange(piece);
        pair.send(b"record");
        pair.close_notify();
        pair.exchange(piece);
        assert_eq!(pair.finished, Some(Finish::Record));
        assert_eq!(pair.session.take_record().unwrap(), b"a record");
        assert_eq!(pair.session.take_record(), None);
    }
}

#[test]
fn fin_without_close_notify_is_no_record() {
    let mut pair = Pair::established(Collect::new(1000));
    pair.send(b"half of a record");
    pair.exchange(usize::MAX);
    pair.call(|session, context, outbox| session.end(&[], context, outbox));
    assert_eq!(pair.finished, Some(Finish::Malformed));
    assert_eq!(pair.session.take_record(), None);
}

#[test]
fn altered_record_finishes_with_an_alert() {
    let mut pair = Pair::established(Line::echo(1000, b""));
    pair.send(b"one\n");
    let good = pair.input.len();
    pair.send(b"two\n");
    pair.input[good + 9] ^= 1;
    let input = std::mem::take(&mut pair.input);
    pair.receive(&input);
    assert_eq!(pair.finished, Some(Finish::Malformed));
    let result = pair.client.receive(
        &pair.output,
        &mut Vec::new(),
        &mut pair.received,
        &mut Vec::new(),
        &mut 9,
    );
    assert!(pair.received.is_empty(), "the alert is the only record");
    let error = result.unwrap_err().to_string();
    assert!(error.contains("alert \"bad record mac\""), "{error}");
}
