//! The states of connections as bytes.
//!
//! A list of records: a byte for the version, the length in four bytes (little-endian), and the state in the format of
//! `postcard`.

use crate::server::SavedConnection;

/// The version of a record that this program reads and writes.
const VERSION: u8 = 1;

/// Appends the record of a connection.
///
/// # Errors
/// A description of the error.
pub(super) fn encode(connection: &SavedConnection, bytes: &mut Vec<u8>) -> Result<(), String> {
    let state = postcard::to_allocvec(connection).map_err(|error| error.to_string())?;
    let length = u32::try_from(state.len()).map_err(|error| error.to_string())?;
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&state);
    Ok(())
}

/// The records of several connections.
///
/// # Errors
/// A description of the error.
pub fn encode_connections(connections: &[SavedConnection]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for connection in connections {
        encode(connection, &mut bytes)?;
    }
    Ok(bytes)
}

/// Decodes records. Encoded again, they are the same bytes.
///
/// # Errors
/// A description of what is invalid.
pub fn decode_connections(mut bytes: &[u8]) -> Result<Vec<SavedConnection>, String> {
    let mut connections = Vec::new();
    while let Some((version, rest)) = bytes.split_first() {
        if *version != VERSION {
            return Err(format!("a connection has the unknown version {version}"));
        }
        let (length, rest) = rest.split_first_chunk().ok_or("a record is truncated")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (state, rest) = rest
            .split_at_checked(length)
            .ok_or("a record is truncated")?;
        let connection = postcard::from_bytes(state).map_err(|error| error.to_string())?;
        if postcard::to_allocvec(&connection).map_err(|error| error.to_string())? != state {
            return Err("a record is not in the usual form".to_owned());
        }
        connections.push(connection);
        bytes = rest;
    }
    Ok(connections)
}
