//! Any bytes to a session of the admin listener, in pieces: the responses are those of the whole input, each with its
//! length, and nothing follows the last one.
#![no_main]

use arbitrary::Arbitrary;
use echoloop::admin::{Http, Snapshot};
use echoloop::protocol::{ConnectionId, Context, Finish, Outbox, Protocol, Session};
use echoloop::time::Time;
use libfuzzer_sys::fuzz_target;

const ID: ConnectionId = ConnectionId { slot: 0, serial: 1 };

/// Input that is mostly valid.
#[derive(Arbitrary, Debug)]
enum Part {
    Get(u8),
    Field(Vec<u8>, Vec<u8>),
    End,
    Bytes(Vec<u8>),
}

impl Part {
    fn append(&self, input: &mut Vec<u8>) {
        const LINES: [&str; 8] = [
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET /healthz HTTP/1.1\r\nHost: a\r\n",
            "HEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n",
            "GET /none HTTP/1.1\r\nHost: a\r\nContent-Length: ",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ",
            "GET / HTTP/",
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
        ];
        match self {
            Part::Get(which) => input.extend(LINES[usize::from(*which) % LINES.len()].as_bytes()),
            Part::Field(name, value) => {
                input.extend([name, &b": "[..], value, b"\r\n"].concat());
            }
            Part::End => input.extend(b"\r\n"),
            Part::Bytes(bytes) => input.extend(bytes),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Run {
    parts: Vec<Part>,
    cuts: Vec<u16>,
}

fn responses(pieces: &[&[u8]]) -> (Vec<u8>, Option<Finish>) {
    let mut http = Http::new(Snapshot::default(), None);
    let mut session = http.session();
    let (mut unconsumed, mut output, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        unconsumed.extend(*piece);
        loop {
            http.begin_iteration();
            let mut outbox = Outbox::new(&mut buffer, 64 * 1024);
            let context = Context::new(ID, Time::ZERO, &mut http);
            let consumed = session.receive(&unconsumed, context, &mut outbox);
            output.extend(outbox.bytes());
            if outbox.finished().is_some() {
                return (output, outbox.finished());
            }
            let is_deferred = outbox.is_deferred();
            assert!(consumed > 0 || !is_deferred, "a turn without a response");
            unconsumed.drain(..consumed);
            if !is_deferred {
                break;
            }
        }
    }
    (output, None)
}

fuzz_target!(|run: Run| {
    let mut input = Vec::new();
    for part in &run.parts {
        part.append(&mut input);
    }
    let mut cuts: Vec<usize> = run
        .cuts
        .iter()
        .map(|cut| usize::from(*cut) % (input.len() + 1))
        .collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut begin = 0;
    for cut in cuts.into_iter().chain([input.len()]) {
        pieces.push(&input[begin..cut]);
        begin = cut;
    }
    let cut = responses(&pieces);
    // The live page has another number in each rendering.
    let without_nonce = |output: &[u8]| -> Vec<u8> {
        let text = String::from_utf8_lossy(output);
        let parts: Vec<&str> = text.split("nonce").collect();
        let parts = parts.iter().map(|part| part.get(34..).unwrap_or(part));
        parts.collect::<String>().into_bytes()
    };
    let whole = responses(&[&input]);
    assert_eq!(without_nonce(&cut.0), without_nonce(&whole.0));
    assert_eq!(cut.1, whole.1);
});
