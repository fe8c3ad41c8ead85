//! Frames, and their answers.

use super::Bench;
use crate::protocol::frame::write_length;
use crate::protocol::{Finish, Frame, Outbox, Protocol, Reply, Width};
use proptest::prelude::*;

const WIDTHS: [Width; 3] = [Width::One, Width::Two, Width::Four];

fn frame(width: Width, message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_be_bytes();
    [&length[8 - width.bytes()..], message].concat()
}

#[test]
fn each_frame_comes_back_and_an_empty_one_too() {
    for (width, name) in [
        (Width::One, "frame:1"),
        (Width::Two, "frame:2"),
        (Width::Four, "frame:4"),
    ] {
        assert_eq!(Frame::echo(width, 1).name(), name);
        let input = [frame(width, b"hello"), frame(width, b"")].concat();
        let bench = Bench::new(Frame::echo(width, 100));
        assert_eq!(bench.answers(&input, &[]), (input, None));
    }
}

#[test]
fn written_lengths_are_read_again_up_to_the_maximum() {
    for width in WIDTHS {
        for length in [0, 1, 200, width.max_length()] {
            let mut header = vec![0; width.bytes()];
            assert!(write_length(&mut header, length), "{width:?} {length}");
            let mut written = b"before".to_vec();
            width.write(length, &mut written);
            assert_eq!(written.strip_prefix(b"before"), Some(&header[..]));
            assert_eq!(width.read(&header), Some(length));
            assert_eq!(width.read(&header[1..]), None, "incomplete");
        }
        let mut header = vec![0; width.bytes()];
        assert!(!write_length(&mut header, width.max_length() + 1));
    }
}

#[test]
fn the_length_is_in_network_order() {
    let mut bench = Bench::new(Frame::echo(Width::Two, 1000));
    bench.receive(&[1, 2]);
    bench.receive(&[7; 257]);
    assert_eq!(bench.said, b"", "a byte is missing");
    bench.receive(&[7]);
    assert_eq!(bench.said.len(), 2 + 258);
}

#[test]
fn a_run_of_frames_goes_out_as_it_lies_there() {
    let mut bench = Bench::new(Frame::echo(Width::One, 100));
    assert_eq!(bench.receive(b"\x01a\x00\x02bc\x03d"), 1, "not copied");
    assert_eq!(bench.said, b"\x01a\x00\x02bc");
    assert_eq!(bench.kept, b"\x03d");
}

#[test]
fn a_length_above_the_limit_ends_it_before_a_byte_of_the_message() {
    for (width, largest) in [
        (Width::One, &[255][..]),
        (Width::Two, &[255; 2]),
        (Width::Four, &[255; 4]),
    ] {
        let mut bench = Bench::new(Frame::echo(width, 254));
        bench.receive(&frame(width, &[7; 254]));
        assert_eq!(bench.finished, None);
        bench.receive(largest);
        assert_eq!(bench.finished, Some(Finish::TooLong));
        assert_eq!(bench.said, frame(width, &[7; 254]), "the one before it");
    }
}

#[test]
fn fin_within_a_frame_is_malformed_and_between_frames_is_not() {
    let whole = frame(Width::Two, b"abc");
    for cut in 0..=whole.len() {
        let bench = Bench::new(Frame::echo(Width::Two, 100));
        let (said, finished) = bench.answers(&whole[..cut], &[]);
        let is_whole = cut == 0 || cut == whole.len();
        assert_eq!(finished.is_none(), is_whole, "{cut}");
        assert_eq!(said.is_empty(), cut < whole.len(), "{cut}");
        assert!(is_whole || finished == Some(Finish::Malformed), "{cut}");
    }
}

#[test]
fn the_answer_of_a_closure_is_framed_whatever_its_length() {
    let twice = |_: &[u8], reply: &mut Reply<'_, '_>| {
        reply.echo();
        reply.echo();
    };
    let bench = Bench::new(Frame::new(Width::One, 255, twice));
    let (said, finished) = bench.answers(b"\x02ab\x00\x01c", &[2]);
    assert_eq!(
        (&said[..], finished),
        (&b"\x04abab\x00\x02cc"[..], None),
        "the empty one's is empty"
    );
    let bench = Bench::new(Frame::new(
        Width::Four,
        255,
        |_: &[u8], _: &mut Reply<'_, '_>| {},
    ));
    assert_eq!(bench.answers(b"\0\0\0\x01x", &[]).0, [0; 4]);
}

#[test]
fn an_answer_too_large_for_its_length_is_not_sent_and_ends_the_connection() {
    for (copies, fits) in [(255, true), (256, false)] {
        let many = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            let copies = if message == b"x" { copies } else { 1 };
            for _ in 0..copies {
                reply.write(b"y");
            }
        };
        let bench = Bench::new(Frame::new(Width::One, 255, many));
        let (said, finished) = bench.answers(b"\x01a\x01x\x01a", &[]);
        if fits {
            assert_eq!((said.len(), finished), (2 + 256 + 2, None));
        } else {
            assert_eq!(said, b"\x01y", "the one before it");
            assert_eq!(finished, Some(Finish::TooLong));
        }
    }
}

#[test]
fn parts_that_do_not_follow_one_another_are_gathered() {
    let input = b"abcdef".as_slice();
    let mut gathered = Vec::new();
    let mut outbox = Outbox::new(&mut gathered, 64);
    outbox.send_part(input, 0..2);
    outbox.send_part(input, 2..4);
    assert!(
        std::ptr::eq(outbox.bytes(), &raw const input[..4]),
        "joined"
    );
    outbox.send_part(input, 5..6);
    assert_eq!(outbox.bytes(), b"abcdf");
    outbox.send_part(input, 4..5);
    assert_eq!(outbox.bytes(), b"abcdfe");
}

/// What the protocol says, worked out plainly.
fn model(width: Width, input: &[u8], max_message: usize) -> (Vec<u8>, Option<Finish>) {
    let mut rest = input;
    while !rest.is_empty() {
        let said = &input[..input.len() - rest.len()];
        let Some((header, behind)) = rest.split_at_checked(width.bytes()) else {
            return (said.to_vec(), Some(Finish::Malformed));
        };
        let length = header
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte));
        if length > max_message {
            return (said.to_vec(), Some(Finish::TooLong));
        }
        if behind.len() < length {
            return (said.to_vec(), Some(Finish::Malformed));
        }
        rest = &behind[length..];
    }
    (input.to_vec(), None)
}

/// Frames as they should be, and now and then something that is none.
fn stream() -> impl Strategy<Value = (Width, Vec<u8>)> {
    (0_usize..3).prop_flat_map(|width| {
        let width = WIDTHS[width];
        let piece = prop_oneof![
            9 => proptest::collection::vec(any::<u8>(), 0..200)
                .prop_map(move |message| frame(width, &message)),
            1 => proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..20).prop_map(move |pieces| (width, pieces.concat()))
    })
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_output(
        (width, input) in stream(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        max_message in prop_oneof![0_usize..250, Just(usize::MAX)],
        room in prop_oneof![1_usize..50, Just(usize::MAX)],
        copies in any::<bool>(),
    ) {
        // The same answers, once borrowed and once made anew.
        let answer = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            if copies { reply.write(message) } else { reply.echo() }
        };
        let mut bench = Bench::new(Frame::new(width, max_message, answer));
        bench.room = room;
        prop_assert_eq!(bench.answers(&input, &cuts), model(width, &input, max_message));
    }
}
