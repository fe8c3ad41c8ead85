//! The session, with the calls of a connection and the admission of a server.

use super::*;
use crate::protocol::{Collect, Line, Raw, UNADMITTED};
use proptest::prelude::*;

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 5555 8000\r\n";
const ID: ConnectionId = ConnectionId { slot: 0, serial: 1 };

/// A connection: keeps the input that the session does not consume, and calls it again as requested.
struct Connection<P: Protocol> {
    protocol: Proxied<P>,
    session: ProxiedSession<P::Session>,
    tag: u32,
    /// What the server would do with a client.
    admits: bool,
    kept: Vec<u8>,
    output: Vec<u8>,
    finished: Option<Finish>,
    clients: Vec<Option<SocketAddr>>,
}

impl<P: Protocol> Connection<P> {
    fn new(inner: P) -> Self {
        let mut protocol = Proxied::new(inner, Some(Proxies::new(|_| true)));
        let session = protocol.session();
        Connection {
            protocol,
            session,
            tag: UNADMITTED,
            admits: true,
            kept: Vec::new(),
            output: Vec::new(),
            finished: None,
            clients: Vec::new(),
        }
    }

    fn call(
        &mut self,
        method: impl FnOnce(
            &mut ProxiedSession<P::Session>,
            &[u8],
            Context<'_, Proxied<P>>,
            &mut Outbox<'_>,
        ) -> usize,
    ) -> bool {
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, 1 << 16);
        let context = Context::new(ID, Time::ZERO, &mut self.protocol).tagged(self.tag);
        let kept = std::mem::take(&mut self.kept);
        let consumed = method(&mut self.session, &kept, context, &mut outbox);
        self.output.extend(outbox.bytes());
        self.finished = outbox.finished();
        let is_deferred = outbox.is_deferred();
        self.kept = kept[consumed..].to_vec();
        is_deferred && self.finished.is_none()
    }

    fn receive(&mut self, input: &[u8]) {
        if self.finished.is_some() {
            return;
        }
        self.kept.extend(input);
        let mut calls = 0;
        while self.call(|session, kept, context, outbox| {
            // The outbox borrows from the input.
            let mut write_buffer = Vec::new();
            let mut inner = Outbox::new(&mut write_buffer, 1 << 16);
            let consumed = session.receive(kept, context, &mut inner);
            outbox.write(inner.bytes());
            if inner.is_deferred() {
                outbox.defer();
            }
            if let Some(finish) = inner.finished() {
                outbox.finish(finish);
            }
            consumed
        }) {
            calls += 1;
            assert!(calls < 3, "it is deferred without end");
            let report = self.protocol.proxies().unwrap().take_report(ID);
            let Some(report) = report else { continue };
            self.clients.push(report.client);
            if !self.admits {
                self.finished = Some(Finish::Done);
                return;
            }
            self.tag = 7;
        }
    }

    fn end(&mut self) {
        if self.finished.is_none() {
            self.call(|session, kept, context, outbox| {
                let mut write_buffer = Vec::new();
                let mut inner = Outbox::new(&mut write_buffer, 1 << 16);
                session.end(kept, context, &mut inner);
                outbox.write(inner.bytes());
                if let Some(finish) = inner.finished() {
                    outbox.finish(finish);
                }
                0
            });
        }
    }
}

fn client(text: &str) -> Vec<Option<SocketAddr>> {
    vec![Some(text.parse().unwrap())]
}

#[test]
fn input_after_the_header_reaches_the_session_once_the_client_is_admitted() {
    let mut connection = Connection::new(Raw);
    assert!(connection.session.is_handshaking());
    connection.receive(&[HEADER, b"hello"].concat());
    assert_eq!(connection.clients, client("192.0.2.1:5555"));
    assert_eq!(connection.output, b"hello");
    assert!(!connection.session.is_handshaking());
    connection.receive(b"PROXY UNKNOWN\r\n");
    assert_eq!(connection.output, b"helloPROXY UNKNOWN\r\n");
}

#[test]
fn refused_client_gets_no_output() {
    let mut connection = Connection::new(Raw);
    connection.admits = false;
    connection.receive(&[HEADER, b"hello"].concat());
    assert_eq!(connection.output, b"");
}

#[test]
fn own_connection_of_the_proxy_is_reported_without_client() {
    let mut connection = Connection::new(Raw);
    connection.receive(b"PROXY UNKNOWN\r\nhello");
    assert_eq!(connection.clients, [None]);
    assert_eq!(connection.output, b"hello");
}

#[test]
fn input_without_header_is_malformed() {
    let mut connection = Connection::new(Raw);
    connection.receive(b"hello");
    assert_eq!(connection.finished, Some(Finish::Malformed));
    assert_eq!(connection.output, b"");
}

#[test]
fn fin_within_the_header_is_malformed_and_before_it_is_none() {
    let mut connection = Connection::new(Raw);
    connection.receive(&HEADER[..10]);
    connection.end();
    assert_eq!(connection.finished, Some(Finish::Malformed));
    let mut connection = Connection::new(Raw);
    connection.end();
    assert_eq!(connection.finished, Some(Finish::PeerClosed));
}

#[test]
fn record_does_not_contain_the_header() {
    let mut connection = Connection::new(Collect::new(10));
    connection.receive(HEADER);
    connection.receive(b"0123456789");
    assert_eq!(
        (connection.finished, &connection.kept[..]),
        (None, &b"0123456789"[..])
    );
    connection.end();
    assert_eq!(connection.finished, Some(Finish::Record));
}

#[test]
fn connection_without_header_is_no_record() {
    let mut connection = Connection::new(Collect::new(10));
    connection.end();
    assert_eq!(connection.finished, Some(Finish::PeerClosed));
}

#[test]
fn restored_session_awaits_the_header_only_if_it_did_before() {
    let mut protocol = Proxied::new(Raw, Some(Proxies::new(|_| true)));
    assert!(protocol.restored_session(true).is_handshaking());
    assert!(!protocol.restored_session(false).is_handshaking());
    assert!(protocol.is_transferable());
}

#[test]
fn protocol_without_proxies_is_unchanged() {
    let mut protocol = Proxied::new(Raw, None);
    assert_eq!(protocol.name(), "raw");
    assert!(protocol.proxies().is_none());
    assert!(!protocol.session().is_handshaking());
}

#[test]
fn name_contains_the_header() {
    let protocol = Proxied::new(Raw, Some(Proxies::new(|_| true)));
    assert_eq!(protocol.name(), "raw after a PROXY header");
}

proptest! {
    /// The pieces in which the input arrives change nothing.
    #[test]
    fn any_cut_of_the_input_has_the_same_result(
        header in prop_oneof![
            Just(HEADER.to_vec()),
            Just(b"PROXY UNKNOWN\r\n".to_vec()),
            Just(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x03abc".to_vec()),
            Just(b"PROXY TCP4 192.0.2.1 ::1 1 1\r\n".to_vec()),
            Just(b"GET".to_vec()),
        ],
        rest in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40),
        cuts in prop::collection::vec(1..20usize, 0..20),
    ) {
        let input = [header, rest].concat();
        let run = |pieces: &[usize]| {
            let mut connection = Connection::new(Line::echo(20, b"> "));
            let mut left = &input[..];
            for piece in pieces {
                let (now, later) = left.split_at((*piece).min(left.len()));
                connection.receive(now);
                left = later;
            }
            connection.receive(left);
            connection.end();
            (connection.output, connection.finished, connection.clients)
        };
        prop_assert_eq!(run(&cuts), run(&[]));
    }
}
