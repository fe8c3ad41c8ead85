//! What the two sides agree on, and why handshakes fail.

use super::*;
use crate::tls::pem::Pem;
use rustls::ALL_VERSIONS;

/// The error kinds of client and server after a handshake.
fn handshake(client: &ClientSettings, server: &ServerSettings) -> (Side, Side) {
    let (mut client, mut server) = (Side::client(client), Side::server(server));
    exchange(&mut client, &mut server, whole);
    (client, server)
}

fn trusting(ca: &Pem, name: &str, alpn: &[&str], resume: bool) -> ClientSettings {
    ClientSettings::new(name, Trust::Authorities(ca), None, &owned(alpn), resume).unwrap()
}

#[test]
fn both_versions_are_negotiated_and_reported() {
    for (version, name) in VERSIONS.into_iter().zip(["TLS 1.2", "TLS 1.3"]) {
        let (client, server) = established(&client(version), &COMMON.server);
        let at_client = client.codec.negotiated().unwrap();
        let at_server = server.codec.negotiated().unwrap();
        assert_eq!(at_client.version, name);
        assert_eq!(at_client.requested_name, None);
        assert_eq!(at_server.requested_name.as_deref(), Some(NAME));
        assert_eq!(at_server.cipher_suite, at_client.cipher_suite);
        assert!(at_client.cipher_suite.starts_with("TLS"), "{at_client:?}");
        assert!(!at_client.is_resumed && !at_server.is_resumed);
    }
    let (client, _) = handshake(
        &trusting(&COMMON.authority.pem(), NAME, &[], false),
        &COMMON.server,
    );
    assert_eq!(client.codec.negotiated().unwrap().version, "TLS 1.3");
}

#[test]
fn address_is_accepted_as_name_and_not_sent() {
    let ca = COMMON.authority.pem();
    let (client, server) = established(&trusting(&ca, "127.0.0.1", &[], false), &COMMON.server);
    assert!(client.codec.negotiated().is_some());
    assert_eq!(server.codec.negotiated().unwrap().requested_name, None);
}

#[test]
fn sessions_resume_only_if_requested() {
    let ca = COMMON.authority.pem();
    for version in VERSIONS {
        for resume in [false, true] {
            let trust = Trust::Authorities(&ca);
            let settings =
                ClientSettings::with_versions(&[version], NAME, trust, None, &[], resume).unwrap();
            for round in 0..4 {
                let (mut client, mut server) = established(&settings, &COMMON.server);
                let is_resumed = client.codec.negotiated().unwrap().is_resumed;
                assert_eq!(is_resumed, resume && round > 0, "round {round}");
                assert_eq!(server.codec.negotiated().unwrap().is_resumed, is_resumed);
                client.encrypt(b"data");
                exchange(&mut client, &mut server, whole);
                assert_eq!(server.received, b"data");
            }
        }
    }
}

#[test]
fn first_common_application_protocol_is_used() {
    let server = server_of(&COMMON.authority, None, &["echo/2", "echo"]);
    let ca = COMMON.authority.pem();
    let (client, server_side) =
        established(&trusting(&ca, NAME, &["echo", "echo/2"], false), &server);
    for side in [client, server_side] {
        assert_eq!(side.codec.negotiated().unwrap().alpn.unwrap(), b"echo/2");
    }
    let (client, _) = established(&trusting(&ca, NAME, &[], false), &server);
    assert_eq!(client.codec.negotiated().unwrap().alpn, None);

    let (client, server) = handshake(&trusting(&ca, NAME, &["other"], false), &server);
    assert_eq!(server.error_kind(), Some(TlsErrorKind::Incompatible));
    assert_eq!(client.error_kind(), Some(TlsErrorKind::Alert));
    assert!(
        client.error_text().contains("ALPN"),
        "{}",
        client.error_text()
    );
}

#[test]
fn certificate_of_another_authority_is_refused() {
    let other = Authority::new("other authority").pem();
    let (client, server) = handshake(&trusting(&other, NAME, &[], false), &COMMON.server);
    let text = "the server's certificate is signed by no trusted authority";
    assert_eq!(client.error_text(), text);
    let text = "the client sent the alert \"unknown CA\": it does not trust the issuer of this \
                side's certificate";
    assert_eq!(server.error_text(), text);
}

