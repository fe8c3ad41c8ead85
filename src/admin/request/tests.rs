use super::*;

fn parsed(text: &str) -> Parsed {
    parse(text.as_bytes())
}

fn request(text: &str) -> Request {
    match parsed(text) {
        Parsed::Request { length, request } => {
            assert_eq!(length, text.len(), "{text:?}");
            request
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn pages_are_found_in_all_forms_of_a_target() {
    for (target, page) in [
        ("/", Ok(Page::Live)),
        ("/?a=b", Ok(Page::Live)),
        ("/metrics", Ok(Page::Metrics)),
        ("/healthz?x", Ok(Page::Health)),
        ("/status.json", Ok(Page::Status)),
        ("http://host:9000/metrics", Ok(Page::Metrics)),
        ("HTTP://host", Ok(Page::Live)),
        ("https://host?query", Ok(Page::Live)),
        ("/metrics/", Err(Status::NOT_FOUND)),
        ("//metrics", Err(Status::NOT_FOUND)),
        ("/%6detrics", Err(Status::NOT_FOUND)),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(request(&text).page, page, "{target}");
    }
}

#[test]
fn connection_persists_as_version_and_field_require() {
    for (version, fields, expected) in [
        ("1.1", "", Persistence::KeepAlive),
        ("1.1", "Connection: close\r\n", Persistence::Close),
        ("1.1", "Connection: te, CLOSE\r\n", Persistence::Close),
        ("1.1", "Connection: keep-alive\r\n", Persistence::KeepAlive),
        ("1.0", "", Persistence::Close),
        (
            "1.0",
            "Connection: Keep-Alive\r\n",
            Persistence::RequestedKeepAlive,
        ),
        (
            "1.0",
            "Connection: keep-alive\r\nConnection: close\r\n",
            Persistence::Close,
        ),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(&text).connection, expected, "{text:?}");
    }
}

#[test]
fn other_methods_are_not_allowed() {
    for (method, connection) in [
        ("POST", Persistence::KeepAlive),
        ("OPTIONS", Persistence::KeepAlive),
        ("get", Persistence::KeepAlive),
        ("CONNECT", Persistence::Close),
    ] {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = request(&text);
        assert_eq!(request.page, Err(Status::METHOD_NOT_ALLOWED), "{method}");
        assert_eq!(request.connection, connection, "{method}");
    }
    let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(request(text).connection, Persistence::Close);
    assert!(request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").is_head);
}

#[test]
fn ambiguous_or_malformed_heads_are_invalid() {
    const BAD: Status = Status::BAD_REQUEST;
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", BAD),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
        ("GET / HTTP/1.1\nHost: a\n\n", BAD),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", BAD),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        ("GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
        ("GET /\r\n", BAD),
        ("GET / FTP/1.1\r\n", BAD),
        ("\0\r\n\r\n", BAD),
        ("\x16\x03\x01\x02\0\x01\0", BAD),
        ("GET / HTTP/2.0\r\n", Status::UNSUPPORTED_VERSION),
        ("PRI * HTTP/2.0\r\n\r\n", Status::UNSUPPORTED_VERSION),
        ("GET / HTTP/1.2\r\n", Status::UNSUPPORTED_VERSION),
        ("GET / HTTP/1.11\r\n", BAD),
    ] {
        assert_eq!(parsed(text), Parsed::Invalid(status), "{text:?}");
    }
}

#[test]
fn bodies_are_refused_and_smuggling_is_invalid() {
    let large = Status::CONTENT_TOO_LARGE;
    for (fields, status) in [
        ("Content-Length: 1", large),
        ("Transfer-Encoding: chunked", large),
        ("Transfer-Encoding: gzip, Chunked", large),
        ("Transfer-Encoding: identity", Status::BAD_REQUEST),
        ("Transfer-Encoding: chunked, gzip", Status::BAD_REQUEST),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Status::BAD_REQUEST,
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            Status::BAD_REQUEST,
        ),
        (
            "Content-Length: 0\r\nContent-Length: 0",
            Status::BAD_REQUEST,
        ),
        ("Content-Length: 0, 0", Status::BAD_REQUEST),
        ("Content-Length: +0", Status::BAD_REQUEST),
        ("Content-Length: 0x0", Status::BAD_REQUEST),
        ("Content-Length:", Status::BAD_REQUEST),
        ("Content-Length: 99999999999999999999", Status::BAD_REQUEST),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(parsed(&text), Parsed::Invalid(status), "{fields:?}");
    }
    let text = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(request(text).page, Ok(Page::Live));
    let text = "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parsed(text), Parsed::Invalid(Status::BAD_REQUEST));
}

#[test]
fn head_of_4096_bytes_is_accepted_and_a_longer_one_not() {
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let value = "x".repeat(length - start.len() - 4);
        format!("{start}{value}\r\n\r\n")
    };
    assert_eq!(request(&head(MAX_HEAD)).page, Ok(Page::Live));
    for text in [head(MAX_HEAD + 1), head(100_000), "\r\n".repeat(2048)] {
        let expected = Parsed::Invalid(Status::HEAD_TOO_LARGE);
        assert_eq!(parsed(&text), expected);
        assert_eq!(parsed(&text[..MAX_HEAD - 1]), Parsed::Incomplete);
    }
    let fields = "X: a\r\n".repeat(65);
    let text = format!("GET / HTTP/1.0\r\n{fields}\r\n");
    assert_eq!(parsed(&text), Parsed::Invalid(Status::HEAD_TOO_LARGE));
}

#[test]
fn result_is_that_of_the_first_prefix_that_decides() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nHEAD /metrics HTTP/1.0\r\n\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.11\r\n",
        "GET / HTTX\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
    ] {
        let whole = parsed(text);
        let mut prefixes = (0..=text.len()).map(|end| parsed(&text[..end]));
        let first = prefixes.find(|parsed| *parsed != Parsed::Incomplete);
        assert_eq!(first, Some(whole), "{text:?}");
    }
}
