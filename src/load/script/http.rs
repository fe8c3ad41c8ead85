//! HTTP/1 responses: the head is parsed by `httparse`, the body ends by its length, its chunks or the connection.

use super::reply_end::{Parsed, Progress, whole};
use memchr::memmem;
use std::mem::MaybeUninit;

/// The most header fields of a response.
const MAX_FIELDS: usize = 128;

/// The longest line with the size of a chunk.
const MAX_CHUNK_LINE: usize = 1024;

/// How the body of a response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::load) enum Body {
    /// The head is not complete.
    #[default]
    Unknown,
    /// The response ends at `scanned`.
    Sized,
    /// With its last chunk. The next chunk begins at `scanned`.
    Chunked,
    /// The fields after the last chunk begin at `scanned`.
    Trailer,
    /// With the connection.
    UntilClosed,
}

/// A parsed head.
struct Head {
    length: usize,
    body: Body,
    content_length: usize,
    closes: bool,
    is_interim: bool,
}

/// Looks for the end of a response; interim responses (1xx) before it are part of it.
pub(super) fn parse(input: &[u8], is_head: bool, progress: &mut Progress) -> Parsed {
    while progress.body == Body::Unknown {
        // `open` is the number of bytes without the end of a head; `scanned` is where the head begins.
        let begin = progress.scanned;
        let from = begin.max(
            usize::try_from(progress.open)
                .unwrap_or(begin)
                .saturating_sub(3),
        );
        progress.open = input.len() as u64;
        let is_complete = memmem::find(&input[from..], b"\n\r\n").is_some()
            || memmem::find(&input[from..], b"\n\n").is_some();
        if !is_complete {
            return Parsed::Incomplete;
        }
        let head = match read_head(&input[begin..], is_head) {
            Ok(Some(head)) => head,
            // An empty line before the status line.
            Ok(None) => return Parsed::Incomplete,
            Err(()) => return Parsed::Malformed,
        };
        progress.scanned = begin + head.length;
        progress.open = 0;
        if head.is_interim {
            continue;
        }
        progress.body = head.body;
        progress.closes = head.closes;
        if head.body == Body::Sized {
            progress.scanned = progress.scanned.saturating_add(head.content_length);
        }
    }
    match progress.body {
        Body::Sized => whole(input, progress.scanned),
        Body::Chunked | Body::Trailer => parse_chunks(input, progress),
        Body::Unknown | Body::UntilClosed => Parsed::Incomplete,
    }
}

/// Parses a head; none if it is incomplete (RFC 9112, section 6.3).
fn read_head(input: &[u8], is_head: bool) -> Result<Option<Head>, ()> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, input, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head {
        length,
        body: Body::UntilClosed,
        content_length: 0,
        closes: response.version == Some(0),
        is_interim: (100..200).contains(&status) && status != 101,
    };
    let mut is_chunked = false;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(drop)?;
            head.content_length = text.trim().parse().map_err(drop)?;
            head.body = Body::Sized;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = has_word(field.value, b"chunked");
        } else if field.name.eq_ignore_ascii_case("connection") {
            if has_word(field.value, b"close") {
                head.closes = true;
            } else if has_word(field.value, b"keep-alive") {
                head.closes = false;
            }
        }
    }
    if is_chunked {
        head.body = Body::Chunked;
    }
    if is_head || matches!(status, 101 | 204 | 304) {
        (head.body, head.content_length) = (Body::Sized, 0);
    }
    head.closes |= head.body == Body::UntilClosed;
    Ok(Some(head))
}

/// Whether a list separated by commas has this word.
fn has_word(list: &[u8], word: &[u8]) -> bool {
    let mut words = list.split(|byte| *byte == b',');
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word))
}

/// Proceeds from chunk to chunk.
fn parse_chunks(input: &[u8], progress: &mut Progress) -> Parsed {
    while progress.body == Body::Chunked {
        let rest = input.get(progress.scanned..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((line, size))) => (line, size),
            Ok(httparse::Status::Partial) if rest.len() <= MAX_CHUNK_LINE => {
                return Parsed::Incomplete;
            }
            _ => return Parsed::Malformed,
        };
        if size == 0 {
            progress.scanned += line;
            progress.body = Body::Trailer;
            break;
        }
        let Some(end) = usize::try_from(size)
            .ok()
            .and_then(|size| line.checked_add(size))
        else {
            return Parsed::Malformed;
        };
        match rest.get(end..) {
            Some([b'\r', b'\n', ..]) => progress.scanned += end + 2,
            None | Some([] | [b'\r']) => return Parsed::Incomplete,
            Some(_) => return Parsed::Malformed,
        }
    }
    let rest = input.get(progress.scanned..).unwrap_or_default();
    if rest.starts_with(b"\r\n") {
        return Parsed::Complete(progress.scanned + 2);
    }
    let end = memmem::find(rest, b"\r\n\r\n");
    end.map_or(Parsed::Incomplete, |at| {
        Parsed::Complete(progress.scanned + at + 4)
    })
}

/// The heads as received, and the body without its chunk sizes.
pub(super) fn content<'a>(reply: &'a [u8], is_head: bool, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let mut begin = 0;
    loop {
        let Ok(Some(head)) = read_head(&reply[begin..], is_head) else {
            return reply;
        };
        begin += head.length;
        if !head.is_interim {
            if head.body != Body::Chunked {
                return reply;
            }
            break;
        }
    }
    buffer.clear();
    buffer.extend_from_slice(&reply[..begin]);
    let mut rest = &reply[begin..];
    while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let end = line.saturating_add(size);
        let Some(chunk) = rest.get(line..end).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        buffer.extend_from_slice(chunk);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    buffer
}