#[test]
fn certificate_for_another_name_is_refused() {
    let ca = COMMON.authority.pem();
    let (client, server) = handshake(&trusting(&ca, "example.org", &[], false), &COMMON.server);
    assert_eq!(
        client.error_text(),
        "the server's certificate is not valid for example.org, only for localhost, 127.0.0.1"
    );
    assert_eq!(server.error_kind(), Some(TlsErrorKind::Alert));
}

#[test]
fn expired_certificate_is_refused() {
    let (certificate, key) = COMMON.authority.issue_expired(&[NAME]);
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let server = ServerSettings::new(&identity, None, &[]).unwrap();
    let ca = COMMON.authority.pem();
    let (client, _) = handshake(&trusting(&ca, NAME, &[], false), &server);
    let text = client.error_text();
    assert!(
        text.contains("has expired") && text.ends_with("days ago"),
        "{text}"
    );
}

#[test]
fn certificate_of_an_authority_as_that_of_a_server() {
    let (certificate, key) = COMMON.authority.itself();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let server = ServerSettings::new(&identity, None, &[]).unwrap();
    let ca = COMMON.authority.pem();
    let (client, _) = handshake(&trusting(&ca, NAME, &[], false), &server);
    let text = client.error_text();
    assert!(text.contains("CA:FALSE"), "{text}");
}

#[test]
fn any_certificate_is_accepted_without_authentication() {
    for version in VERSIONS {
        let any =
            ClientSettings::with_versions(&[version], "any.example", Trust::Any, None, &[], false);
        established(&any.unwrap(), &COMMON.server);
    }
}

#[test]
fn client_certificate_is_required_and_checked() {
    let clients = Authority::new("authority of clients");
    let server = server_of(&COMMON.authority, Some(&clients), &[]);
    let ca = COMMON.authority.pem();
    for version in VERSIONS {
        let settings = |identity: Option<&Identity>| {
            let trust = Trust::Authorities(&ca);
            ClientSettings::with_versions(&[version], NAME, trust, identity, &[], false).unwrap()
        };
        let (certificate, key) = clients.issue(&["a client"]);
        let valid = Identity::from_pem(&certificate, &key).unwrap();
        established(&settings(Some(&valid)), &server);

        let (client, server_side) = handshake(&settings(None), &server);
        let text = "the client sent no certificate, and one is required";
        assert_eq!(server_side.error_text(), text);
        assert_eq!(client.error_kind(), Some(TlsErrorKind::Alert));

        let (certificate, key) = COMMON.authority.issue(&["a client"]);
        let other = Identity::from_pem(&certificate, &key).unwrap();
        let (_, server_side) = handshake(&settings(Some(&other)), &server);
        let text = "the client's certificate is signed by no trusted authority";
        assert_eq!(server_side.error_text(), text);
    }
}

#[test]
fn close_notify_ends_one_direction_only() {
    for version in VERSIONS {
        let (mut client, mut server) = established(&client(version), &COMMON.server);
        client.close_notify();
        client.close_notify();
        exchange(&mut client, &mut server, whole);
        assert!(server.progress.peer_closed && !client.progress.peer_closed);
        assert_eq!(server.codec.end(), Ok(()));
        let error = client.codec.encrypt(b"late", &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), TlsErrorKind::Exhausted);

        server.encrypt(b"the last words");
        server.close_notify();
        exchange(&mut client, &mut server, whole);
        assert_eq!(client.received, b"the last words");
        assert!(client.progress.peer_closed);
        assert_eq!(
            (client.error_text(), server.error_text()),
            Default::default()
        );
    }
}

#[test]
fn invalid_record_after_our_close_notify_is_an_error() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    client.close_notify();
    exchange(&mut client, &mut server, whole);
    client.receive(&[
        23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    assert_eq!(client.error_kind(), Some(TlsErrorKind::Malformed));
}

#[test]
fn input_after_close_notify_is_ignored() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    client.encrypt(b"data");
    client.close_notify();
    client.output.extend(b"no record at all");
    exchange(&mut client, &mut server, whole);
    server.receive(b"and more");
    assert_eq!(
        (server.error_text(), &server.received[..]),
        (String::new(), &b"data"[..])
    );
    assert_eq!(server.codec.held_bytes(), 0);
}

