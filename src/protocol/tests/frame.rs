//! Frames and the replies to them.

use super::Harness;
use crate::protocol::frame::write_length;
use crate::protocol::{Finish, Frame, Outbox, Protocol, Reply, Width};
use proptest::prelude::*;

const WIDTHS: [Width; 3] = [Width::One, Width::Two, Width::Four];

fn frame(width: Width, message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_be_bytes();
    [&length[8 - width.bytes()..], message].concat()
}

#[test]
fn frames_are_echoed_including_an_empty_one() {
    for (width, name) in [
        (Width::One, "frame:1"),
        (Width::Two, "frame:2"),
        (Width::Four, "frame:4"),
    ] {
        assert_eq!(Frame::echo(width, 1).name(), name);
        let input = [frame(width, b"hello"), frame(width, b"")].concat();
        let harness = Harness::new(Frame::echo(width, 100));
        assert_eq!(harness.run(&input, &[]), (input, None));
    }
}

#[test]
fn lengths_up_to_the_maximum_round_trip() {
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
fn length_is_in_network_byte_order() {
    let mut harness = Harness::new(Frame::echo(Width::Two, 1000));
    harness.receive(&[1, 2]);
    harness.receive(&[7; 257]);
    assert_eq!(harness.output, b"", "one byte is missing");
    harness.receive(&[7]);
    assert_eq!(harness.output.len(), 2 + 258);
}

#[test]
fn complete_frames_of_a_read_are_sent_without_a_copy() {
    let mut harness = Harness::new(Frame::echo(Width::One, 100));
    assert_eq!(harness.receive(b"\x01a\x00\x02bc\x03d"), 1, "not copied");
    assert_eq!(harness.output, b"\x01a\x00\x02bc");
    assert_eq!(harness.unconsumed, b"\x03d");
}

#[test]
fn length_above_the_maximum_finishes_with_too_long() {
    for (width, largest) in [
        (Width::One, &[255][..]),
        (Width::Two, &[255; 2]),
        (Width::Four, &[255; 4]),
    ] {
        let mut harness = Harness::new(Frame::echo(width, 254));
        harness.receive(&frame(width, &[7; 254]));
        assert_eq!(harness.finished, None);
        harness.receive(largest);
        assert_eq!(harness.finished, Some(Finish::TooLong));
        assert_eq!(
            harness.output,
            frame(width, &[7; 254]),
            "the frame before it"
        );
    }
}

#[test]
fn fin_is_malformed_only_within_a_frame() {
    let whole = frame(Width::Two, b"abc");
    for cut in 0..=whole.len() {
        let harness = Harness::new(Frame::echo(Width::Two, 100));
        let (output, finished) = harness.run(&whole[..cut], &[]);
        let is_whole = cut == 0 || cut == whole.len();
        assert_eq!(finished.is_none(), is_whole, "{cut}");
        assert_eq!(output.is_empty(), cut < whole.len(), "{cut}");
        assert!(is_whole || finished == Some(Finish::Malformed), "{cut}");
    }
}

#[test]
fn replies_of_a_closure_are_framed() {
    let twice = |_: &[u8], reply: &mut Reply<'_, '_>| {
        reply.echo();
        reply.echo();
    };
    let harness = Harness::new(Frame::new(Width::One, 255, twice));
    let (output, finished) = harness.run(b"\x02ab\x00\x01c", &[2]);
    assert_eq!(
        (&output[..], finished),
        (&b"\x04abab\x00\x02cc"[..], None),
        "the reply to the empty frame is empty"
    );
    let harness = Harness::new(Frame::new(
        Width::Four,
        255,
        |_: &[u8], _: &mut Reply<'_, '_>| {},
    ));
    assert_eq!(harness.run(b"\0\0\0\x01x", &[]).0, [0; 4]);
}

#[test]
fn reply_too_long_for_its_length_is_not_sent_but_finishes() {
    for (copies, fits) in [(255, true), (256, false)] {
        let many = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            let copies = if message == b"x" { copies } else { 1 };
            for _ in 0..copies {
                reply.write(b"y");
            }
        };
        let harness = Harness::new(Frame::new(Width::One, 255, many));
        let (output, finished) = harness.run(b"\x01a\x01x\x01a", &[]);
        if fits {
            assert_eq!((output.len(), finished), (2 + 256 + 2, None));
        } else {
            assert_eq!(output, b"\x01y", "the frame before it");
            assert_eq!(finished, Some(Finish::TooLong));
        }
    }
}

#[test]
fn adjacent_parts_are_joined_and_others_are_copied() {
    let input = b"abcdef".as_slice();
    let mut write_buffer = Vec::new();
    let mut outbox = Outbox::new(&mut write_buffer, 64);
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

/// The expected output for `input` and FIN.
fn model(width: Width, input: &[u8], max_message: usize) -> (Vec<u8>, Option<Finish>) {
    let mut rest = input;
    while !rest.is_empty() {
        let output = &input[..input.len() - rest.len()];
        let Some((header, after_header)) = rest.split_at_checked(width.bytes()) else {
            return (output.to_vec(), Some(Finish::Malformed));
        };
        let length = header
            .iter()
            .fold(0, |all, byte| all << 8 | usize::from(*byte));
        if length > max_message {
            return (output.to_vec(), Some(Finish::TooLong));
        }
        if after_header.len() < length {
            return (output.to_vec(), Some(Finish::Malformed));
        }
        rest = &after_header[length..];
    }
    (input.to_vec(), None)
}

/// Valid frames, and occasionally arbitrary bytes.
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
    fn any_split_of_the_input_gives_the_output_of_the_model(
        (width, input) in stream(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        max_message in prop_oneof![0_usize..250, Just(usize::MAX)],
        capacity in prop_oneof![1_usize..50, Just(usize::MAX)],
        copies in any::<bool>(),
    ) {
        // The same replies, borrowed or copied.
        let handler = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            if copies { reply.write(message) } else { reply.echo() }
        };
        let mut harness = Harness::new(Frame::new(width, max_message, handler));
        harness.capacity = capacity;
        prop_assert_eq!(harness.run(&input, &cuts), model(width, &input, max_message));
    }
}
