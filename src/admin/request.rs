//! The head of an HTTP request: what is requested, or why it is refused.
//!
//! It is stricter than RFC 9112 requires, since a proxy before this server may read a request in another way: no line ends
//! with LF alone, no line is folded, no request has a body, and the fields that frame a message appear once.

use super::respond::Status;
use std::mem::MaybeUninit;

/// The longest head, in bytes.
pub(super) const MAX_HEAD: usize = 4096;

/// The most header fields.
const MAX_FIELDS: usize = 64;

/// The result of parsing input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The head is not complete.
    Incomplete,
    /// A request whose head has `length` bytes.
    Request { length: usize, request: Request },
    /// No request: the connection is closed after the response.
    Invalid(Status),
}

/// A request without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The page, or the status of the refusal.
    pub(super) page: Result<Page, Status>,
    pub(super) is_head: bool,
    pub(super) connection: Persistence,
}

/// Whether the connection stays open after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    Close,
    /// HTTP/1.1, where it is the default.
    KeepAlive,
    /// HTTP/1.0 with `Connection: keep-alive`, which the response repeats.
    RequestedKeepAlive,
}

/// What can be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Live,
    Metrics,
    Health,
    Status,
}

impl Page {
    fn at(path: &str) -> Option<Page> {
        match path {
            "/" => Some(Page::Live),
            "/metrics" => Some(Page::Metrics),
            "/healthz" => Some(Page::Health),
            "/status.json" => Some(Page::Status),
            _ => None,
        }
    }
}

/// Parses the request at the begin of `input`. The result does not depend on how much input follows the head.
pub(super) fn parse(input: &[u8]) -> Parsed {
    let limited = &input[..input.len().min(MAX_HEAD)];
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_request_with_uninit_headers(&mut request, limited, &mut fields) {
        Ok(httparse::Status::Complete(length)) => match read(&request, &input[..length]) {
            Ok(request) => Parsed::Request { length, request },
            Err(status) => Parsed::Invalid(status),
        },
        Ok(httparse::Status::Partial) if limited.len() < MAX_HEAD => Parsed::Incomplete,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Parsed::Invalid(Status::HEAD_TOO_LARGE)
        }
        Err(httparse::Error::Version) => version_error(limited),
        Err(_) => Parsed::Invalid(Status::BAD_REQUEST),
    }
}

/// A request line whose version is not HTTP/1.0 or 1.1, perhaps because it is not complete.
fn version_error(input: &[u8]) -> Parsed {
    let line = input.trim_ascii_start();
    let version = line.splitn(3, |byte| *byte == b' ').nth(2);
    let version = version.unwrap_or_default();
    let end = version.iter().position(|byte| b"\r\n".contains(byte));
    let (version, is_complete) = match end {
        Some(end) => (&version[..end], true),
        None => (version, false),
    };
    let is_begun = !version.is_empty() && begins_as_version(version);
    match (is_begun, is_complete) {
        (true, true) if version.len() == VERSION.len() => {
            Parsed::Invalid(Status::UNSUPPORTED_VERSION)
        }
        (true, false) if input.len() < MAX_HEAD => Parsed::Incomplete,
        _ => Parsed::Invalid(Status::BAD_REQUEST),
    }
}

/// A version, with `0` for any digit.
const VERSION: &[u8] = b"HTTP/0.0";

fn begins_as_version(text: &[u8]) -> bool {
    let fits = |(byte, pattern): (&u8, &u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        _ => byte == pattern,
    };
    text.len() <= VERSION.len() && text.iter().zip(VERSION).all(fits)
}

/// Whether input that is no valid request begins with the method HEAD: its response has no body (RFC 9110, section 9.3.2).
pub(super) fn begins_with_head(input: &[u8]) -> bool {
    input.trim_ascii_start().starts_with(b"HEAD ")
}

