//! Frames against a plain model: whatever the pieces, the lengths they say they have and the limits, all frames before
//! one that is too long or not whole come back, and an answer that does not fit ends it.
#![no_main]

mod bench;

use arbitrary::Arbitrary;
use bench::{Spoken, converse};
use echoloop::protocol::{Finish, Frame, Reply, Width};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Run {
    width: u8,
    parts: Vec<Part>,
    /// Where the input is cut into pieces.
    cuts: Vec<u16>,
    max_message: u16,
    room: u16,
    answer: Answers,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A frame as it should be.
    Frame(Vec<u8>),
    /// A frame of this many equal bytes.
    Long(u16),
    /// Whatever it means.
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Answers {
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

    /// What is to be said, worked out plainly.
    fn model(&self, input: &[u8]) -> Spoken {
        let width = self.width();
        let mut said = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let Some((header, behind)) = rest.split_at_checked(width.bytes()) else {
                return (said, Some(Finish::Malformed));
            };
            let digits = header.iter();
            let length = digits.fold(0, |all, byte| all << 8 | usize::from(*byte));
            if length > usize::from(self.max_message) {
                return (said, Some(Finish::TooLong));
            }
            let Some((message, behind)) = behind.split_at_checked(length) else {
                return (said, Some(Finish::Malformed));
            };
            match self.answer {
                Answers::Echo | Answers::Copy => frame(&mut said, width, message),
                Answers::Twice if 2 * length >= 1 << (8 * width.bytes()) => {
                    return (said, Some(Finish::TooLong));
                }
                Answers::Twice => frame(&mut said, width, &[message, message].concat()),
            }
            rest = behind;
        }
        (said, None)
    }
}

/// Puts a message behind its length, as far as that can be said in `width`.
fn frame(to: &mut Vec<u8>, width: Width, message: &[u8]) {
    let length = (message.len() as u64).to_be_bytes();
    to.extend(&length[8 - width.bytes()..]);
    to.extend(message);
}

fuzz_target!(|run: Run| {
    let input = run.input();
    let pieces = run.pieces(&input);
    let max_message = usize::from(run.max_message);
    let room = usize::from(run.room).max(1);
    let answers = run.answer;
    let spoken = if let Answers::Echo = answers {
        converse(Frame::echo(run.width(), max_message), &pieces, room)
    } else {
        let answer = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            reply.write(message);
            if let Answers::Twice = answers {
                reply.echo();
            }
        };
        let protocol = Frame::new(run.width(), max_message, answer);
        converse(protocol, &pieces, room)
    };
    assert_eq!(spoken, run.model(&input));
});
