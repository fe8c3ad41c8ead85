//! Lines and the replies to them.

use super::Harness;
use crate::protocol::{Finish, Line, Protocol};
use proptest::prelude::*;
use std::fmt::Write as _;

fn echo(max_message: usize, input: &[u8]) -> (String, Option<Finish>) {
    let harness = Harness::new(Line::echo(max_message, b"ECHO "));
    let (output, finished) = harness.run(input, &[]);
    (String::from_utf8(output).unwrap(), finished)
}

#[test]
fn lines_are_echoed_after_the_prefix_with_their_line_end() {
    assert_eq!(Line::echo(1, b"").name(), "line");
    for (input, expected) in [
        ("hello\n", "ECHO hello\n"),
        ("hello\r\n", "ECHO hello\r\n"),
        ("a\nb\r\nc\n", "ECHO a\nECHO b\r\nECHO c\n"),
        ("\n\r\n", "ECHO \nECHO \r\n"),
        ("one\rline\n", "ECHO one\rline\n"),
        ("\r\r\n", "ECHO \r\r\n"),
        ("no end", "ECHO no end"),
        ("a\nno end\r", "ECHO a\nECHO no end\r"),
        ("", ""),
    ] {
        assert_eq!(echo(100, input.as_bytes()), (expected.into(), None));
    }
}

#[test]
fn line_longer_than_the_maximum_finishes_with_too_long() {
    for (input, expected, finished) in [
        ("abc\n", "ECHO abc\n", None),
        ("abc\r\n", "ECHO abc\r\n", None),
        ("abc", "ECHO abc", None),
        ("a\nabcd\n", "ECHO a\n", Some(Finish::TooLong)),
        ("abcd\r\n", "", Some(Finish::TooLong)),
        ("abcd", "", Some(Finish::TooLong)),
        ("abc\r", "", Some(Finish::TooLong)),
        ("abc\r\r\n", "", Some(Finish::TooLong)),
    ] {
        assert_eq!(echo(3, input.as_bytes()), (expected.into(), finished));
    }
}

#[test]
fn unfinished_line_is_too_long_at_the_first_byte_too_many() {
    let mut harness = Harness::new(Line::echo(3, b""));
    harness.receive(b"abc");
    assert_eq!(harness.finished, None);
    harness.receive(b"\r");
    assert_eq!(harness.finished, None, "an LF may follow");
    harness.receive(b"d");
    assert_eq!(harness.finished, Some(Finish::TooLong));
}

#[test]
fn complete_lines_of_a_read_are_sent_without_a_copy() {
    let mut harness = Harness::new(Line::echo(100, b""));
    assert_eq!(harness.receive(b"one\ntwo\r\nthree"), 1, "not copied");
    assert_eq!(harness.output, b"one\ntwo\r\n");
}

#[test]
fn closure_replies_and_may_finish_the_connection() {
    let mut count = 0;
    let line = Line::new(100, |message, reply| {
        count += 1;
        if message == b"bye" {
            reply.finish(Finish::Done);
        } else {
            write!(reply, "{count}: ").unwrap();
            reply.echo();
            reply.echo();
        }
    });
    let (output, finished) = Harness::new(line).run(b"a\r\nb\nbye\nc\n", &[3]);
    assert_eq!(output, b"1: aa\r\n2: bb\n\n");
    assert_eq!(finished, Some(Finish::Done));
}

#[test]
fn searched_bytes_are_not_searched_again() {
    let mut harness = Harness::new(Line::echo(usize::MAX, b""));
    for length in 1..=100 {
        harness.receive(b"x");
        assert_eq!(harness.session.searched, length);
    }
    harness.receive(b"\nyz");
    assert_eq!(harness.session.searched, 2, "bytes of the next line");
}

/// The expected output for `input` and FIN.
fn model(input: &[u8], max_message: usize) -> (Vec<u8>, Option<Finish>) {
    let mut output = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let end = line.strip_suffix(b"\n");
        let end = end.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        let end = end.unwrap_or(line.len());
        if end > max_message {
            return (output, Some(Finish::TooLong));
        }
        output.extend(b"> ");
        output.extend(line);
    }
    (output, None)
}

/// Text with many line ends, and with long parts without any.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..90),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_output_of_the_model(
        input in text(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        max_message in prop_oneof![0_usize..100, Just(1000)],
        capacity in prop_oneof![1_usize..50, Just(usize::MAX)],
    ) {
        let mut harness = Harness::new(Line::echo(max_message, b"> "));
        harness.capacity = capacity;
        prop_assert_eq!(harness.run(&input, &cuts), model(&input, max_message));
    }
}
