use super::*;
use crate::admin::snapshot::example;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const TIMEOUT: Duration = Duration::from_secs(5);

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn id(serial: u32) -> ConnectionId {
    ConnectionId {
        slot: serial,
        serial,
    }
}

/// A session, called as a connection does: input that it has not consumed is passed again.
struct Client {
    session: HttpSession,
    id: ConnectionId,
    unconsumed: Vec<u8>,
    output: Vec<u8>,
    finish: Option<Finish>,
}

impl Client {
    fn new(http: &mut Http, serial: u32) -> Client {
        Client {
            session: http.session(),
            id: id(serial),
            unconsumed: Vec::new(),
            output: Vec::new(),
            finish: None,
        }
    }

    /// Calls the session with new input. Whether it is to be called again without any.
    fn receive(&mut self, http: &mut Http, input: &[u8]) -> bool {
        if self.finish.is_some() {
            return false;
        }
        self.unconsumed.extend(input);
        let mut buffer = Vec::new();
        let mut outbox = Outbox::new(&mut buffer, 64 * 1024);
        let context = Context::new(self.id, Time::ZERO, http);
        let consumed = self.session.receive(&self.unconsumed, context, &mut outbox);
        self.finish = outbox.finished();
        self.output.extend(outbox.bytes());
        let is_deferred = outbox.is_deferred() && self.finish.is_none();
        self.unconsumed.drain(..consumed);
        is_deferred
    }

    /// All output for input in pieces.
    fn converse(http: &mut Http, pieces: &[&[u8]]) -> Client {
        let mut client = Client::new(http, 1);
        for piece in pieces {
            http.begin_iteration();
            let mut is_deferred = client.receive(http, piece);
            while is_deferred {
                http.begin_iteration();
                is_deferred = client.receive(http, b"");
            }
        }
        client
    }

    fn text(&self) -> String {
        String::from_utf8(self.output.clone()).unwrap()
    }

    fn responses(&self) -> usize {
        self.text().matches("HTTP/1.1 ").count()
    }
}

fn answer(input: &str) -> Client {
    Client::converse(
        &mut Http::new(example(), Some(TIMEOUT)),
        &[input.as_bytes()],
    )
}

#[test]
fn pages_have_their_type_and_length() {
    for (path, kind, body) in [
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP ",
        ),
        ("/status.json", "application/json", "{\n"),
        ("/", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
    ] {
        let text = answer(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).text();
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{head}");
        assert!(
            head.contains(&format!("\r\nContent-Type: {kind}\r\n")),
            "{head}"
        );
        assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
        let length = format!("\r\nContent-Length: {}\r\n", content.len());
        assert!(head.contains(&length), "{head}");
        assert!(content.starts_with(body), "{content}");
        let is_page = head.contains("\r\nContent-Security-Policy: default-src 'none';");
        assert_eq!(is_page, path == "/");
    }
}

#[test]
fn head_has_the_fields_of_get_without_the_body() {
    for path in ["/metrics", "/healthz", "/none"] {
        let get = answer(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).text();
        let head = answer(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).text();
        let (fields, _) = get.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, format!("{fields}\r\n\r\n"));
    }
}

#[test]
fn refusal_of_a_head_request_has_no_body() {
    for rest in [
        " / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
        " / HTTP/1.1\r\n\r\n",
        " / HTTP/2.0\r\n\r\n",
    ] {
        let get = answer(&format!("GET{rest}")).text();
        let head = answer(&format!("HEAD{rest}")).text();
        let (fields, body) = get.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, format!("{fields}\r\n\r\n"), "{rest:?}");
        assert!(!body.is_empty(), "{rest:?}");
    }
}

#[test]
fn drain_is_unhealthy() {
    let mut http = Http::new(example(), Some(TIMEOUT));
    http.set_draining(true);
    let text = Client::converse(&mut http, &[GET.as_bytes()]).text();
    assert!(
        text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\ndraining\n"), "{text}");
}

#[test]
fn page_is_rendered_once_per_snapshot() {
    let mut http = Http::new(example(), Some(TIMEOUT));
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let page = |http: &mut Http| {
        let text = Client::converse(http, &[get]).text();
        text.split_once("nonce-").unwrap().1[..32].to_owned()
    };
    let first = page(&mut http);
    assert_eq!(page(&mut http), first);
    http.set_snapshot(example());
    assert_ne!(page(&mut http), first);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let request = |index: usize| {
        let path = ["/healthz", "/none"][index % 2];
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let input: String = (0..1000).map(request).collect();
    let client = answer(&input);
    assert_eq!((client.responses(), client.finish), (1000, None));
    let text = client.text();
    let statuses = text.split("HTTP/1.1 ").skip(1).map(|text| &text[..3]);
    let expected = ["200", "404"].into_iter().cycle();
    assert!(
        statuses
            .zip(expected)
            .all(|(status, expected)| status == expected)
    );
}

#[test]
fn nothing_is_answered_after_the_last_response() {
    for (input, status, finish) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", "200", Finish::Done),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "200",
            Finish::Done,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "405",
            Finish::Done,
        ),
        ("nonsense\r\n\r\n", "400", Finish::Malformed),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n",
            "413",
            Finish::Malformed,
        ),
    ] {
        let client = answer(&(input.to_owned() + GET));
        assert_eq!(client.responses(), 1, "{input:?}");
        assert_eq!(client.finish, Some(finish), "{input:?}");
        let text = client.text();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    }
}

