//! Replies cut anywhere, hostile input, checks, and faults in files.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

const MAX: usize = 4096;

pub(super) fn parse(source: &str) -> Result<Script, ScriptError> {
    Script::parse("x.toml", source, |path| match path {
        "there" => Ok(b"{connection}\xff".to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    })
}

#[track_caller]
fn script(source: &str) -> Script {
    parse(source).unwrap().resolve(77, "host:1").unwrap()
}

fn with_end(end: &str) -> Script {
    script(&format!("[message]\nsend = \"x\"\nexpect = {{ {end} }}"))
}

fn expected(connection: u32, sequence: u64) -> Expected {
    Expected {
        part: Part::Message,
        ids: Ids {
            connection,
            sequence,
        },
        connections: 100,
        sent: 50,
        max_message: MAX,
    }
}

/// The verdicts on a stream that arrives in these pieces, as a connection would pass it: what is not consumed comes again.
/// Also the most bytes that were kept.
fn verdicts(script: &Script, pieces: &[&[u8]]) -> (Vec<Verdict>, usize) {
    let (mut kept, mut found, mut most) = (Vec::new(), Vec::new(), 0);
    let (mut progress, mut buffers, mut answer) =
        (Progress::default(), Buffers::default(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let expected = expected(7, found.len() as u64);
            let verdict = script.verify(&kept, expected, &mut progress, &mut buffers, &mut answer);
            match verdict {
                Verdict::Incomplete => break,
                Verdict::Reply { length, .. } => {
                    assert!(length > 0);
                    kept.drain(..length);
                    found.push(verdict);
                }
                Verdict::Broken(_) => {
                    found.push(verdict);
                    return (found, most);
                }
            }
            if kept.is_empty() {
                break;
            }
        }
        most = most.max(kept.len());
    }
    (found, most)
}

fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &stream[pair[0]..pair[1]])
        .collect()
}

/// Ends of replies, each with replies that end so.
const REPLIES: [(&str, &[&[u8]]); 12] = [
    (r#"until = "END\r\n""#, &[b"a\r\nEND\r\n", b"END\r\n", b"EENDx\r\nEND\r\n"]),
    ("length = 5", &[b"abcde", b"\0\n\r12"]),
    ("line = true", &[b"abc\n", b"\n", b"\r\n"]),
    ("frame = 1", &[b"\x03abc", b"\0", b"\x01x"]),
    ("frame = 2", &[b"\0\x03abc", b"\0\0"]),
    ("frame = 4", &[b"\0\0\0\x02ab", b"\0\0\0\0"]),
    (
        "http = true",
        &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\n\n",
        ],
    ),
    (
        "http = true",
        &[
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        ],
    ),
    (
        "resp = true",
        &[
            b"+PONG\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"$-1\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:7\r\n",
            b"*0\r\n",
            b"%1\r\n+a\r\n#t\r\n",
            b"|1\r\n+k\r\n+v\r\n_\r\n",
            b"-ERR no\r\n",
        ],
    ),
    ("mqtt = true", &[b"\xd0\0", b"\x20\x02\0\0", b"\x30\x80\x01"]),
    ("websocket = true", &[b"\x81\x03abc", b"\x01\x01a\x80\x01b", b"\x89\x01p\x81\0"]),
    ("resp = true", &[b"*-1\r\n", b">1\r\n+x\r\n", b"=5\r\ntxt:a\r\n", b"(123\r\n", b",1.5\r\n"]),
];

fn stream_of(replies: &[&[u8]]) -> Vec<u8> {
    let padded = replies.iter().flat_map(|reply| match *reply {
        // Its 128 bytes.
        b"\x30\x80\x01" => [*reply, &[b'm'; 128]].concat(),
        reply => reply.to_vec(),
    });
    padded.collect()
}

