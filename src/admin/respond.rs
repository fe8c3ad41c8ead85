//! Responses: status line, header fields and body.

use super::request::Persistence;
use ::time::{OffsetDateTime, macros::format_description};
use std::fmt::Write;
use std::time::Duration;

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u16, &'static str);

impl Status {
    pub(super) const OK: Status = Status(200, "OK");
    pub(super) const BAD_REQUEST: Status = Status(400, "Bad Request");
    pub(super) const NOT_FOUND: Status = Status(404, "Not Found");
    pub(super) const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
    pub(super) const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
    pub(super) const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
    pub(super) const HEAD_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
    pub(super) const UNAVAILABLE: Status = Status(503, "Service Unavailable");
    pub(super) const UNSUPPORTED_VERSION: Status = Status(505, "HTTP Version Not Supported");

    /// The body of a response with this status that has no content of its page.
    pub(super) fn explanation(self) -> String {
        let Status(code, reason) = self;
        let more = match self {
            Status::NOT_FOUND => ": there are /, /metrics, /healthz and /status.json",
            Status::METHOD_NOT_ALLOWED => ": use GET or HEAD",
            Status::CONTENT_TOO_LARGE => ": a request has no body here",
            Status::HEAD_TOO_LARGE => ": at most 4096 bytes and 64 fields",
            Status::UNSUPPORTED_VERSION => ": use version 1.1 or 1.0",
            _ => "",
        };
        format!("{code} {reason}{more}\n")
    }
}

/// The content of a page, and the fields that describe it.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) kind: &'static str,
    /// The security policy, of an HTML page.
    pub(super) policy: Option<String>,
    pub(super) body: String,
}

impl Content {
    pub(super) fn text(body: impl Into<String>) -> Content {
        Content {
            kind: "text/plain; charset=utf-8",
            policy: None,
            body: body.into(),
        }
    }
}

/// The head of a response. `time` is the time since 1970-01-01 00:00 UTC.
pub(super) fn head(
    status: Status,
    content: &Content,
    time: Duration,
    connection: Persistence,
) -> String {
    let Status(code, reason) = status;
    let mut head = format!("HTTP/1.1 {code} {reason}\r\n");
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    if let Some(date) = date(time) {
        field("Date", &date);
    }
    field("Content-Type", content.kind);
    field("Content-Length", &content.body.len().to_string());
    field("Cache-Control", "no-store");
    field("X-Content-Type-Options", "nosniff");
    if let Some(policy) = &content.policy {
        field("Content-Security-Policy", policy);
        field("Referrer-Policy", "no-referrer");
    }
    if status == Status::METHOD_NOT_ALLOWED {
        field("Allow", "GET, HEAD");
    }
    match connection {
        Persistence::Close => field("Connection", "close"),
        Persistence::RequestedKeepAlive => field("Connection", "keep-alive"),
        Persistence::KeepAlive => {}
    }
    head.push_str("\r\n");
    head
}

/// A date as RFC 9110, section 5.6.7, requires it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(time: Duration) -> Option<String> {
    let seconds = i64::try_from(time.as_secs()).ok()?;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    // Into bytes, as the times of the log: for another kind of output there would be further code.
    let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    date.format_into(&mut text.as_mut_slice(), format).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_in_the_form_of_http() {
        let date = date(Duration::from_secs(784_111_777));
        assert_eq!(date.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(super::date(Duration::MAX), None);
    }

    #[test]
    fn head_has_the_length_and_the_fields_of_its_status() {
        let content = Content::text("hello");
        let time = Duration::from_secs(784_111_777);
        let head = head(
            Status::METHOD_NOT_ALLOWED,
            &content,
            time,
            Persistence::Close,
        );
        assert_eq!(
            head,
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
        );
    }
}