#[test]
fn one_request_is_answered_per_iteration_and_clients_take_turns() {
    let mut http = Http::new(example(), Some(TIMEOUT));
    let mut clients: Vec<_> = (1..=3)
        .map(|serial| Client::new(&mut http, serial))
        .collect();
    for client in &mut clients {
        // None is answered: the requests arrive in an iteration whose request was answered.
        http.may_respond = false;
        assert!(client.receive(&mut http, GET.repeat(5).as_bytes()));
    }
    for iteration in 1..=15 {
        http.begin_iteration();
        for client in &mut clients {
            client.receive(&mut http, b"");
        }
        let responses = clients.iter().map(Client::responses);
        assert_eq!(responses.sum::<usize>(), iteration);
        let counts = clients.iter().map(Client::responses);
        let (least, most) = (counts.clone().min(), counts.max());
        assert!(most.unwrap() - least.unwrap() <= 1, "iteration {iteration}");
    }
}

#[test]
fn closed_or_silent_client_gives_up_its_turn() {
    let mut http = Http::new(example(), Some(TIMEOUT));
    for gives_up in [true, false] {
        let mut first = Client::new(&mut http, 1);
        let mut second = Client::new(&mut http, 2);
        http.may_respond = false;
        assert!(first.receive(&mut http, GET.as_bytes()));
        assert!(second.receive(&mut http, GET.as_bytes()));
        if gives_up {
            http.closed(id(1));
        } else {
            http.begin_iteration();
        }
        http.begin_iteration();
        second.receive(&mut http, b"");
        assert_eq!(second.responses(), 1);
        http.closed(id(1));
    }
}

#[test]
fn only_a_partial_head_is_a_handshake_and_ends_with_408() {
    let mut http = Http::new(example(), Some(TIMEOUT));
    for (input, is_pending, status) in [
        ("", true, ""),
        ("GET / HT", true, "408"),
        (GET, false, ""),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET", true, "408"),
    ] {
        let mut client = Client::converse(&mut http, &[input.as_bytes()]);
        assert_eq!(client.session.is_handshaking(), is_pending, "{input:?}");
        let at_last = Time::ZERO + TIMEOUT;
        for now in [Time::ZERO, at_last, at_last] {
            let mut buffer = Vec::new();
            let mut outbox = Outbox::new(&mut buffer, 64 * 1024);
            let context = Context::new(id(1), now, &mut http);
            client.session.before_fin(context, &mut outbox);
            client.output.extend(outbox.bytes());
        }
        let text = client.text();
        let last = text.rsplit("HTTP/1.1 ").next().unwrap();
        let expected = if status.is_empty() && is_pending {
            ""
        } else {
            status
        };
        if expected.is_empty() {
            assert!(!text.contains(" 408 "), "{input:?}");
        } else {
            assert!(last.starts_with(expected), "{input:?}: {text}");
            assert_eq!(text.matches(" 408 ").count(), 1, "only once");
        }
    }
}

/// Each page has other random nonces, `nonce-DIGITS` in the header and `nonce="DIGITS"` in the document.
fn without_nonces(text: &str) -> String {
    let rest = |part: &str| {
        let digits = part.trim_start_matches(['-', '=', '"']);
        let rest = digits.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        rest.to_owned()
    };
    text.split("nonce").map(rest).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is received, the responses do not depend on how it was cut.
    #[test]
    fn responses_are_the_same_for_any_cut(
        parts in vec(select(&[
            GET,
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n",
            "GET /healthz HTTP/1.1\nHost: a\n\n",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
            "GET / HTTP/3.0\r\n\r\n",
            "GET / HTTP/1.10\r\n\r\n",
            "GET /",
            "\n",
            "\0",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ]), 0..6),
        noise in vec(any::<u8>(), 0..12),
        at in any::<prop::sample::Index>(),
        with_noise in any::<bool>(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut input = parts.concat().into_bytes();
        if with_noise {
            let at = at.index(input.len() + 1);
            input.splice(at..at, noise);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts.into_iter().chain([input.len()]) {
            pieces.push(&input[begin..cut]);
            begin = cut;
        }
        let whole = Client::converse(&mut Http::new(example(), Some(TIMEOUT)), &[&input]);
        let cut = Client::converse(&mut Http::new(example(), Some(TIMEOUT)), &pieces);
        prop_assert_eq!(without_nonces(&whole.text()), without_nonces(&cut.text()));
        prop_assert_eq!(whole.finish, cut.finish);
        let singly: Vec<&[u8]> = input.chunks(1).collect();
        let bytewise = Client::converse(&mut Http::new(example(), Some(TIMEOUT)), &singly);
        prop_assert_eq!(without_nonces(&whole.text()), without_nonces(&bytewise.text()));
    }
}