/// Checks the fields of a complete head.
fn read(parsed: &httparse::Request<'_, '_>, head: &[u8]) -> Result<Request, Status> {
    let line_feeds = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    for (at, _) in line_feeds {
        if at == 0 || head[at - 1] != b'\r' {
            return Err(Status::BAD_REQUEST);
        }
    }
    let is_1_1 = parsed.version == Some(1);
    let mut fields = Fields::default();
    for field in parsed.headers.iter() {
        fields.add(field.name, field.value)?;
    }
    if fields.hosts > 1 || (is_1_1 && fields.hosts == 0) {
        return Err(Status::BAD_REQUEST);
    }
    let has_body = fields.has_body(is_1_1)?;
    let method = parsed.method.unwrap_or_default();
    let is_allowed = matches!(method, "GET" | "HEAD");
    if has_body && is_allowed {
        return Err(Status::CONTENT_TOO_LARGE);
    }
    let page = if is_allowed {
        let path = path(parsed.path.unwrap_or_default()).ok_or(Status::BAD_REQUEST)?;
        Page::at(path).ok_or(Status::NOT_FOUND)
    } else {
        Err(Status::METHOD_NOT_ALLOWED)
    };
    let connection = match (is_1_1, fields.closes, fields.keeps_alive) {
        // After CONNECT the client may send what is not HTTP.
        _ if has_body || method == "CONNECT" => Persistence::Close,
        (true, false, _) => Persistence::KeepAlive,
        (false, false, true) => Persistence::RequestedKeepAlive,
        _ => Persistence::Close,
    };
    Ok(Request {
        page,
        is_head: method == "HEAD",
        connection,
    })
}

/// The header fields that matter.
#[derive(Default)]
struct Fields {
    hosts: usize,
    content_length: Option<u64>,
    /// Whether the last coding of the body is `chunked`.
    transfer_encoding: Option<bool>,
    closes: bool,
    keeps_alive: bool,
}

impl Fields {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
        let is = |expected| name.eq_ignore_ascii_case(expected);
        if is("host") {
            self.hosts += 1;
            let is_valid = value
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"/@,\\".contains(byte));
            return is_valid.then_some(()).ok_or(Status::BAD_REQUEST);
        }
        if is("content-length") {
            let text = std::str::from_utf8(value).unwrap_or_default();
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let length = text.parse().ok().filter(|_| is_number);
            if self.content_length.is_some() || length.is_none() {
                return Err(Status::BAD_REQUEST);
            }
            self.content_length = length;
        } else if is("transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next();
            let is_chunked = last.is_some_and(|last| is_word(last, "chunked"));
            if self.transfer_encoding.replace(is_chunked).is_some() {
                return Err(Status::BAD_REQUEST);
            }
        } else if is("connection") {
            let mut words = value.split(|byte| *byte == b',');
            self.closes |= words.clone().any(|word| is_word(word, "close"));
            self.keeps_alive |= words.any(|word| is_word(word, "keep-alive"));
        }
        Ok(())
    }

    /// Whether a body follows; an error if its length is ambiguous (RFC 9112, section 6.3).
    fn has_body(&self, is_1_1: bool) -> Result<bool, Status> {
        match (self.transfer_encoding, self.content_length) {
            (None, length) => Ok(length.is_some_and(|length| length > 0)),
            (Some(true), None) if is_1_1 => Ok(true),
            _ => Err(Status::BAD_REQUEST),
        }
    }
}

fn is_word(text: &[u8], word: &str) -> bool {
    text.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

/// The path of a target in origin form, or in absolute form, without the query.
fn path(target: &str) -> Option<&str> {
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let target = match after_scheme {
        Some(rest) => match rest.find(['/', '?']) {
            Some(at) => &rest[at..],
            None => "/",
        },
        None => target,
    };
    let path = target.split('?').next().unwrap_or_default();
    match path {
        "" if after_scheme.is_some() => Some("/"),
        _ => path.starts_with('/').then_some(path),
    }
}

#[cfg(test)]
mod tests;
