//! Scripts: what a load sends on its connections, and how it recognizes the replies.
//!
//! A [`Script`] is read from TOML ([`file`]), is resolved for one run and one server, and is then only looked at: rendering
//! a message and verifying a reply allocate nothing once their buffers have grown. Everything here is pure: text and bytes
//! in, bytes and verdicts out.

mod ahead;
mod builtin;
mod check;
mod error;
mod exchange;
mod expected;
mod file;
#[cfg(test)]
mod file_tests;
mod http;
mod reply_end;
mod resp;
mod template;
#[cfg(test)]
mod tests;
mod texts;
mod websocket;

pub use error::ScriptError;
pub use texts::{TextEnd, Texts};

use crate::echo::Mismatch;
use check::Check;
use error::Fault;
pub(super) use exchange::Buffers;
use exchange::{Exchange, Expect, MASK};
pub(super) use expected::{Expected, Part, Verdict};
pub(super) use reply_end::Progress;
use reply_end::ReplyEnd;
use std::time::Duration;
pub(super) use template::Ids;

/// What a load sends, and what it expects.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    /// The exchanges after connecting, one after another.
    hello: Vec<Exchange>,
    message: Option<Exchange>,
    keepalive: Option<Keepalive>,
}

/// The message of idle connections.
#[derive(Clone, Debug)]
struct Keepalive {
    every: Duration,
    exchange: Exchange,
}

impl Script {
    /// The built-in scripts, by name. `echo` is none of them: it has no text.
    pub const BUILT_IN: [&'static str; 6] = builtin::NAMES;

    /// The built-in script with this name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Script> {
        let source = Script::source(name)?;
        Script::parse(name, source, |_| Err(std::io::ErrorKind::NotFound.into())).ok()
    }

    /// The text of the built-in script with this name.
    #[must_use]
    pub fn source(name: &str) -> Option<&'static str> {
        builtin::source(name)
    }

    /// Compiles the script in `source`, which was read from `file`; `read` reads further files that it names.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(
        file: &str,
        source: &str,
        read: impl FnMut(&str) -> std::io::Result<Vec<u8>>,
    ) -> Result<Script, ScriptError> {
        file::parse(file, source, read)
    }

    /// Its name, or the file that it was read from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has a message, for active connections and for probes.
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether the reply to a message shows to which connection it belongs.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        let expect = self
            .message
            .as_ref()
            .and_then(|message| message.expect.as_ref());
        expect.is_some_and(|expect| expect.checks.iter().any(Check::has_identity))
    }

    /// The script for one run, which `run` distinguishes from others, and for one server as it was given.
    ///
    /// # Errors
    /// A regular expression with these values is too large.
    pub fn resolve(&self, run: u64, target: &str) -> Result<Script, ScriptError> {
        let fail = |fault: Fault| ScriptError {
            file: self.name.clone(),
            place: None,
            what: fault.what,
            remedy: fault.remedy,
        };
        let resolve = |exchange: &Exchange| exchange.resolve(run, target).map_err(fail);
        Ok(Script {
            name: self.name.clone(),
            hello: self.hello.iter().map(resolve).collect::<Result<_, _>>()?,
            message: self.message.as_ref().map(resolve).transpose()?,
            keepalive: match &self.keepalive {
                Some(keepalive) => Some(Keepalive {
                    every: keepalive.every,
                    exchange: resolve(&keepalive.exchange)?,
                }),
                None => None,
            },
        })
    }

    /// How often idle connections send a keepalive.
    pub(super) fn keepalive_interval(&self) -> Option<Duration> {
        self.keepalive.as_ref().map(|keepalive| keepalive.every)
    }

    /// The size of the first message.
    pub(super) fn message_size(&self) -> usize {
        let mut out = Vec::new();
        self.render(Part::Message, Ids::default(), &mut out);
        out.len()
    }

    /// The number of steps of the hello.
    pub(super) fn hello_steps(&self) -> usize {
        self.hello.len()
    }

    fn exchange(&self, part: Part) -> Option<&Exchange> {
        match part {
            Part::Hello(step) => self.hello.get(step),
            Part::Message => self.message.as_ref(),
            Part::Keepalive => self.keepalive.as_ref().map(|keepalive| &keepalive.exchange),
        }
    }

    fn expect(&self, part: Part) -> Option<&Expect> {
        self.exchange(part)?.expect.as_ref()
    }

    /// Whether a message of this part gets a reply.
    pub(super) fn has_reply(&self, part: Part) -> bool {
        self.expect(part).is_some()
    }

    /// Replaces `out` by the message; empty if this part sends none.
    pub(super) fn render(&self, part: Part, ids: Ids, out: &mut Vec<u8>) {
        out.clear();
        let Some(send) = self
            .exchange(part)
            .and_then(|exchange| exchange.send.as_ref())
        else {
            return;
        };
        send.render(ids, out);
    }

    /// Looks at the reply that `input` begins with. `progress` is that of the last look at it; `buffer` is scratch memory;
    /// answers to WebSocket pings go to `answer`.
    pub(super) fn verify(
        &self,
        input: &[u8],
        expected: Expected,
        progress: &mut Progress,
        buffers: &mut Buffers,
        answer: &mut Vec<u8>,
    ) -> Verdict {
        let Some(expect) = self.expect(expected.part) else {
            return Verdict::Broken(Mismatch::Unasked);
        };
        expect.look(input, expected, progress, buffers, answer)
    }

    /// The result of the reply that was incomplete when the server closed the connection.
    pub(super) fn verify_at_end(
        &self,
        input: &[u8],
        expected: Expected,
        progress: &mut Progress,
        buffers: &mut Buffers,
    ) -> Result<(), Mismatch> {
        let Some(expect) = self.expect(expected.part) else {
            return Err(Mismatch::Unasked);
        };
        expect.look_at_end(input, expected, progress, buffers)
    }

    /// The length of input that is no reply: WebSocket control frames, whose answers go to `answer`; and anything if the
    /// script has no message. `None` if that cannot be decided yet.
    pub(super) fn skip(&self, input: &[u8], part: Part, answer: &mut Vec<u8>) -> Option<usize> {
        let expect = self.expect(part);
        if expect.is_some_and(|expect| expect.end == ReplyEnd::WebSocket) {
            return websocket::answer_control(input, MASK, answer);
        }
        let accepts_anything = self.message.is_none() && expect.is_none();
        Some(if accepts_anything { input.len() } else { 0 })
    }
}
