//! The plaintext does not depend on where the ciphertext is cut; a truncated or altered ciphertext is an error.

use super::*;
use proptest::prelude::*;

/// A conversation with data before and after the end of the handshake, ended by both.
fn converse(
    client: &mut Side,
    server: &mut Side,
    messages: &[Vec<u8>],
    mut cut: impl FnMut(usize) -> usize,
) {
    client.encrypt(b"early from the client");
    server.encrypt(b"early from the server");
    exchange(client, server, &mut cut);
    for message in messages {
        for side in [&mut *client, &mut *server] {
            // After an error a session is closed.
            if side.error.is_none() {
                side.encrypt(message);
            }
        }
        exchange(client, server, &mut cut);
    }
    for side in [&mut *client, &mut *server] {
        side.close_notify();
    }
    exchange(client, server, &mut cut);
}

fn expected(who: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut all = format!("early from the {who}").into_bytes();
    all.extend(messages.concat());
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_cut_of_the_ciphertext_gives_the_same_plaintext(
        version in 0_usize..2,
        cuts in prop::collection::vec(prop_oneof![1_usize..8, 1_usize..4000], 1..40),
        sizes in prop::collection::vec(prop_oneof![0_usize..64, 0_usize..40_000], 0..4),
    ) {
        let messages: Vec<Vec<u8>> = sizes.iter().map(|&size| {
            (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect()
        }).collect();
        let mut client = Side::client(&client(VERSIONS[version]));
        let mut server = Side::server(&COMMON.server);
        let mut at = 0;
        converse(&mut client, &mut server, &messages, |_| {
            at += 1;
            cuts[at % cuts.len()]
        });
        prop_assert_eq!(client.error_text(), "");
        prop_assert_eq!(server.error_text(), "");
        prop_assert_eq!(&server.received, &expected("client", &messages));
        prop_assert_eq!(&client.received, &expected("server", &messages));
        for side in [&client, &server] {
            prop_assert!(side.progress.peer_closed && side.codec.end().is_ok());
            prop_assert_eq!(side.codec.held_bytes(), 0);
        }
    }

    /// No check covers the minor version in the header of a record, nor, in TLS 1.3, the type there: rustls reads the
    /// type that is encrypted. Alterations of these change nothing.
    #[test]
    fn altered_ciphertext_is_an_error_and_no_other_plaintext(
        version in 0_usize..2,
        to_server: bool,
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let at = at.index(stream_length(VERSIONS[version], to_server));
        let messages = [b"a message".to_vec()];
        let mut client = Side::client(&client(VERSIONS[version]));
        let mut server = Side::server(&COMMON.server);
        let altered = converse_altered(&mut client, &mut server, &messages, to_server, (at, bit));
        let is_type = altered.is_application_type && VERSIONS[version] == &TLS13 && bit < 2;
        let is_covered = !altered.is_minor_version && !is_type;
        prop_assert!(expected("client", &messages).starts_with(&server.received));
        prop_assert!(expected("server", &messages).starts_with(&client.received));
        let failed = [&client, &server]
            .iter()
            .any(|side| side.error.is_some() || side.codec.end().is_err());
        prop_assert!(failed || !is_covered, "byte {} bit {}", at, bit);
        if !failed {
            prop_assert_eq!(&server.received, &expected("client", &messages));
            prop_assert_eq!(&client.received, &expected("server", &messages));
        }
    }
}

/// A lower bound of the bytes that a conversation sends in one direction.
fn stream_length(version: &'static SupportedProtocolVersion, to_server: bool) -> usize {
    let mut client = Side::client(&client(version));
    let mut server = Side::server(&COMMON.server);
    let mut sent = 0;
    run(
        &mut client,
        &mut server,
        &[b"a message".to_vec()],
        |toward, bytes| {
            sent += if toward == to_server { bytes.len() } else { 0 };
        },
    );
    // Signatures vary by a few bytes.
    sent - 8
}

/// A conversation whose ciphertext `alter` may change before it is passed on.
fn run(
    client: &mut Side,
    server: &mut Side,
    messages: &[Vec<u8>],
    mut alter: impl FnMut(bool, &mut Vec<u8>),
) {
    client.encrypt(b"early from the client");
    server.encrypt(b"early from the server");
    let mut pass = |client: &mut Side, server: &mut Side| {
        loop {
            let mut to_server = std::mem::take(&mut client.output);
            let mut to_client = std::mem::take(&mut server.output);
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
            alter(true, &mut to_server);
            alter(false, &mut to_client);
            server.receive(&to_server);
            client.receive(&to_client);
        }
    };
    pass(client, server);
    for message in messages {
        for side in [&mut *client, &mut *server] {
            if side.error.is_none() {
                side.encrypt(message);
            }
        }
        pass(client, server);
    }
    for side in [&mut *client, &mut *server] {
        side.close_notify();
    }
    pass(client, server);
}

/// What an altered byte is.
#[derive(Default)]
struct Altered {
    is_minor_version: bool,
    /// The type in the header of a record, which was that of application data.
    is_application_type: bool,
}

/// Alters a bit of one direction.
fn converse_altered(
    client: &mut Side,
    server: &mut Side,
    messages: &[Vec<u8>],
    to_server: bool,
    (at, bit): (usize, u32),
) -> Altered {
    let mut passed = 0;
    let mut altered = Altered::default();
    run(client, server, messages, |toward, bytes| {
        if toward != to_server {
            return;
        }
        if let Some(offset) = at.checked_sub(passed)
            && offset < bytes.len()
        {
            altered = Altered {
                is_minor_version: is_in_header(bytes, offset, 2),
                is_application_type: bytes[offset] == 23 && is_in_header(bytes, offset, 0),
            };
            bytes[offset] ^= 1 << bit;
        }
        passed += bytes.len();
    });
    altered
}

/// Whether this is byte `field` of the header of a record.
fn is_in_header(records: &[u8], offset: usize, field: usize) -> bool {
    let mut begin = 0;
    while begin + 5 <= records.len() {
        if offset == begin + field {
            return true;
        }
        let length = u16::from_be_bytes([records[begin + 3], records[begin + 4]]);
        begin += 5 + usize::from(length);
    }
    false
}

#[test]
fn fin_after_each_byte_but_the_last_is_an_error() {
    for version in VERSIONS {
        let mut client = Side::client(&client(version));
        let mut server = Side::server(&COMMON.server);
        let messages = [b"a message".to_vec()];
        let mut checked = 0;
        client.encrypt(b"early from the client");
        for round in 0..2 {
            loop {
                let to_server = std::mem::take(&mut client.output);
                let to_client = std::mem::take(&mut server.output);
                if to_server.is_empty() && to_client.is_empty() {
                    break;
                }
                for (side, bytes) in [(&mut server, to_server), (&mut client, to_client)] {
                    for byte in bytes {
                        let error = side.codec.end().unwrap_err();
                        assert_eq!(error.kind(), TlsErrorKind::Truncated, "{error}");
                        side.receive(&[byte]);
                        assert_eq!(side.error_text(), "");
                        checked += 1;
                    }
                }
            }
            if round == 0 {
                client.encrypt(&messages[0]);
                client.close_notify();
                server.close_notify();
            }
        }
        assert!(checked > 900, "{checked} positions");
        assert_eq!(server.received, expected("client", &messages));
        for side in [client, server] {
            assert_eq!(side.codec.end(), Ok(()));
        }
    }
}

#[test]
fn one_write_of_a_mebibyte_arrives_in_records_of_16_kib() {
    for version in VERSIONS {
        let (mut client, mut server) = established(&client(version), &COMMON.server);
        let data: Vec<u8> = (0..1 << 20)
            .map(|at| u8::try_from(at % 241).unwrap())
            .collect();
        client.encrypt(&data);
        let overhead = client.output.len() - data.len();
        assert!(overhead <= 64 * (5 + 24), "{overhead} bytes for 64 records");
        exchange(&mut client, &mut server, |_| 65_536);
        assert_eq!(server.received, data);
        assert_eq!(server.codec.held_bytes(), 0);
    }
}

#[test]
fn partial_record_is_held_and_released() {
    let (mut client, mut server) = established(&client(&TLS13), &COMMON.server);
    client.encrypt(&[7; 1000]);
    let record = std::mem::take(&mut client.output);
    server.receive(&record[..700]);
    assert_eq!(server.codec.held_bytes(), 700, "exactly as much memory");
    assert!(server.received.is_empty());
    server.receive(&record[700..]);
    assert_eq!(server.codec.held_bytes(), 0);
    assert_eq!(server.received, [7; 1000]);
}
