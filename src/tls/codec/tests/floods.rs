//! Records that cost CPU time and bring no data are bounded.

use super::super::Side as Engine;
use super::super::pump::Engine as _;
use super::*;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::unbuffered::ConnectionState;
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion};

/// Sends a `KeyUpdate`.
fn update_keys(side: &mut Side) {
    let Engine::Client(client) = &mut side.codec.side else {
        panic!("not a client");
    };
    let status = client.process(&mut []);
    let Ok(ConnectionState::WriteTraffic(traffic)) = status.state else {
        panic!("no WriteTraffic");
    };
    traffic.refresh_traffic_keys().unwrap();
    side.receive(&[]);
    assert!(!side.output.is_empty());
}

#[test]
fn key_updates_between_data_are_bounded_by_the_data() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    let mut updates = 0;
    while server.error.is_none() && updates < 1000 {
        update_keys(&mut client);
        client.encrypt(b"x");
        exchange(&mut client, &mut server, whole);
        updates += 1;
    }
    assert_eq!(server.error_kind(), Some(TlsErrorKind::Flood));
    assert_eq!(
        server.error_text(),
        "the client sends too many records without data"
    );
    assert_eq!(updates, 65);
}

#[test]
fn key_updates_with_much_data_continue() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    for _ in 0..200 {
        update_keys(&mut client);
        client.encrypt(&vec![1; 20_000]);
        exchange(&mut client, &mut server, whole);
        assert_eq!(server.error_text(), "");
    }
    server.encrypt(b"answered with new keys");
    exchange(&mut client, &mut server, whole);
    assert_eq!(client.received, b"answered with new keys");
}

#[test]
fn key_updates_without_data_are_an_error() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    for _ in 0..100 {
        update_keys(&mut client);
    }
    exchange(&mut client, &mut server, whole);
    assert_eq!(server.error_kind(), Some(TlsErrorKind::Flood));
}

/// The encrypter of a client after its handshake, and the number of its next record.
fn encrypter(side: Side) -> (Box<dyn MessageEncrypter>, u64) {
    let Engine::Client(client) = side.codec.side else {
        panic!("not a client");
    };
    let suite = client.state().negotiated_cipher_suite().unwrap();
    #[expect(deprecated, reason = "its successor is for kernels")]
    let secrets = client.dangerous_extract_secrets().unwrap();
    let (number, secrets) = secrets.tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("another cipher");
    };
    let algorithm = suite.tls13().unwrap().aead_alg;
    (algorithm.encrypter(key, iv), number)
}

#[test]
fn empty_records_are_an_error() {
    for data_between in [0_usize, 1] {
        let settings = client(&TLS13);
        let mut config = (*settings.config()).clone();
        config.enable_secret_extraction = true;
        let (client, mut server) = established(&settings.with_config(config), &COMMON.server);
        let (mut encrypter, begin) = encrypter(client);
        let mut sent = 0_usize;
        while server.error.is_none() && sent < 1000 {
            let length = if sent % 8 == 7 { data_between } else { 0 };
            let message = OutboundPlainMessage {
                typ: ContentType::ApplicationData,
                version: ProtocolVersion::TLSv1_3,
                payload: OutboundChunks::Single(&[7][..length]),
            };
            let number = begin + u64::try_from(sent).unwrap();
            let record = encrypter.encrypt(message, number).unwrap().encode();
            server.receive(&record);
            sent += 1;
        }
        assert_eq!(
            server.error_kind(),
            Some(TlsErrorKind::Flood),
            "{sent} records"
        );
        assert!((33..80).contains(&sent), "{sent} records");
        assert!(server.received.len() <= 10);
    }
}

#[test]
fn handshake_message_in_endless_fragments_is_bounded() {
    let mut server = Side::server(&COMMON.server);
    // A ClientHello of 60,000 bytes, in records of one byte.
    let message = [&[1, 0, 0xea, 0x60][..], &vec![0; 60_000][..]].concat();
    let mut most = 0;
    for byte in message {
        server.receive(&[22, 3, 1, 0, 1, byte]);
        most = most.max(server.codec.held_bytes());
        if server.error.is_some() {
            break;
        }
    }
    assert_eq!(server.error_kind(), Some(TlsErrorKind::Flood));
    assert!((1 << 16..1 << 19).contains(&most), "{most} bytes");
}
