//! Frames compared with a simple model: for any pieces, declared lengths and limits, all frames before the first one that
//! is too long or incomplete are echoed, and a reply that is too long for a frame closes the connection.
#![no_main]

mod harness;

use arbitrary::Arbitrary;
use echoloop::protocol::{Finish, Frame, Reply, Width};
use harness::{Output, run_session};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Run {
    width: u8,
    parts: Vec<Part>,
    /// Where the input is cut into pieces.
    cuts: Vec<u16>,
    max_message: u16,
    capacity: u16,
    reply: ReplyKind,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A valid frame.
    Frame(Vec<u8>),
    /// A frame of this many equal bytes.
    Long(u16),
    /// Arbitrary bytes.
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum ReplyKind {
    Echo,
    Copy,
    Twice,
}

impl Run {
    fn width(&self) -> Width {
        match self.width % 3 {
            0 => Width::One,
            1 => Width::Two,
            _ => Width::Four,
        }
    }

    fn input(&self) -> Vec<u8> {
        let mut input = Vec::new();
        for part in &self.parts {
            match part {
                Part::Frame(message) => frame(&mut input, self.width(), message),
                Part::Long(length) => {
                    frame(&mut input, self.width(), &vec![7; usize::from(*length)]);
                }
                Part::Bytes(bytes) => input.extend(bytes),
            }
        }
        input
    }

    fn pieces(&self, input: &[u8]) -> Vec<Vec<u8>> {
        let cuts = self.cuts.iter();
        let mut cuts: Vec<usize> = cuts
            .map(|cut| usize::from(*cut) % (input.len() + 1))
            .collect();
        cuts.sort_unstable();
        cuts.push(input.len());
        let mut begin = 0;
        let piece = |end| {
            let piece = input[begin..end].to_vec();
            begin = end;
            piece
        };
        cuts.into_iter().map(piece).collect()
    }

    /// The expected output.
    fn model(&self, input: &[u8]) -> Output {
        let width = self.width();
        let mut output = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let Some((header, after_header)) = rest.split_at_checked(width.bytes()) else {
                return (output, Some(Finish::Malformed));
            };
            let digits = header.iter();
            let length = digits.fold(0, |all, byte| all << 8 | usize::from(*byte));
            if length > usize::from(self.max_message) {
                return (output, Some(Finish::TooLong));
            }
            let Some((message, after_message)) = after_header.split_at_checked(length) else {
                return (output, Some(Finish::Malformed));
            };
            match self.reply {
                ReplyKind::Echo | ReplyKind::Copy => frame(&mut output, width, message),
                ReplyKind::Twice if 2 * length >= 1 << (8 * width.bytes()) => {
                    return (output, Some(Finish::TooLong));
                }
                ReplyKind::Twice => frame(&mut output, width, &[message, message].concat()),
            }
            rest = after_message;
        }
        (output, None)
    }
}

/// Appends a frame; a length that does not fit into `width` is truncated.
fn frame(to: &mut Vec<u8>, width: Width, message: &[u8]) {
    let length = (message.len() as u64).to_be_bytes();
    to.extend(&length[8 - width.bytes()..]);
    to.extend(message);
}

fuzz_target!(|run: Run| {
    let input = run.input();
    let pieces = run.pieces(&input);
    let max_message = usize::from(run.max_message);
    let capacity = usize::from(run.capacity).max(1);
    let kind = run.reply;
    let output = if let ReplyKind::Echo = kind {
        run_session(Frame::echo(run.width(), max_message), &pieces, capacity)
    } else {
        let reply_to = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            reply.write(message);
            if let ReplyKind::Twice = kind {
                reply.echo();
            }
        };
        let protocol = Frame::new(run.width(), max_message, reply_to);
        run_session(protocol, &pieces, capacity)
    };
    assert_eq!(output, run.model(&input));
});
