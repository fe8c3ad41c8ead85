//! For any split of the input and any partial writes, the replies are the same.

use super::*;
use crate::protocol::{Discard, Frame, Line, Reply, Width};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A stream that returns input and accepts output in pieces; an empty piece is a call that would block.
struct PiecewiseStream {
    input: VecDeque<Vec<u8>>,
    output_space: VecDeque<usize>,
    written: Vec<u8>,
    /// A call has returned `WouldBlock` since the last event, so an edge follows.
    read_blocked: bool,
    write_blocked: bool,
    fin_sent: bool,
}

impl Stream for PiecewiseStream {
    const SHORT_READ_DRAINS: bool = false;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.read_blocked, "a read before a readable event");
        let Some(piece) = self.input.front_mut() else {
            return Ok(0);
        };
        if piece.is_empty() {
            self.input.pop_front();
            self.read_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.input.pop_front();
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.write_blocked, "a write before a writable event");
        let space = self.output_space.pop_front().unwrap_or(usize::MAX);
        if space == 0 {
            self.write_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = space.min(bytes.len());
        self.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn is_at_fin(&mut self) -> bool {
        false
    }

    fn takes_output(&mut self) -> bool {
        true
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.fin_sent, "a second FIN");
        self.fin_sent = true;
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// The input and the output space in pieces, and the limits.
#[derive(Debug)]
struct IoPieces {
    input: Vec<Vec<u8>>,
    output_space: Vec<usize>,
    limits: Limits,
}

fn io_pieces(input: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = IoPieces> {
    let cuts = proptest::collection::vec(any::<usize>(), 0..40);
    let output_space = proptest::collection::vec(prop_oneof![Just(0), 1_usize..200], 0..80);
    (input, cuts, output_space, 1_usize..400, 1_usize..500).prop_map(
        |(input, cuts, output_space, max_pending, budget)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([input.len()]);
            let begins = [0].into_iter().chain(cuts.iter().copied());
            let pieces = begins.zip(ends);
            IoPieces {
                // Two cuts at one place make an empty piece: a read that would block.
                input: pieces
                    .map(|(begin, end)| input[begin..end].to_vec())
                    .collect(),
                output_space,
                limits: Limits {
                    max_pending,
                    budget,
                },
            }
        },
    )
}

/// Drives a connection with only the edges that epoll would report. Returns its output and its close reason; pending
/// output never exceeds the limit by more than one reply of at most `longest_reply` bytes.
fn run_to_close<P: Protocol>(
    protocol: P,
    io_pieces: IoPieces,
    longest_reply: usize,
) -> Result<(Vec<u8>, CloseReason), TestCaseError> {
    let mut fixture = Fixture::new(protocol, io_pieces.limits);
    let mut stream = PiecewiseStream {
        input: io_pieces.input.into(),
        output_space: io_pieces.output_space.into(),
        written: Vec::new(),
        read_blocked: false,
        write_blocked: false,
        fin_sent: false,
    };
    let mut readiness = READABLE;
    for _ in 0..30_000 {
        let outcome = fixture.drive_stream(&mut stream, readiness);
        let most = io_pieces.limits.max_pending + longest_reply;
        prop_assert!(fixture.pending_output() <= most);
        if let Outcome::Closed(reason) = outcome {
            return Ok((stream.written, reason));
        }
        fixture.check_invariants();
        match outcome {
            Outcome::Closed(_) => {}
            Outcome::Again => readiness = Readiness::NONE,
            Outcome::Memory => prop_assert!(false, "there is enough memory"),
            Outcome::RecordReady => prop_assert!(false, "there is no record"),
            Outcome::Input | Outcome::Event => {
                readiness =
                    READABLE.when(stream.read_blocked) | WRITABLE.when(stream.write_blocked);
                prop_assert!(
                    readiness != Readiness::NONE,
                    "waits for an edge that need not follow"
                );
                (stream.read_blocked, stream.write_blocked) = (false, false);
            }
        }
    }
    Err(TestCaseError::fail("the connection does not close"))
}

/// Lines with either line ending, some of them empty.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..100),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn echoed_lines(input: &[u8]) -> Vec<u8> {
    let lines = input.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(|line| [b"> ", line].concat()).collect()
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = proptest::collection::vec(any::<u8>(), 0..256)
        .prop_map(|message| [&[u8::try_from(message.len()).unwrap()], &message[..]].concat());
    proptest::collection::vec(frame, 0..20).prop_map(|frames| frames.concat())
}

