//! The state of connections that an upgrade passes on: any bytes give an error, or states that are encoded to the same
//! bytes; and any states are decoded as they were encoded.
#![no_main]

use arbitrary::Arbitrary;
use echoloop::connection;
use echoloop::reactor::SavedSlot;
use echoloop::server::SavedConnection;
use echoloop::upgrade::{decode_connections, encode_connections};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Run {
    /// Records with these contents.
    Records(Vec<Vec<u8>>),
    Bytes(Vec<u8>),
    States(Vec<State>),
}

#[derive(Arbitrary, Debug)]
struct State {
    slot: (u32, u8, u32, bool),
    bytes: (u64, u64),
    state: (u8, u8),
    reason: u8,
    readiness: u8,
    flags: u8,
    output: Vec<u8>,
    input: Vec<u8>,
    acknowledged: Option<(u64, u64)>,
    source: Option<u128>,
}

impl From<State> for SavedConnection {
    fn from(state: State) -> SavedConnection {
        let (serial, class, timer_start, is_rechecked) = state.slot;
        SavedConnection {
            slot: SavedSlot {
                serial,
                class,
                timer_start,
                is_rechecked,
            },
            connection: connection::SavedConnection {
                bytes_in: state.bytes.0,
                bytes_out: state.bytes.1,
                state: state.state,
                reason: state.reason,
                readiness: state.readiness,
                flags: state.flags,
                output: state.output,
                input: state.input,
                acknowledged: state.acknowledged,
            },
            source: state.source,
        }
    }
}

/// A record of the current version.
fn record(contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).expect("a short record");
    [&[1][..], &length.to_le_bytes(), contents].concat()
}

fn check(bytes: &[u8]) {
    if let Ok(connections) = decode_connections(bytes) {
        let encoded = encode_connections(&connections);
        assert_eq!(encoded.expect("a decoded state"), bytes);
    }
}

fuzz_target!(|run: Run| match run {
    Run::Bytes(bytes) => check(&bytes),
    Run::Records(records) => {
        let records: Vec<_> = records.iter().map(|contents| record(contents)).collect();
        check(&records.concat());
    }
    Run::States(states) => {
        let connections: Vec<SavedConnection> = states.into_iter().map(Into::into).collect();
        let bytes = encode_connections(&connections).expect("a valid state");
        assert_eq!(decode_connections(&bytes), Ok(connections));
    }
});