#[test]
fn connection_without_tls_is_named() {
    let cases: [(&[u8], &str); 4] = [
        (b"GET / HTTP/1.1\r\n", "47 45 54 20 (plain HTTP)"),
        (b"SSH-2.0-OpenSSH", "53 53 48 2d (SSH)"),
        (b"hello\n", "68 65 6c 6c (a connection without TLS?)"),
        (&[0x80, 0x2e, 1, 0, 2], "80 2e 01 00 (SSL 2)"),
    ];
    for (bytes, expected) in cases {
        let mut server = Side::server(&COMMON.server);
        server.receive(bytes);
        let text = format!("the client's first bytes are no TLS record: {expected}");
        assert_eq!(server.error_text(), text);
        assert_eq!(server.error_kind(), Some(TlsErrorKind::NotTls));
        assert_eq!(
            server.output,
            [21, 3, 3, 0, 2, 2, 50],
            "a fatal decode_error alert"
        );
    }
}

#[test]
fn client_of_tls_1_1_is_refused_with_an_alert() {
    // A ClientHello of version 3.2 with one cipher suite (ECDHE, ECDSA, AES-128 in CBC mode).
    let mut hello = vec![1, 0, 0, 41, 3, 2];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x09, 1, 0]);
    let plain = [&[22, 3, 1, 0, 45][..], &hello].concat();
    // And with the extension signature_algorithms, in a message that is 10 bytes longer.
    hello[3] = 51;
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let extended = [&[22, 3, 1, 0, 55][..], &hello].concat();
    for hello in [plain, extended] {
        let mut server = Side::server(&COMMON.server);
        server.receive(&hello);
        let text = "the client supports neither TLS 1.2 nor TLS 1.3";
        assert_eq!(server.error_text(), text);
        assert_eq!(server.error_kind(), Some(TlsErrorKind::Incompatible));
        assert_eq!(server.output[..6], [21, 3, 3, 0, 2, 2], "a fatal alert");
    }
}

#[test]
fn handshake_takes_steps_and_waits_for_them() {
    for versions in [&[&TLS12][..], &[&TLS13], ALL_VERSIONS] {
        let ca = COMMON.authority.pem();
        let trust = Trust::Authorities(&ca);
        let settings = ClientSettings::with_versions(versions, NAME, trust, None, &[], false);
        let mut client = Side::client(&settings.unwrap());
        let mut server = Side::server(&COMMON.server);
        client.encrypt(b"early");
        let mut deferrals = 0;
        loop {
            let to_server = std::mem::take(&mut client.output);
            let to_client = std::mem::take(&mut server.output);
            if to_server.is_empty() && to_client.is_empty() {
                break;
            }
            for (side, bytes) in [(&mut server, to_server), (&mut client, to_client)] {
                side.receive_steps(&bytes, &mut 0);
                while side.progress.deferred {
                    assert!(side.output.is_empty(), "output without a step");
                    assert!(side.codec.held_bytes() > 0);
                    deferrals += 1;
                    let mut steps = 1;
                    side.receive_steps(&[], &mut steps);
                    assert_eq!(steps, 0, "a step was taken");
                    if !side.output.is_empty() {
                        break;
                    }
                }
            }
            // The rest of a deferred flight.
            for side in [&mut server, &mut client] {
                while side.progress.deferred {
                    side.receive_steps(&[], &mut 1);
                }
            }
        }
        assert!(deferrals >= 2, "{deferrals}");
        assert_eq!(
            (client.error_text(), server.error_text()),
            Default::default()
        );
        assert_eq!(server.received, b"early");
        assert_eq!(server.codec.held_bytes() + client.codec.held_bytes(), 0);
    }
}

#[test]
fn error_releases_memory_and_ends_the_session() {
    let mut server = Side::server(&COMMON.server);
    server.encrypt(b"kept until the end of the handshake");
    assert!(server.codec.held_bytes() > 0);
    server.receive(b"no TLS");
    assert_eq!(server.codec.held_bytes(), 0);
    server.output.clear();
    server.error = None;
    server.receive(b"more");
    assert!(server.error.is_some() && server.output.is_empty());
}
