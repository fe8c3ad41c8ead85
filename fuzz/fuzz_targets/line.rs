//! Lines compared with a simple model: for any pieces, limits and prefix, all lines before the first one that is too long
//! are echoed.
#![no_main]

mod harness;

use arbitrary::Arbitrary;
use echoloop::protocol::{Finish, Line, Reply};
use harness::{Output, run_session};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Run {
    pieces: Vec<Vec<u8>>,
    prefix: Vec<u8>,
    max_message: u8,
    capacity: u16,
    /// The same replies, from a closure.
    by_closure: bool,
}

/// The expected output.
fn model(input: &[u8], prefix: &[u8], max_message: usize) -> Output {
    let mut output = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n");
        let text = text.map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        if text.unwrap_or(line).len() > max_message {
            return (output, Some(Finish::TooLong));
        }
        output.extend(prefix);
        output.extend(line);
    }
    (output, None)
}

fuzz_target!(|run: Run| {
    let max_message = usize::from(run.max_message);
    let capacity = usize::from(run.capacity).max(1);
    let output = if run.by_closure {
        let prefix = run.prefix.clone();
        let reply_to = move |message: &[u8], reply: &mut Reply<'_, '_>| {
            reply.write(&prefix);
            reply.write(message);
        };
        run_session(Line::new(max_message, reply_to), &run.pieces, capacity)
    } else {
        let line = Line::echo(max_message, &run.prefix);
        run_session(line, &run.pieces, capacity)
    };
    assert_eq!(
        output,
        model(&run.pieces.concat(), &run.prefix, max_message)
    );
});
