//! The outbox compared with a simple model: for any sequence of calls, it holds all output in order.
#![no_main]

use arbitrary::Arbitrary;
use echoloop::protocol::{Finish, Outbox};
use libfuzzer_sys::fuzz_target;

/// One call of a session: a new outbox over the shared write buffer.
#[derive(Arbitrary, Debug)]
struct Call {
    capacity: u8,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A piece of the input: where it begins, and how long it is.
    Send(u8, u8),
    /// Other bytes.
    Write(Vec<u8>),
    Finish(Reason),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Reason {
    Done,
    TooLong,
    Malformed,
}

impl From<Reason> for Finish {
    fn from(reason: Reason) -> Finish {
        match reason {
            Reason::Done => Finish::Done,
            Reason::TooLong => Finish::TooLong,
            Reason::Malformed => Finish::Malformed,
        }
    }
}

/// The expected contents of an outbox.
#[derive(Default)]
struct Model {
    output: Vec<u8>,
    finished: Option<Finish>,
    /// The piece of input that is the only output so far.
    only_piece: Option<*const u8>,
    writes: usize,
}

/// All bytes of the input differ, so that a piece from the wrong place is detected.
const INPUT: [u8; 256] = {
    let mut input = [0; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        input[byte as usize] = byte;
        byte += 1;
    }
    input[255] = 255;
    input
};

fn piece(begin: u8, length: u8) -> &'static [u8] {
    let begin = usize::from(begin);
    let end = (begin + usize::from(length)).min(INPUT.len());
    &INPUT[begin..end]
}

fn apply(operation: &Operation, outbox: &mut Outbox<'_>, model: &mut Model) {
    match operation {
        Operation::Send(begin, length) => {
            let piece = piece(*begin, *length);
            let is_first = model.output.is_empty() && model.writes == 0;
            model.only_piece = is_first.then_some(piece.as_ptr());
            outbox.send(piece);
            model.output.extend(piece);
            // An empty piece is no output, so the next one may still be the only one.
            if model.output.is_empty() {
                model.only_piece = None;
            }
        }
        Operation::Write(bytes) => {
            model.only_piece = None;
            model.writes += 1;
            outbox.write(bytes);
            model.output.extend(bytes);
        }
        Operation::Finish(reason) => {
            outbox.finish((*reason).into());
            model.finished.get_or_insert((*reason).into());
        }
    }
}

fn check(outbox: &Outbox<'_>, model: &Model, capacity: usize) {
    assert_eq!(outbox.bytes(), model.output);
    assert_eq!(outbox.is_empty(), model.output.is_empty());
    assert_eq!(outbox.is_full(), model.output.len() >= capacity);
    assert_eq!(outbox.finished(), model.finished);
    assert!(!outbox.is_out_of_memory());
    if let Some(piece) = model.only_piece {
        assert!(
            std::ptr::eq(outbox.bytes().as_ptr(), piece),
            "the only piece was copied"
        );
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let mut write_buffer = Vec::new();
    for call in &calls {
        let capacity = usize::from(call.capacity);
        let mut outbox = Outbox::new(&mut write_buffer, capacity);
        let mut model = Model::default();
        check(&outbox, &model, capacity);
        for operation in &call.operations {
            apply(operation, &mut outbox, &mut model);
            check(&outbox, &model, capacity);
        }
    }
});
