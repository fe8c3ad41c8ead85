//! The state of connections that follow a script: what each sends next, and whose reply its input is.
//!
//! An active connection has its state in its [`Lane`]. Any other has state only while a reply is outstanding on it.

use super::Config;
use super::script::{Buffers, Expected, Ids, Part, Progress, Script, Verdict};
use super::session::{Hold, Lane, Reply};
use crate::echo::Mismatch;
use crate::protocol::{Finish, Outbox};
use crate::time::Time;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What the owner of the connections is to process, beside replies to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The hello is complete.
    Greeted,
    /// The reply to a keepalive.
    Keepalive(Reply),
    /// The server closes the connection after its last reply, as announced.
    Closes,
}

/// A connection whose hello is not complete.
#[derive(Clone, Copy, Debug, Default)]
struct Greeting {
    step: usize,
    progress: Progress,
    expires: Time,
}

/// An idle connection on which replies are outstanding.
#[derive(Debug, Default)]
struct Outstanding {
    /// What was sent, in this order.
    sent: VecDeque<(Part, u64)>,
    progress: Progress,
}

/// All conversations of a load.
#[derive(Debug)]
pub(super) struct Conversations {
    script: Arc<Script>,
    /// Added to the number of a connection in its messages.
    first_number: u32,
    connections: u32,
    max_message: usize,
    greetings: HashMap<u32, Greeting>,
    outstanding: HashMap<u32, Outstanding>,
    /// Messages of idle connections so far: each has a different number.
    idle_sent: u64,
    /// Idle connections that the server closes, as announced.
    closing: HashSet<u32>,
    pub(super) buffers: Buffers,
    rendered: Vec<u8>,
    pub(super) notices: Vec<(u32, Notice)>,
}

