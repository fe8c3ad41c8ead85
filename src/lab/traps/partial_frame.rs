//! TCP carries bytes, not messages: a read returns a part of a message, or several.

use std::io::{self, Read};

/// Takes each read for one message: a byte with its length, then its text.
pub(super) fn wrong(mut client: impl Read) -> io::Result<Vec<String>> {
    let mut messages = Vec::new();
    let mut buffer = [0; 256];
    loop {
        match client.read(&mut buffer)? {
            0 => return Ok(messages),
            count => messages.push(text(&buffer[1..count])),
        }
    }
}

/// Collects the input, and takes messages that are complete.
pub(super) fn right(mut client: impl Read) -> io::Result<Vec<String>> {
    let mut messages = Vec::new();
    let mut buffer = [0; 256];
    let mut input = Vec::new();
    loop {
        match client.read(&mut buffer)? {
            0 => return Ok(messages),
            count => input.extend_from_slice(&buffer[..count]),
        }
        while let Some(message) = take_message(&mut input) {
            messages.push(text(&message));
        }
    }
}

/// Removes the first message from `input`, if all of it is there.
fn take_message(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(*input.first()?);
    if input.len() <= length {
        return None;
    }
    Some(input.drain(..=length).skip(1).collect())
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
