//! WebSocket messages (RFC 6455): frame headers are read and written by `tungstenite`.

use super::reply_end::{Parsed, Progress};
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// One frame at the beginning of some input.
struct Frame<'a> {
    header: FrameHeader,
    payload: &'a [u8],
    length: usize,
}

/// The frame at the beginning of `input`: none if it is incomplete.
fn frame(input: &[u8]) -> Result<Option<Frame<'_>>, ()> {
    let mut cursor = Cursor::new(input);
    let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(drop)? else {
        return Ok(None);
    };
    let is_control = matches!(header.opcode, OpCode::Control(_));
    // A server masks nothing; extensions were not negotiated; a control frame is short and whole (sections 5.1 to 5.5).
    let is_reserved = header.rsv1 || header.rsv2 || header.rsv3;
    if header.mask.is_some() || is_reserved || (is_control && (length > 125 || !header.is_final)) {
        return Err(());
    }
    let begin = usize::try_from(cursor.position()).map_err(drop)?;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| begin.checked_add(length));
    let end = end.ok_or(())?;
    Ok(input.get(begin..end).map(|payload| Frame {
        header,
        payload,
        length: end,
    }))
}

/// Looks for the end of a message. `scanned` is where its next frame begins; `open` is 1 within a message.
pub(super) fn parse(input: &[u8], progress: &mut Progress) -> Parsed {
    loop {
        let rest = input.get(progress.scanned..).unwrap_or_default();
        let frame = match frame(rest) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Parsed::Incomplete,
            Err(()) => return Parsed::Malformed,
        };
        progress.scanned += frame.length;
        let OpCode::Data(data) = frame.header.opcode else {
            continue;
        };
        if (data == Data::Continue) != (progress.open == 1) {
            return Parsed::Malformed;
        }
        progress.open = 1;
        if frame.header.is_final {
            return Parsed::Complete(progress.scanned);
        }
    }
}

/// The payload of a message, joined in `buffer` if it has several frames.
pub(super) fn content<'a>(reply: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    match frame(reply) {
        Ok(Some(only)) if only.length == reply.len() => only.payload,
        _ => {
            buffer.clear();
            let mut rest = reply;
            while let Ok(Some(frame)) = frame(rest) {
                if matches!(frame.header.opcode, OpCode::Data(_)) {
                    buffer.extend_from_slice(frame.payload);
                }
                rest = &rest[frame.length..];
            }
            buffer
        }
    }
}

/// Control frames at the beginning of `input`: their length, and into `out` the answers to pings. `None` if `input` begins
/// with an incomplete one.
pub(super) fn answer_control(input: &[u8], key: u64, out: &mut Vec<u8>) -> Option<usize> {
    let mut rest = input;
    while let Ok(Some(frame)) = frame(rest) {
        match frame.header.opcode {
            OpCode::Control(Control::Ping) => {
                let begin = out.len();
                out.extend_from_slice(frame.payload);
                let pong = OpCode::Control(Control::Pong);
                enclose(out, begin, pong, key);
            }
            OpCode::Control(_) => {}
            OpCode::Data(_) => break,
        }
        rest = &rest[frame.length..];
    }
    // The highest bit of an opcode is that of control frames.
    let is_control = rest.first().is_some_and(|first| first & 8 != 0);
    let is_incomplete = rest.len() == input.len() && is_control && matches!(frame(rest), Ok(None));
    (!is_incomplete).then(|| input.len() - rest.len())
}

/// The pings within a message, between its frames.
pub(super) fn answer_pings(reply: &[u8], key: u64, out: &mut Vec<u8>) {
    let mut rest = reply;
    while let Ok(Some(frame)) = frame(rest) {
        let is_data = matches!(frame.header.opcode, OpCode::Data(_));
        if !is_data {
            answer_control(&rest[..frame.length], key, out);
        }
        rest = &rest[frame.length..];
    }
}

/// Makes the bytes from `begin` on the payload of a text message of a client.
pub(super) fn enclose_text(out: &mut Vec<u8>, begin: usize, key: u64) {
    enclose(out, begin, OpCode::Data(Data::Text), key);
}

/// Masks the bytes from `begin` on and puts the header of a frame before them.
fn enclose(out: &mut Vec<u8>, begin: usize, opcode: OpCode, key: u64) {
    let [a, b, c, d, ..] = key.to_le_bytes();
    let mask = [a, b, c, d];
    let payload = out.len() - begin;
    for (byte, mask) in out[begin..].iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let header = FrameHeader {
        is_final: true,
        opcode,
        mask: Some(mask),
        ..FrameHeader::default()
    };
    // Writing to a vector does not fail.
    let _ = header.format(payload as u64, out);
    let length = out.len() - begin - payload;
    out[begin..].rotate_right(length);
}
