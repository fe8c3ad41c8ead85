//! The format in which a server passes its state to a new version, compared with golden files.
//!
//! A process is upgraded by a program of another version, so the format of a version never changes. A change gets a new
//! number: raise `FORMATS` in `src/upgrade/mod.rs`, keep the code that reads the old format, and add a golden file.
//! `ECHOLOOP_UPDATE_GOLDEN=1 cargo test --test upgrade_format` writes a missing file; it does not replace one.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test binary has no public API, and its panics are test failures"
)]

mod any_bytes;
mod examples;

use echoloop::server::{SavedConnection, SavedServer};
use echoloop::upgrade::{decode_connections, encode_connections};
use std::fmt::Write;
use std::path::PathBuf;

const ADVICE: &str = "the format of the state has changed: give it a new number (FORMATS in src/upgrade/mod.rs), keep \
                      reading the old one, and add a golden file for the new one; do not change this file";

/// A golden file of format 1, written now if it is missing and that is requested.
fn golden(name: &str, contents: impl FnOnce() -> String) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("tests/upgrade_format/golden").join(name);
    if !path.exists() && std::env::var_os("ECHOLOOP_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, contents()).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// The lines of the golden file of connections: a name, and the record in hexadecimal digits.
fn golden_connections() -> Vec<(String, Vec<u8>)> {
    let text = golden("connections-1.txt", || {
        let lines = examples::connections().into_iter().map(|(name, saved)| {
            let bytes = encode_connections(&[saved]).unwrap();
            format!("{name} {}\n", to_hex(&bytes))
        });
        lines.collect()
    });
    let lines = text.lines().map(|line| {
        let (name, digits) = line.split_once(' ').expect("a name and a record");
        (name.to_owned(), from_hex(digits))
    });
    lines.collect()
}

#[test]
fn golden_connections_are_decoded_and_encoded_alike() {
    for (name, bytes) in golden_connections() {
        let decoded = decode_connections(&bytes);
        let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}: {ADVICE}"));
        let encoded = encode_connections(&decoded).unwrap();
        assert_eq!(to_hex(&encoded), to_hex(&bytes), "{name}: {ADVICE}");
    }
}

#[test]
fn golden_connections_have_the_expected_states() {
    let golden = golden_connections();
    let examples = examples::connections();
    assert_eq!(golden.len(), examples.len(), "{ADVICE}");
    for ((name, bytes), (expected_name, expected)) in golden.iter().zip(examples) {
        assert_eq!(*name, expected_name);
        let decoded = decode_connections(bytes).unwrap();
        assert_eq!(decoded, [expected], "{name}: {ADVICE}");
    }
}

#[test]
fn several_records_are_decoded_in_order() {
    let all: Vec<u8> = golden_connections()
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    let expected: Vec<SavedConnection> = examples::connections()
        .into_iter()
        .map(|(_, saved)| saved)
        .collect();
    assert_eq!(decode_connections(&all).unwrap(), expected);
}

#[test]
fn golden_servers_are_parsed_and_written_alike() {
    for (name, server) in [
        ("server-1.json", examples::server()),
        ("server-1-later.json", examples::server_with_later_fields()),
    ] {
        let text = golden(name, || {
            let text = serde_json::to_string(&server).unwrap();
            format!("{text}\n")
        });
        let text = text.trim_end();
        let parsed: SavedServer =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {ADVICE}"));
        assert_eq!(parsed, server, "{name}: {ADVICE}");
        let written = serde_json::to_string(&parsed).unwrap();
        assert_eq!(written, text, "{name}: {ADVICE}");
    }
}

#[test]
fn unknown_version_of_a_record_is_an_error() {
    let (_, mut bytes) = golden_connections().remove(0);
    bytes[0] = 2;
    let error = decode_connections(&bytes).unwrap_err();
    assert_eq!(error, "a connection has the unknown version 2");
}
