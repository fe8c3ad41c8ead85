//! Lines, and their answers.

use super::Bench;
use crate::protocol::{Finish, Line, Protocol};
use proptest::prelude::*;
use std::fmt::Write as _;

fn echo(max_message: usize, input: &[u8]) -> (String, Option<Finish>) {
    let bench = Bench::new(Line::echo(max_message, b"ECHO "));
    let (said, finished) = bench.answers(input, &[]);
    (String::from_utf8(said).unwrap(), finished)
}

#[test]
fn each_line_comes_back_behind_the_prefix_and_ends_as_it_came() {
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
fn a_line_may_be_as_long_as_allowed_and_not_a_byte_longer() {
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
fn a_line_without_end_is_too_long_with_its_first_byte_too_many() {
    let mut bench = Bench::new(Line::echo(3, b""));
    bench.receive(b"abc");
    assert_eq!(bench.finished, None);
    bench.receive(b"\r");
    assert_eq!(bench.finished, None, "an LF may follow");
    bench.receive(b"d");
    assert_eq!(bench.finished, Some(Finish::TooLong));
}

#[test]
fn without_a_prefix_whole_lines_go_out_as_they_lie_there() {
    let mut bench = Bench::new(Line::echo(100, b""));
    assert_eq!(bench.receive(b"one\ntwo\r\nthree"), 1, "not copied");
    assert_eq!(bench.said, b"one\ntwo\r\n");
}

#[test]
fn a_closure_answers_and_may_end_the_connection() {
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
    let (said, finished) = Bench::new(line).answers(b"a\r\nb\nbye\nc\n", &[3]);
    assert_eq!(said, b"1: aa\r\n2: bb\n\n");
    assert_eq!(finished, Some(Finish::Done));
}

#[test]
fn what_was_searched_is_not_searched_again() {
    let mut bench = Bench::new(Line::echo(usize::MAX, b""));
    for length in 1..=100 {
        bench.receive(b"x");
        assert_eq!(bench.session.searched, length);
    }
    bench.receive(b"\nyz");
    assert_eq!(bench.session.searched, 2, "of the next line");
}

/// What the protocol says, worked out plainly.
fn model(input: &[u8], max_message: usize) -> (Vec<u8>, Option<Finish>) {
    let mut said = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let end = line.strip_suffix(b"\n");
        let end = end.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        let end = end.unwrap_or(line.len());
        if end > max_message {
            return (said, Some(Finish::TooLong));
        }
        said.extend(b"> ");
        said.extend(line);
    }
    (said, None)
}

/// Text in which ends of lines are frequent, and long stretches without any are too.
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
    fn any_split_of_the_input_gives_the_same_output(
        input in text(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        max_message in prop_oneof![0_usize..100, Just(1000)],
        room in prop_oneof![1_usize..50, Just(usize::MAX)],
    ) {
        let mut bench = Bench::new(Line::echo(max_message, b"> "));
        bench.room = room;
        prop_assert_eq!(bench.answers(&input, &cuts), model(&input, max_message));
    }
}