impl Conversations {
    pub(super) fn new(script: Arc<Script>, config: &Config) -> Conversations {
        Conversations {
            script,
            first_number: config.first_number,
            connections: config.first_number + config.connections(),
            max_message: config.max_message,
            greetings: HashMap::new(),
            outstanding: HashMap::new(),
            idle_sent: 0,
            closing: HashSet::new(),
            buffers: Buffers::default(),
            rendered: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Whether the hello of a connection is not complete.
    pub(super) fn is_greeting(&self, connection: u32) -> bool {
        self.greetings.contains_key(&connection)
    }

    /// Whether the hello of any connection is not complete.
    pub(super) fn is_any_greeting(&self) -> bool {
        !self.greetings.is_empty()
    }

    /// Has the hello of a connection expire at this time, if it is not complete; returns whether it is not.
    pub(super) fn expire_greeting(&mut self, connection: u32, expires: Time) -> bool {
        let greeting = self.greetings.get_mut(&connection);
        greeting
            .map(|greeting| greeting.expires = expires)
            .is_some()
    }

    /// Whether the hello of a connection is not complete and expires at this time: an earlier connection of the same number
    /// had another.
    pub(super) fn greets_until(&self, connection: u32, expires: Time) -> bool {
        let greeting = self.greetings.get(&connection);
        greeting.is_some_and(|greeting| greeting.expires == expires)
    }

    /// A connection has ended: returns whether its hello was not complete.
    pub(super) fn end_greeting(&mut self, connection: u32) -> bool {
        self.greetings.remove(&connection).is_some()
    }

    /// Whether this is an idle connection that the server closes, as announced.
    pub(super) fn is_closing(&self, connection: u32) -> bool {
        self.closing.contains(&connection)
    }

    /// An idle connection that the server was to close has ended.
    pub(super) fn end_closing(&mut self, connection: u32) {
        self.closing.remove(&connection);
    }

    /// Expects the reply to a message of an idle connection, if it gets one; returns the number of the message.
    pub(super) fn begin_idle(&mut self, connection: u32, part: Part) -> u64 {
        let sequence = self.idle_sent;
        self.idle_sent += 1;
        if self.script.has_reply(part) {
            let outstanding = self.outstanding.entry(connection).or_default();
            outstanding.sent.push_back((part, sequence));
        }
        sequence
    }

    /// Whether a reply is outstanding on an idle connection.
    pub(super) fn is_outstanding(&self, connection: u32) -> bool {
        self.outstanding.contains_key(&connection)
    }

    /// Whether a reply is outstanding on any idle connection.
    pub(super) fn is_any_outstanding(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Expects no further reply on an idle connection.
    pub(super) fn end_idle(&mut self, connection: u32) {
        self.outstanding.remove(&connection);
    }

    /// A connection is established: begins its hello.
    pub(super) fn greet(&mut self, connection: u32, outbox: &mut Outbox<'_>) {
        self.greet_from(connection, 0, outbox);
    }

    /// Sends the steps of the hello from `first` on, up to one with a reply.
    fn greet_from(&mut self, connection: u32, first: usize, outbox: &mut Outbox<'_>) {
        let ids = Ids {
            connection: self.first_number + connection,
            sequence: 0,
        };
        for step in first..self.script.hello_steps() {
            let part = Part::Hello(step);
            self.script.render(part, ids, &mut self.rendered);
            outbox.write(&self.rendered);
            if self.script.has_reply(part) {
                let greeting = self.greetings.entry(connection).or_default();
                (greeting.step, greeting.progress) = (step, Progress::default());
                return;
            }
        }
        self.greetings.remove(&connection);
        self.notices.push((connection, Notice::Greeted));
    }

    /// The message whose reply comes next on a connection, and what is known about that reply.
    fn next_expected(&self, number: u32, lane: Option<&Lane>) -> Option<(Expected, Progress)> {
        let (part, sequence, sent, progress) = if let Some(greeting) = self.greetings.get(&number) {
            (Part::Hello(greeting.step), 0, 1, greeting.progress)
        } else if let Some(lane) = lane {
            let next = lane.next_reply()?;
            (Part::Message, next, lane.sent(), lane.progress)
        } else {
            let outstanding = self.outstanding.get(&number)?;
            let (part, sequence) = *outstanding.sent.front()?;
            (part, sequence, self.idle_sent, outstanding.progress)
        };
        let expected = Expected {
            part,
            ids: Ids {
                connection: self.first_number + number,
                sequence,
            },
            connections: self.connections,
            sent,
            max_message: self.max_message,
        };
        Some((expected, progress))
    }

    fn keep_progress(&mut self, number: u32, lane: Option<&mut Lane>, progress: Progress) {
        if let Some(greeting) = self.greetings.get_mut(&number) {
            greeting.progress = progress;
        } else if let Some(lane) = lane {
            lane.progress = progress;
        } else if let Some(outstanding) = self.outstanding.get_mut(&number) {
            outstanding.progress = progress;
        }
    }

    /// Processes the input of a connection; returns how much is consumed. Not inlined, so that the path of an echo is short.
    #[inline(never)]
    pub(super) fn receive(
        &mut self,
        number: u32,
        mut lane: Option<&mut Lane>,
        replies: &mut Vec<Reply>,
        input: &[u8],
        outbox: &mut Outbox<'_>,
    ) -> usize {
        let mut consumed = 0;
        while consumed < input.len() {
            let rest = &input[consumed..];
            let next = self.next_expected(number, lane.as_deref());
            if next.is_none_or(|(_, progress)| progress == Progress::default()) {
                let part = next.map(|(expected, _)| expected.part);
                match self.skip(rest, part, outbox) {
                    None => return consumed,
                    Some(0) => {}
                    Some(length) => {
                        consumed += length;
                        continue;
                    }
                }
            }
            let Some((expected, mut progress)) = next else {
                self.buffers.note_unasked(rest);
                replies.push(Err(Mismatch::Unasked));
                return input.len();
            };
            self.rendered.clear();
            let (script, buffers) = (&self.script, &mut self.buffers);
            let answer = &mut self.rendered;
            let verdict = script.verify(rest, expected, &mut progress, buffers, answer);
            outbox.write(&self.rendered);
            match verdict {
                Verdict::Incomplete => {
                    if let Some(lane) = lane.as_deref_mut() {
                        lane.partial = rest.len();
                    }
                    self.keep_progress(number, lane, progress);
                    return consumed;
                }
                Verdict::Broken(mismatch) => {
                    self.on_reply(number, lane, replies, expected.part, Err(mismatch), outbox);
                    outbox.finish(match mismatch {
                        Mismatch::TooLong => Finish::TooLong,
                        _ => Finish::Malformed,
                    });
                    return input.len();
                }
                Verdict::Reply {
                    length,
                    result,
                    closes,
                } => {
                    consumed += length;
                    self.keep_progress(number, lane.as_deref_mut(), progress);
                    let part = expected.part;
                    self.on_reply(number, lane.as_deref_mut(), replies, part, result, outbox);
                    if closes {
                        self.on_close_announced(number, lane);
                        return input.len();
                    }
                }
            }
        }
        consumed
    }

    /// The length of input before the next reply that is none; `None` if that cannot be decided yet.
    fn skip(&mut self, rest: &[u8], part: Option<Part>, outbox: &mut Outbox<'_>) -> Option<usize> {
        self.rendered.clear();
        let part = part.unwrap_or(Part::Message);
        let skipped = self.script.skip(rest, part, &mut self.rendered)?;
        if !self.rendered.is_empty() {
            outbox.write(&self.rendered);
        }
        Some(skipped)
    }

    fn on_reply(
        &mut self,
        number: u32,
        lane: Option<&mut Lane>,
        replies: &mut Vec<Reply>,
        part: Part,
        result: Reply,
        outbox: &mut Outbox<'_>,
    ) {
        match part {
            Part::Hello(step) => match result {
                Ok(()) => self.greet_from(number, step + 1, outbox),
                // The connection closes with its hello incomplete.
                Err(_) => outbox.finish(Finish::Malformed),
            },
            Part::Message | Part::Keepalive => {
                match lane {
                    Some(lane) => lane.on_reply(),
                    None => self.on_idle_reply(number),
                }
                match part {
                    Part::Keepalive => self.notices.push((number, Notice::Keepalive(result))),
                    _ => replies.push(result),
                }
            }
        }
    }

    fn on_idle_reply(&mut self, number: u32) {
        if let Some(outstanding) = self.outstanding.get_mut(&number) {
            outstanding.sent.pop_front();
            outstanding.progress = Progress::default();
            if outstanding.sent.is_empty() {
                self.outstanding.remove(&number);
            }
        }
    }

    fn on_close_announced(&mut self, number: u32, lane: Option<&mut Lane>) {
        if self.is_greeting(number) {
            return;
        }
        match lane {
            Some(lane) => lane.hold = Hold::Closing,
            None => drop(self.closing.insert(number)),
        }
        self.notices.push((number, Notice::Closes));
    }

    /// The server has closed a connection; `rest` is what has arrived of an incomplete reply.
    pub(super) fn end(
        &mut self,
        number: u32,
        mut lane: Option<&mut Lane>,
        replies: &mut Vec<Reply>,
        rest: &[u8],
        outbox: &mut Outbox<'_>,
    ) {
        let Some((expected, mut progress)) = self.next_expected(number, lane.as_deref()) else {
            return;
        };
        if rest.is_empty() {
            return;
        }
        let (script, buffers) = (&self.script, &mut self.buffers);
        let result = script.verify_at_end(rest, expected, &mut progress, buffers);
        let part = expected.part;
        self.on_reply(number, lane.as_deref_mut(), replies, part, result, outbox);
        if progress.closes() {
            self.on_close_announced(number, lane);
        }
    }
}
