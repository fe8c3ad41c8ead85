//! Whatever the kernel does with the pieces, what comes back is what was sent.

use super::*;
use crate::protocol::{Discard, Frame, Line, Reply, Width};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A socket with input in pieces, and room for output in pieces; where a piece is empty, the call would block.
struct Pieces {
    input: VecDeque<Vec<u8>>,
    room: VecDeque<usize>,
    written: Vec<u8>,
    /// A call would block since the last event: an edge is owed once that is over.
    read_blocked: bool,
    write_blocked: bool,
    fin_sent: bool,
}

impl Stream for Pieces {
    const SHORT_READ_DRAINS: bool = false;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.read_blocked, "a read although nothing has come");
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
        assert!(!self.write_blocked, "a write although there is no room");
        let room = self.room.pop_front().unwrap_or(usize::MAX);
        if room == 0 {
            self.write_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = room.min(bytes.len());
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

/// What the world does: input in pieces, room in pieces, and how much is allowed.
#[derive(Debug)]
struct Weather {
    input: Vec<Vec<u8>>,
    room: Vec<usize>,
    limits: Limits,
}

fn weather(input: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Weather> {
    let cuts = proptest::collection::vec(any::<usize>(), 0..40);
    let room = proptest::collection::vec(prop_oneof![Just(0), 1_usize..200], 0..80);
    (input, cuts, room, 1_usize..400, 1_usize..500).prop_map(
        |(input, cuts, room, max_pending, budget)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([input.len()]);
            let begins = [0].into_iter().chain(cuts.iter().copied());
            let pieces = begins.zip(ends);
            Weather {
                // Two cuts at one place make an empty piece: a read that would block.
                input: pieces
                    .map(|(begin, end)| input[begin..end].to_vec())
                    .collect(),
                room,
                limits: Limits {
                    max_pending,
                    budget,
                },
            }
        },
    )
}

/// Drives a connection by nothing but the edges that are due to it. Gives back what it wrote, and how it ended; it
/// never owes more than is allowed and a reply of at most `longest_reply`.
fn outlast<P: Protocol>(
    protocol: P,
    weather: Weather,
    longest_reply: usize,
) -> Result<(Vec<u8>, CloseReason), TestCaseError> {
    let mut rig = Rig::new(protocol, weather.limits);
    let mut stream = Pieces {
        input: weather.input.into(),
        room: weather.room.into(),
        written: Vec::new(),
        read_blocked: false,
        write_blocked: false,
        fin_sent: false,
    };
    let mut readiness = READABLE;
    for _ in 0..30_000 {
        let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
        let scratch = &mut rig.scratch;
        let outcome = rig
            .connection
            .drive(&mut stream, readiness, scratch, &mut bench);
        let most = weather.limits.max_pending + longest_reply;
        prop_assert!(rig.pending() <= most);
        if let Outcome::Closed(reason) = outcome {
            return Ok((stream.written, reason));
        }
        rig.check();
        match outcome {
            Outcome::Closed(_) => {}
            Outcome::Again => readiness = Readiness::NONE,
            Outcome::Memory => prop_assert!(false, "there is memory enough"),
            Outcome::RecordReady => prop_assert!(false, "there is no record"),
            Outcome::Input | Outcome::Event => {
                readiness =
                    READABLE.when(stream.read_blocked) | WRITABLE.when(stream.write_blocked);
                prop_assert!(
                    readiness != Readiness::NONE,
                    "it waits for an edge that need not come"
                );
                (stream.read_blocked, stream.write_blocked) = (false, false);
            }
        }
    }
    Err(TestCaseError::fail("it does not come to an end"))
}

/// Lines as people send them, and what comes back for them.
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

/// What comes back for frames if each is answered by two of itself, and whether all could be: an answer of more than
/// 255 bytes does not fit behind a length of one.
fn doubled(input: &[u8]) -> (Vec<u8>, CloseReason) {
    let mut said = Vec::new();
    let mut rest = input;
    while let [length, behind @ ..] = rest {
        let (message, behind) = behind.split_at(usize::from(*length));
        let Some(twice) = length.checked_mul(2) else {
            return (said, CloseReason::TooLong);
        };
        said.push(twice);
        said.extend([message, message].concat());
        rest = behind;
    }
    (said, CloseReason::PeerClosed)
}

proptest! {
    // Any split of the input, any partial writes, would-blocks anywhere: what comes back is what should, then it
    // ends; it never owes more than allowed; and an edge for each call that blocked is all it needs.

    #[test]
    fn raw_echo_returns_exactly_its_input(
        weather in weather(proptest::collection::vec(any::<u8>(), 0..6000)),
    ) {
        let expected = weather.input.concat();
        prop_assert_eq!(outlast(Raw, weather, 0)?, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn lines_come_back_behind_their_prefix(weather in weather(lines())) {
        let expected = echoed_lines(&weather.input.concat());
        let longest = 2 + weather.input.concat().len();
        let outcome = outlast(Line::echo(1 << 20, b"> "), weather, longest)?;
        prop_assert_eq!(outcome, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn of_lines_all_before_one_that_is_too_long_come_back(weather in weather(lines()), most in 0_usize..300) {
        let input = weather.input.concat();
        let is_good = |line: &&[u8]| {
            let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
            text.unwrap_or(line).len() <= most
        };
        let lines = input.split_inclusive(|byte| *byte == b'\n');
        let good: Vec<&[u8]> = lines.take_while(is_good).collect();
        let good = good.concat();
        let reason = if good.len() == input.len() { CloseReason::PeerClosed } else { CloseReason::TooLong };
        let outcome = outlast(Line::echo(most, b"> "), weather, most + 4)?;
        prop_assert_eq!(outcome, (echoed_lines(&good), reason));
    }

    #[test]
    fn frames_come_back(weather in weather(frames())) {
        let expected = weather.input.concat();
        let outcome = outlast(Frame::echo(Width::One, 255), weather, 256)?;
        prop_assert_eq!(outcome, (expected, CloseReason::PeerClosed));
    }

    #[test]
    fn frames_are_answered_by_a_closure(weather in weather(frames())) {
        let expected = doubled(&weather.input.concat());
        let twice = |_: &[u8], reply: &mut Reply<'_, '_>| {
            reply.echo();
            reply.echo();
        };
        let outcome = outlast(Frame::new(Width::One, 255, twice), weather, 511)?;
        prop_assert_eq!(outcome, expected);
    }

    #[test]
    fn whatever_is_discarded_nothing_comes_back(
        weather in weather(proptest::collection::vec(any::<u8>(), 0..6000)),
    ) {
        prop_assert_eq!(outlast(Discard, weather, 0)?, (Vec::new(), CloseReason::PeerClosed));
    }
}
