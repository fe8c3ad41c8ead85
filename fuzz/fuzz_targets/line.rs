//! Lines against a plain model: whatever the pieces, the limits and the prefix, all lines before one that is too long
//! come back, each as it should.
#![no_main]

mod bench;

use arbitrary::Arbitrary;
use bench::{Spoken, converse};
use echoloop::protocol::{Finish, Line, Reply};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Run {
    pieces: Vec<Vec<u8>>,
    prefix: Vec<u8>,
    max_message: u8,
    room: u16,
    /// The answers are the same, and made by a closure.
    by_closure: bool,
}

/// What is to be said, worked out plainly.
fn model(input: &[u8], prefix: &[u8], max_message: usize) -> Spoken {
    let mut said = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n");
        let text = text.map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        if text.unwrap_or(line).len() > max_message {
            return (said, Some(Finish::TooLong));
        }
        said.extend(prefix);
        said.extend(line);
    }
    (said, None)
}

fuzz_target!(|run: Run| {
    let max_message = usize::from(run.max_message);
    let room = usize::from(run.room).max(1);
    let spoken = if run.by_closure {
        let prefix = run.prefix.clone();
        let answer = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            reply.write(&prefix);
            reply.write(message);
        };
        converse(Line::new(max_message, answer), &run.pieces, room)
    } else {
        let line = Line::echo(max_message, &run.prefix);
        converse(line, &run.pieces, room)
    };
    assert_eq!(
        spoken,
        model(&run.pieces.concat(), &run.prefix, max_message)
    );
});
