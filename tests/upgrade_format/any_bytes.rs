//! Any state is decoded as it was encoded; any bytes are an error, or a state that is encoded to the same bytes.

use crate::{examples, golden_connections};
use echoloop::connection;
use echoloop::reactor::SavedSlot;
use echoloop::server::{SavedConnection, SavedServer};
use echoloop::upgrade::{decode_connections, encode_connections};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

prop_compose! {
    fn saved()(
        (serial, class, timer_start, is_rechecked) in any::<(u32, u8, u32, bool)>(),
        (bytes_in, bytes_out, state, reason) in any::<(u64, u64, (u8, u8), u8)>(),
        (readiness, flags) in any::<(u8, u8)>(),
        (output, input) in (vec(any::<u8>(), 0..400), vec(any::<u8>(), 0..400)),
        acknowledged in option::of(any::<(u64, u64)>()),
        source in option::of(any::<u128>()),
    ) -> SavedConnection {
        SavedConnection {
            slot: SavedSlot { serial, class, timer_start, is_rechecked },
            connection: connection::SavedConnection {
                bytes_in, bytes_out, state, reason, readiness, flags, output, input, acknowledged,
            },
            source,
        }
    }
}

/// An error, or a state that is encoded to the same bytes.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(connections) = decode_connections(bytes) {
        prop_assert_eq!(encode_connections(&connections).unwrap(), bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_is_decoded_as_it_was_encoded(connections in vec(saved(), 0..5)) {
        let bytes = encode_connections(&connections).unwrap();
        prop_assert_eq!(decode_connections(&bytes).unwrap(), connections);
    }

    #[test]
    fn any_bytes_are_an_error_or_encoded_alike(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
        // With a valid header.
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        check(&[&[1][..], &length, &bytes].concat())?;
    }

    /// Damaged records are far more likely to be decoded than any bytes.
    #[test]
    fn damaged_record_is_an_error_or_encoded_alike(
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let golden = golden_connections();
        let mut bytes = which.get(&golden).1.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(&bytes)?;
    }
}

#[test]
fn longer_form_of_a_number_is_an_error() {
    let (_, mut bytes) = golden_connections().remove(0);
    // The serial number 17 in two bytes.
    assert_eq!(bytes[5], 17);
    bytes.splice(5..6, [17 | 0x80, 0]);
    bytes[1] += 1;
    assert!(decode_connections(&bytes).is_err());
}

#[test]
fn trailing_bytes_of_a_record_are_an_error() {
    let (_, mut bytes) = golden_connections().remove(0);
    bytes.push(0);
    bytes[1] += 1;
    assert!(decode_connections(&bytes).is_err());
}

#[test]
fn unknown_field_of_a_server_is_skipped_and_a_missing_one_is_an_error() {
    let text = serde_json::to_string(&examples::server()).unwrap();
    let more = text.replacen('{', "{\"news\":1,", 1);
    let parsed: SavedServer = serde_json::from_str(&more).unwrap();
    assert_eq!(parsed, examples::server());
    let less = text.replacen("\"opened\":120,", "", 1);
    assert!(serde_json::from_str::<SavedServer>(&less).is_err());
}