proptest! {
    #[test]
    fn replies_cut_anywhere_end_at_the_same_places(
        which in 0..REPLIES.len(), cuts in proptest::collection::vec(any::<Index>(), 0..12)
    ) {
        let (end, replies) = REPLIES[which];
        let script = with_end(end);
        let stream = stream_of(replies);
        let (found, _) = verdicts(&script, &cut(&stream, &cuts));
        prop_assert_eq!(found.len(), replies.len(), "{}: {:?}", end, found);
        let mut length = 0;
        for verdict in found {
            let Verdict::Reply { length: one, result, .. } = verdict else { panic!("{end}: {verdict:?}") };
            prop_assert_eq!(result, Ok(()));
            length += one;
        }
        prop_assert_eq!(length, stream.len());
    }

    /// Random bytes, and correct replies with some bytes changed: no panic, the same verdicts however it is cut, and no
    /// more memory than a reply may have.
    #[test]
    fn hostile_input_is_judged_within_bounds(
        which in 0..REPLIES.len(), noise in proptest::collection::vec(any::<u8>(), 0..200),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6), repeat in 1_usize..100,
        cuts in proptest::collection::vec(any::<Index>(), 0..12), is_noise: bool,
    ) {
        let (end, replies) = REPLIES[which];
        let script = with_end(&format!("{end}, starts_with = '{{connection}}'"));
        let mut stream = if is_noise { noise } else { stream_of(replies).repeat(repeat) };
        if !stream.is_empty() {
            for (at, byte) in changes {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        let (whole, _) = verdicts(&script, &[&stream]);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let (one_by_one, most) = verdicts(&script, &bytes);
        prop_assert!(most <= MAX + 1, "{most} bytes kept");
        // A reply that is too long is found as soon as it is, or at its end.
        let is_long = |found: &[Verdict]| found.last() == Some(&Verdict::Broken(Mismatch::TooLong));
        if !is_long(&whole) && !is_long(&one_by_one) {
            prop_assert_eq!(&whole, &one_by_one);
            let (pieces, _) = verdicts(&script, &cut(&stream, &cuts));
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn any_file_compiles_or_is_refused_with_a_place(
        text in "[a-z\\[\\]{}=\"' \n\\\\.:0-9]{0,120}", key in 0_usize..8, value in "[ -~]{0,30}"
    ) {
        let keys = ["until", "length", "frame", "matches", "equals", "http", "send", "every"];
        let near = format!("[message]\nsend = 'x'\nexpect = {{ line = true, {} = '{value}' }}", keys[key]);
        for source in [text, near] {
            if let Err(error) = parse(&source) {
                let (line, column) = error.place.unwrap();
                prop_assert!(line >= 1 && column >= 1);
                prop_assert!(!error.remedy.is_empty());
            }
        }
    }

    #[test]
    fn message_of_a_script_is_the_reply_that_it_expects(connection in 0_u32..100, sequence in 0_u64..50) {
        for name in ["echo", "mqtt"] {
            let script = Script::built_in(name).unwrap().resolve(5, "").unwrap();
            let (mut out, mut answer) = (Vec::new(), Vec::new());
            let expected = expected(connection, sequence);
            script.render(Part::Message, expected.ids, &mut out);
            let verdict = script.verify(&out, expected, &mut Progress::default(), &mut Buffers::default(), &mut answer);
            prop_assert_eq!(verdict, Verdict::Reply { length: out.len(), result: Ok(()), closes: false });
        }
    }
}

#[test]
fn built_in_scripts_compile() {
    for name in Script::BUILT_IN {
        let script = Script::built_in(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(script.name(), name);
        assert_eq!(script.has_message(), name != "passive");
        let has_identity = ["websocket", "redis", "memcached", "mqtt"].contains(&name);
        assert_eq!(script.has_identity(), has_identity, "{name}");
    }
    assert!(Script::built_in("other").is_none());
}

/// The result of one reply to message 3 of connection 7.
#[track_caller]
fn result_of(script: &Script, reply: &[u8]) -> Result<(), Mismatch> {
    let (mut buffers, mut answer) = (Buffers::default(), Vec::new());
    let verdict = script.verify(
        reply,
        expected(7, 3),
        &mut Progress::default(),
        &mut buffers,
        &mut answer,
    );
    match verdict {
        Verdict::Reply { result, .. } => {
            assert_eq!(result.is_err(), buffers.example.is_some());
            result
        }
        Verdict::Broken(mismatch) => Err(mismatch),
        Verdict::Incomplete => panic!("incomplete"),
    }
}

#[test]
fn wrong_replies_are_named() {
    for check in [
        r#"line = true, equals = "{connection}-{sequence}""#,
        r"line = true, matches = '\A{connection}-{sequence}\z'",
        r#"until = "\n", equals = "{connection}-{sequence}\n""#,
        r#"line = true, ends_with = "{connection}-{sequence}""#,
    ] {
        let script = with_end(check);
        assert_eq!(result_of(&script, b"7-3\n"), Ok(()), "{check}");
        assert_eq!(
            result_of(&script, b"8-3\n"),
            Err(Mismatch::OtherConnection),
            "{check}"
        );
        assert_eq!(
            result_of(&script, b"7-2\n"),
            Err(Mismatch::OutOfOrder),
            "{check}"
        );
        assert_eq!(
            result_of(&script, b"7-51\n"),
            Err(Mismatch::Changed),
            "{check}: not sent yet"
        );
        assert_eq!(
            result_of(&script, b"100-3\n"),
            Err(Mismatch::Changed),
            "{check}: no connection"
        );
        assert_eq!(
            result_of(&script, b"x\n"),
            Err(Mismatch::Changed),
            "{check}"
        );
    }
    let script = with_end(r#"line = true, equals = "{connection}-{sequence}-end""#);
    assert_eq!(result_of(&script, b"7-3-e\n"), Err(Mismatch::Truncated));
    let script = with_end("resp = true");
    assert_eq!(
        result_of(&script, b"$4\r\nab\r\n$4\r\n"),
        Err(Mismatch::Malformed)
    );
    let script = with_end("line = true");
    assert_eq!(result_of(&script, &[b'x'; MAX + 1]), Err(Mismatch::TooLong));
}

#[test]
fn changed_random_text_is_no_reply_of_another_connection() {
    let source = "[message]\nsend = '{connection}-{random:20}\\n'\nexpect = { line = true, equals = '{connection}-{random:20}' }";
    let script = script(source);
    let mut message = Vec::new();
    script.render(Part::Message, expected(8, 3).ids, &mut message);
    assert_eq!(result_of(&script, &message), Err(Mismatch::OtherConnection));
    message[6] ^= 1;
    assert_eq!(result_of(&script, &message), Err(Mismatch::Changed));
}

#[test]
fn http_content_is_head_and_decoded_body() {
    let script = with_end(r"http = true, matches = '(?s)\AHTTP/1.1 200 .*\r\n\r\nhello\z'");
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(result_of(&script, chunked), Ok(()));
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(result_of(&script, sized), Ok(()));
}

#[test]
fn http_without_length_ends_with_the_connection() {
    let script = with_end("http = true, ends_with = 'body'");
    let (mut progress, mut buffers) = (Progress::default(), Buffers::default());
    let reply = b"HTTP/1.0 200 OK\r\n\r\nbody";
    let result = script.verify_at_end(reply, expected(7, 3), &mut progress, &mut buffers);
    assert_eq!((result, progress.closes), (Ok(()), true));
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody";
    let result = script.verify_at_end(
        reply,
        expected(7, 3),
        &mut Progress::default(),
        &mut buffers,
    );
    assert_eq!(result, Err(Mismatch::Truncated));
}

#[test]
fn connection_close_is_reported() {
    let script = with_end("http = true");
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\nConnection: close", true),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close", true),
        ("HTTP/1.1 200 OK", false),
        ("HTTP/1.0 200 OK", true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive", false),
    ] {
        let reply = format!("{head}\r\nContent-Length: 0\r\n\r\n");
        let (found, _) = verdicts(&script, &[reply.as_bytes()]);
        let Verdict::Reply { closes, .. } = found[0] else {
            panic!("{found:?}");
        };
        assert_eq!(closes, expected, "{head}");
    }
}

#[test]
fn websocket_messages_are_masked_and_pings_answered() {
    let script = script(
        "[message]\nsend = { text = 'hello', websocket = true }\nexpect = { websocket = true, equals = 'hello' }",
    );
    let mut out = Vec::new();
    script.render(Part::Message, Ids::default(), &mut out);
    assert_eq!((out[0], out[1], out.len()), (0x81, 0x85, 11));
    let unmasked: Vec<u8> = (0..5)
        .map(|index| out[6 + index] ^ out[2 + index % 4])
        .collect();
    assert_eq!(unmasked, b"hello");
    let mut answer = Vec::new();
    let skipped = script.skip(b"\x89\x02hi\x81\x05hello", Part::Message, &mut answer);
    assert_eq!(skipped, Some(4));
    let incomplete = script.skip(b"\x89\x02h", Part::Message, &mut answer);
    assert_eq!(incomplete, None);
    assert_eq!((answer[0], answer[1], answer.len()), (0x8a, 0x82, 8));
    assert_eq!(answer[6] ^ answer[2], b'h');
    let fragments = b"\x01\x02he\x89\x00\x80\x03llo";
    assert_eq!(result_of(&script, fragments), Ok(()));
}

#[test]
fn frames_and_files_are_sent() {
    let script = script(
        "[message]\nsend = { text = 'ab{sequence}', frame = 4 }\nexpect = { frame = 4 }\n[[hello]]\nsend = { file = 'there' }",
    );
    let mut out = Vec::new();
    script.render(Part::Message, Ids::default(), &mut out);
    assert_eq!(out, b"\0\0\0\x03ab0");
    script.render(Part::Hello(0), Ids::default(), &mut out);
    assert_eq!(out, b"{connection}\xff", "a file is sent as it is");
}
