//! A small message protocol, whose sessions check how they are called.
//!
//! A message is a header and a body of up to 15 bytes: the low half of the header is the length, the high half the
//! operation. Between messages a session stops when its outbox is full, as required, unless it is impatient.

use crate::script::Content;
use echoloop::protocol::{Context, Finish, Outbox, Protocol, Session};

/// How often an amplifying message is repeated in its reply.
const AMPLIFIED: usize = 16;

/// The longest reply to a message with a body of this length.
pub const fn longest_reply(body: usize) -> usize {
    // At least two brackets.
    if body == 0 { 2 } else { body * AMPLIFIED }
}

/// The input and output of all sessions; there is only one.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Messages {
    pub content: Content,
    /// Continues although the outbox is full.
    pub impatient: bool,
    pub longest_reply: usize,
    /// Bytes consumed, and bytes received but not consumed.
    pub consumed: usize,
    pub unconsumed: usize,
    /// The session stopped before a complete message because the outbox was full.
    pub stopped: bool,
    pub output: Vec<u8>,
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
            unconsumed: 0,
            stopped: false,
            output: Vec::new(),
            finished: None,
            opened: false,
            ended: false,
        }
    }

    /// Checks that a call is allowed: only before the end of the session.
    fn begin(&self) {
        assert_eq!(self.finished, None, "a call after the session has finished");
        assert!(!self.ended, "a call after the peer's FIN");
    }

    /// Checks that `input` continues after the consumed bytes and contains all unconsumed ones.
    fn check_input(&self, input: &[u8]) {
        for (offset, byte) in input.iter().enumerate() {
            let position = self.consumed + offset;
            assert_eq!(*byte, self.content.byte(position), "byte {position}");
        }
        assert!(
            input.len() >= self.unconsumed,
            "unconsumed input is missing"
        );
    }

    fn record_output(&mut self, outbox: &Outbox<'_>) {
        self.output.extend(outbox.bytes());
        self.finished = outbox.finished();
    }
}

#[derive(Debug)]
pub struct MessageSession;

impl Protocol for Messages {
    type Session = MessageSession;

    fn name(&self) -> &'static str {
        "messages"
    }

    fn session(&mut self) -> MessageSession {
        MessageSession
    }
}

/// The first message of `input`, if it is complete: its operation and its body.
fn first_message(input: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = input.split_first()?;
    let body = rest.get(..usize::from(header & 15))?;
    Some((header >> 4, body))
}

fn reply<'a>(operation: u8, body: &'a [u8], outbox: &mut Outbox<'a>) {
    match operation {
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

impl Session for MessageSession {
    type Shared = Messages;

    fn open(&mut self, context: Context<'_, Messages>, outbox: &mut Outbox<'_>) {
        let shared = context.shared;
        shared.begin();
        assert!(!shared.opened, "opened twice");
        assert_eq!(shared.consumed + shared.unconsumed, 0, "opened too late");
        shared.opened = true;
        outbox.write(b">");
        shared.record_output(outbox);
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
        while let Some((operation, body)) = first_message(&input[consumed..]) {
            if outbox.is_full() && !shared.impatient {
                shared.stopped = true;
                break;
            }
            consumed += 1 + body.len();
            reply(operation, body, outbox);
            if outbox.finished().is_some() {
                break;
            }
        }
        shared.consumed += consumed;
        shared.unconsumed = input.len() - consumed;
        shared.record_output(outbox);
        if shared.finished.is_some() {
            // The rest of the input is dropped.
            shared.unconsumed = 0;
        }
        consumed
    }

    fn drained(&mut self, context: Context<'_, Messages>, outbox: &mut Outbox<'_>) {
        let shared = context.shared;
        shared.begin();
        outbox.write(b"*");
        shared.record_output(outbox);
    }

    fn end<'a>(&mut self, rest: &'a [u8], context: Context<'_, Messages>, outbox: &mut Outbox<'a>) {
        let shared = context.shared;
        shared.begin();
        shared.check_input(rest);
        assert_eq!(
            rest.len(),
            shared.unconsumed,
            "the unconsumed input, and nothing else"
        );
        assert!(
            first_message(rest).is_none(),
            "a complete message was withheld from the session until FIN"
        );
        shared.ended = true;
        shared.consumed += rest.len();
        shared.unconsumed = 0;
        outbox.send(rest);
        outbox.write(b".");
        if rest.len() > 7 {
            outbox.finish(Finish::Malformed);
        }
        shared.record_output(outbox);
    }
}
