//! Values of the Redis protocol, RESP 2 and 3: a line each, bulk strings with bytes after it, and collections with values
//! after it. A collection counts the values still to come, so nesting takes no memory.

use super::reply_end::{Parsed, Progress};
use memchr::memchr;

/// The longest line with a length; a line with text may be longer.
const MAX_LENGTH_LINE: usize = 32;

/// Looks for the end of a value. `scanned` is where the next part of it begins, `open` how many values are to come after
/// that part.
pub(super) fn parse(input: &[u8], progress: &mut Progress) -> Parsed {
    loop {
        let rest = input.get(progress.scanned..).unwrap_or_default();
        let Some(kind) = rest.first() else {
            return Parsed::Incomplete;
        };
        let has_length = match kind {
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => true,
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => false,
            _ => return Parsed::Malformed,
        };
        let limit = if has_length {
            MAX_LENGTH_LINE
        } else {
            rest.len()
        };
        let Some(end) = memchr(b'\n', &rest[..rest.len().min(limit)]) else {
            return if has_length && rest.len() >= limit {
                Parsed::Malformed
            } else {
                Parsed::Incomplete
            };
        };
        let Some(line) = rest[1..=end].strip_suffix(b"\r\n") else {
            return Parsed::Malformed;
        };
        let mut length = end + 1;
        let mut values = 0;
        if has_length {
            let Some(count) = number(line) else {
                return Parsed::Malformed;
            };
            // A negative count is null, which has nothing after its line.
            let count = u64::try_from(count).ok();
            match (kind, count) {
                (b'$' | b'!' | b'=', Some(bytes)) => match bulk(rest, length, bytes) {
                    Parsed::Complete(whole) => length = whole,
                    other => return other,
                },
                (b'$' | b'!' | b'=', None) => {}
                // A map has two values per entry; an attribute precedes the value that it describes.
                (b'%', count) => values = count.unwrap_or(0).saturating_mul(2),
                (b'|', count) => values = count.unwrap_or(0).saturating_mul(2).saturating_add(1),
                (_, count) => values = count.unwrap_or(0),
            }
        }
        if let Parsed::Complete(end) = finish(progress, length, values) {
            return Parsed::Complete(end);
        }
    }
}

/// A part of this length ends, and so many further values belong to it.
fn finish(progress: &mut Progress, length: usize, values: u64) -> Parsed {
    progress.scanned += length;
    let open = progress.open.saturating_add(values);
    if open == 0 {
        return Parsed::Complete(progress.scanned);
    }
    progress.open = open - 1;
    Parsed::Incomplete
}

/// The bytes of a bulk string after its line.
fn bulk(rest: &[u8], line: usize, bytes: u64) -> Parsed {
    let end = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| line.checked_add(bytes));
    let Some(end) = end else {
        return Parsed::Malformed;
    };
    match rest.get(end..) {
        Some([b'\r', b'\n', ..]) => Parsed::Complete(end + 2),
        None | Some([] | [b'\r']) => Parsed::Incomplete,
        Some(_) => Parsed::Malformed,
    }
}

/// A length: `Some(-1)` is null, `None` is no length.
fn number(text: &[u8]) -> Option<i64> {
    if text == b"-1" {
        return Some(-1);
    }
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}
