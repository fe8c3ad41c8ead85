//! The outbox against a plain model: whatever is said in whatever pieces, it holds what was said, in order.
#![no_main]

use arbitrary::Arbitrary;
use echoloop::protocol::{Finish, Outbox};
use libfuzzer_sys::fuzz_target;

/// One call of a session: an outbox of its own, over the buffer that all of them share.
#[derive(Arbitrary, Debug)]
struct Call {
    room: u8,
    sayings: Vec<Saying>,
}

#[derive(Arbitrary, Debug)]
enum Saying {
    /// A piece of the input: where it begins, and how long it is.
    Send(u8, u8),
    /// Bytes of the session's own.
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

/// What an outbox should hold.
#[derive(Default)]
struct Model {
    said: Vec<u8>,
    finished: Option<Finish>,
    /// The one piece of the input that was said, as long as nothing else was.
    only_piece: Option<*const u8>,
    writes: usize,
}

/// Every byte of the input is another one, so that a piece from the wrong place is found out.
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

fn say(saying: &Saying, outbox: &mut Outbox<'_>, model: &mut Model) {
    match saying {
        Saying::Send(begin, length) => {
            let piece = piece(*begin, *length);
            let is_first = model.said.is_empty() && model.writes == 0;
            model.only_piece = is_first.then_some(piece.as_ptr());
            outbox.send(piece);
            model.said.extend(piece);
            // An empty piece says nothing, so the next one may still be the first.
            if model.said.is_empty() {
                model.only_piece = None;
            }
        }
        Saying::Write(bytes) => {
            model.only_piece = None;
            model.writes += 1;
            outbox.write(bytes);
            model.said.extend(bytes);
        }
        Saying::Finish(reason) => {
            outbox.finish((*reason).into());
            model.finished.get_or_insert((*reason).into());
        }
    }
}

fn check(outbox: &Outbox<'_>, model: &Model, room: usize) {
    assert_eq!(outbox.bytes(), model.said);
    assert_eq!(outbox.is_empty(), model.said.is_empty());
    assert_eq!(outbox.is_full(), model.said.len() >= room);
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
    let mut gathered = Vec::new();
    for call in &calls {
        let room = usize::from(call.room);
        let mut outbox = Outbox::new(&mut gathered, room);
        let mut model = Model::default();
        check(&outbox, &model, room);
        for saying in &call.sayings {
            say(saying, &mut outbox, &mut model);
            check(&outbox, &model, room);
        }
    }
});
