//! A small protocol of messages, whose sessions check how they are called.
//!
//! A message is a head and up to 15 bytes more: the low half of the head says how many, the high half what is done
//! with them. Between messages a session stops when its outbox is full, as it should, unless it is of the impatient
//! kind.

use crate::script::Content;
use echoloop::protocol::{Context, Finish, Outbox, Protocol, Session};

/// How often an amplifying message is repeated in its answer.
const AMPLIFIED: usize = 16;

/// The longest answer to a message with this many bytes after its head.
pub const fn longest_reply(body: usize) -> usize {
    // At least what brackets add.
    if body == 0 { 2 } else { body * AMPLIFIED }
}

/// What its sessions have been told and what they have said; there is one session only.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Messages {
    pub content: Content,
    /// It does not heed that the outbox is full.
    pub impatient: bool,
    pub longest_reply: usize,
    /// Bytes consumed, and bytes seen but not consumed.
    pub consumed: usize,
    pub kept: usize,
    /// The bytes kept are at least one whole message: the session stopped because the outbox was full.
    pub stopped: bool,
    pub said: Vec<u8>,
    pub finished: Option<Finish>,
    pub opened: bool,
    pub ended: bool,
}

impl Messages {
    pub fn new(content: Content, impatient: bool) -> Messages {
        Messages {
            content,
            impatient,
            longest_reply: longest_reply(15),
            consumed: 0,
            kept: 0,
            stopped: false,
            said: Vec::new(),
            finished: None,
            opened: false,
            ended: false,
        }
    }

    /// A call has come that may only come while the session is alive.
    fn begin(&self) {
        assert_eq!(self.finished, None, "a call after the session's own end");
        assert!(!self.ended, "a call after the peer's end");
    }

    /// `input` is what follows what was consumed, and nothing that was kept is missing.
    fn check_input(&self, input: &[u8]) {
        for (offset, byte) in input.iter().enumerate() {
            let position = self.consumed + offset;
            assert_eq!(*byte, self.content.byte(position), "byte {position}");
        }
        assert!(input.len() >= self.kept, "input that was kept is missing");
    }

    fn remember(&mut self, outbox: &Outbox<'_>) {
        self.said.extend(outbox.bytes());
        self.finished = outbox.finished();
    }
}

#[derive(Debug)]
pub struct Conversation;

impl Protocol for Messages {
    type Session = Conversation;

    fn name(&self) -> &'static str {
        "messages"
    }

    fn session(&mut self) -> Conversation {
        Conversation
    }
}

/// The first message of `input`, if it is there as a whole: what to do, and with what.
fn first_message(input: &[u8]) -> Option<(u8, &[u8])> {
    let (head, rest) = input.split_first()?;
    let body = rest.get(..usize::from(head & 15))?;
    Some((head >> 4, body))
}

fn answer<'a>(what: u8, body: &'a [u8], outbox: &mut Outbox<'a>) {
    match what {
        0 => {}
        1 => {
            outbox.write(b"[");
            outbox.send(body);
            outbox.write(b"]");
        }
        2 => {
            for _ in 0..AMPLIFIED {
                outbox.write(body);
            }
        }
        13 => {
            outbox.send(body);
            outbox.finish(Finish::Done);
        }
        14 => {
            outbox.send(body);
            outbox.finish(Finish::Malformed);
        }
        15 => outbox.finish(Finish::TooLong),
        _ => outbox.send(body),
    }
}

impl Session for Conversation {
    type Shared = Messages;

    fn open(&mut self, context: Context<'_, Messages>, outbox: &mut Outbox<'_>) {
        let shared = context.shared;
        shared.begin();
        assert!(!shared.opened, "opened twice");
        assert_eq!(shared.consumed + shared.kept, 0, "opened too late");
        shared.opened = true;
        outbox.write(b">");
        shared.remember(outbox);
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Messages>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let shared = context.shared;
        shared.begin();
        shared.check_input(input);
        let mut consumed = 0;
        shared.stopped = false;
        while let Some((what, body)) = first_message(&input[consumed..]) {
            if outbox.is_full() && !shared.impatient {
                shared.stopped = true;
                break;
            }
            consumed += 1 + body.len();
            answer(what, body, outbox);
            if outbox.finished().is_some() {
                break;
            }
        }
        shared.consumed += consumed;
        shared.kept = input.len() - consumed;
        shared.remember(outbox);
        if shared.finished.is_some() {
            // What is not consumed is for nobody any more.
            shared.kept = 0;
        }
        consumed
    }

    fn drained(&mut self, context: Context<'_, Messages>, outbox: &mut Outbox<'_>) {
        let shared = context.shared;
        shared.begin();
        outbox.write(b"*");
        shared.remember(outbox);
    }

    fn end<'a>(&mut self, rest: &'a [u8], context: Context<'_, Messages>, outbox: &mut Outbox<'a>) {
        let shared = context.shared;
        shared.begin();
        shared.check_input(rest);
        assert_eq!(rest.len(), shared.kept, "what is kept, and nothing new");
        assert!(
            first_message(rest).is_none(),
            "a whole message was kept from the session until the end"
        );
        shared.ended = true;
        shared.consumed += rest.len();
        shared.kept = 0;
        outbox.send(rest);
        outbox.write(b".");
        if rest.len() > 7 {
            outbox.finish(Finish::Malformed);
        }
        shared.remember(outbox);
    }
}