/// The replies to frames if each message is sent back twice in one frame, and the close reason: a reply of more than
/// 255 bytes does not fit a length prefix of one byte.
fn doubled(input: &[u8]) -> (Vec<u8>, CloseReason) {
    let mut replies = Vec::new();
    let mut rest = input;
    while let [length, after @ ..] = rest {
        let (message, after) = after.split_at(usize::from(*length));
        let Some(twice) = length.checked_mul(2) else {
            return (replies, CloseReason::TooLong);
        };
        replies.push(twice);
        replies.extend([message, message].concat());
        rest = after;
    }
    (replies, CloseReason::PeerClosed)
}

proptest! {
    // For any split of the input, any partial writes and any blocked calls: the output is as expected, then the
    // connection closes; pending output stays within its limit; and an edge for each blocked call is enough.

    #[test]
    fn raw_echo_returns_exactly_its_input(
        io_pieces in io_pieces(proptest::collection::vec(any::<u8>(), 0..6000)),
    ) {
        let expected = io_pieces.input.concat();
        prop_assert_eq!(run_to_close(Raw, io_pieces, 0)?, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn line_echo_returns_each_line_with_its_prefix(io_pieces in io_pieces(lines())) {
        let expected = echoed_lines(&io_pieces.input.concat());
        let longest = 2 + io_pieces.input.concat().len();
        let outcome = run_to_close(Line::echo(1 << 20, b"> "), io_pieces, longest)?;
        prop_assert_eq!(outcome, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn lines_before_a_too_long_line_are_echoed(io_pieces in io_pieces(lines()), most in 0_usize..300) {
        let input = io_pieces.input.concat();
        let is_short_enough = |line: &&[u8]| {
            let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
            text.unwrap_or(line).len() <= most
        };
        let lines = input.split_inclusive(|byte| *byte == b'\n');
        let echoed: Vec<&[u8]> = lines.take_while(is_short_enough).collect();
        let echoed = echoed.concat();
        let reason = if echoed.len() == input.len() { CloseReason::PeerClosed } else { CloseReason::TooLong };
        let outcome = run_to_close(Line::echo(most, b"> "), io_pieces, most + 4)?;
        prop_assert_eq!(outcome, (echoed_lines(&echoed), reason));
    }

    #[test]
    fn frame_echo_returns_each_frame(io_pieces in io_pieces(frames())) {
        let expected = io_pieces.input.concat();
        let outcome = run_to_close(Frame::echo(Width::One, 255), io_pieces, 256)?;
        prop_assert_eq!(outcome, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn frames_are_answered_by_the_closure(io_pieces in io_pieces(frames())) {
        let expected = doubled(&io_pieces.input.concat());
        let twice = |_: &[u8], reply: &mut Reply<'_, '_>| {
            reply.echo();
            reply.echo();
        };
        let outcome = run_to_close(Frame::new(Width::One, 255, twice), io_pieces, 511)?;
        prop_assert_eq!(outcome, expected);
    }

    #[test]
    fn discard_sends_nothing(
        io_pieces in io_pieces(proptest::collection::vec(any::<u8>(), 0..6000)),
    ) {
        prop_assert_eq!(run_to_close(Discard, io_pieces, 0)?, (Vec::new(), CloseReason::PeerClosed));
    }
}
