//! HTTP/1.1 and 1.0, for GET and HEAD of a few pages.
//!
//! At most one request is answered in an iteration of the event loop; the connections that wait take turns.

use super::Snapshot;
use super::pages::Pages;
use super::request::{Parsed, Persistence, Request, begins_with_head, parse};
use super::respond::{Content, Status, head};
use crate::protocol::{ConnectionId, Context, Finish, Outbox, Protocol, Session};
use crate::time::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// The pages, and what their sessions share.
#[derive(Debug)]
pub struct Http {
    pages: Pages,
    /// The time in which a head must arrive, if the server has such a limit.
    head_timeout: Option<Duration>,
    /// Whether a request may be answered in this iteration.
    may_respond: bool,
    /// The connections with a request that waits for its turn, in the order of their turns.
    waiting: VecDeque<ConnectionId>,
}

impl Http {
    /// Serves the pages of `snapshot`. With `head_timeout`, which is to be the handshake timeout of the server, a client
    /// whose head does not arrive in time gets a response.
    #[must_use]
    pub fn new(snapshot: Snapshot, head_timeout: Option<Duration>) -> Http {
        Http {
            pages: Pages::new(snapshot),
            head_timeout,
            may_respond: true,
            waiting: VecDeque::new(),
        }
    }

    /// From now on, the pages are those of `snapshot`.
    pub fn set_snapshot(&mut self, snapshot: Snapshot) {
        self.pages.set_snapshot(snapshot);
    }

    /// Whether the server drains, which `/healthz` reports.
    pub fn set_draining(&mut self, is_draining: bool) {
        self.pages.set_draining(is_draining);
    }

    /// Whether a connection may answer a request now. If not, it gets its turn in a later iteration.
    fn takes_turn(&mut self, id: ConnectionId) -> bool {
        let first = self.waiting.front();
        if self.may_respond && first.is_none_or(|first| *first == id) {
            self.may_respond = false;
            self.waiting.pop_front();
            return true;
        }
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        false
    }
}

impl Protocol for Http {
    type Session = HttpSession;
    const IS_LOGGED: bool = false;

    fn name(&self) -> &'static str {
        "admin"
    }

    /// The admin listener of a new process has other connections.
    fn is_transferable(&self) -> bool {
        false
    }

    fn session(&mut self) -> HttpSession {
        HttpSession {
            phase: Phase::New,
            head_since: Time::ZERO,
        }
    }

    fn begin_iteration(&mut self) {
        if self.may_respond {
            // The first of those that wait was not called in the last iteration: it holds the others up no longer.
            self.waiting.pop_front();
        }
        self.may_respond = true;
    }

    fn closed(&mut self, id: ConnectionId) {
        self.waiting.retain(|waiting| *waiting != id);
    }
}

/// The session of [`Http`].
#[derive(Debug)]
pub struct HttpSession {
    phase: Phase,
    /// When the time for a head began.
    head_since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was received.
    New,
    /// A part of a head was received.
    Head,
    /// The last request was answered, or waits for its turn.
    Idle,
    /// No further request is answered.
    Over,
}

impl Session for HttpSession {
    type Shared = Http;
    /// It has a handshake: a head must arrive within the time of one.
    const HOLDS_BYTES: bool = true;

    fn open(&mut self, context: Context<'_, Http>, _: &mut Outbox<'_>) {
        self.head_since = context.now;
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Http>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        if self.phase == Phase::Over {
            return input.len();
        }
        if input.is_empty() {
            return 0;
        }
        let (length, result) = match parse(input) {
            Parsed::Incomplete => {
                if self.phase == Phase::Idle {
                    self.head_since = context.now;
                }
                self.phase = Phase::Head;
                return 0;
            }
            Parsed::Request { length, request } => (length, Ok(request)),
            Parsed::Invalid(status) => (input.len(), Err(status)),
        };
        self.phase = Phase::Idle;
        if !context.shared.takes_turn(context.id) {
            outbox.defer();
            return 0;
        }
        outbox.count_message();
        match result {
            Ok(request) => self.respond(request, context.shared, outbox),
            Err(status) => {
                self.refuse(status, !begins_with_head(input), context.shared, outbox);
                outbox.finish(Finish::Malformed);
            }
        }
        if length < input.len() {
            outbox.defer();
        }
        length
    }

    fn end<'a>(&mut self, _: &'a [u8], _: Context<'_, Http>, _: &mut Outbox<'a>) {
        // Complete requests were answered before the FIN was read.
        self.phase = Phase::Over;
    }

    fn before_fin(&mut self, context: Context<'_, Http>, outbox: &mut Outbox<'_>) {
        let took = context.now.since(self.head_since);
        let timeout = context.shared.head_timeout;
        if self.phase == Phase::Head && timeout.is_some_and(|timeout| took >= timeout) {
            self.refuse(Status::REQUEST_TIMEOUT, true, context.shared, outbox);
        }
    }

    fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::New | Phase::Head)
    }
}

impl HttpSession {
    fn respond(&mut self, request: Request, http: &mut Http, outbox: &mut Outbox<'_>) {
        let time = http.pages.time();
        let refusal;
        let (status, content) = match request.page {
            Ok(page) => http.pages.content(page),
            Err(status) => {
                refusal = Content::text(status.explanation());
                (status, &refusal)
            }
        };
        let head = head(status, content, time, request.connection);
        outbox.write(head.as_bytes());
        if !request.is_head {
            outbox.write(content.body.as_bytes());
        }
        if request.connection == Persistence::Close {
            self.phase = Phase::Over;
            outbox.finish(Finish::Done);
        }
    }

    /// Answers what is no valid request. The rest of the input may belong to it, so nothing more is answered, and the
    /// connection is to close.
    fn refuse(&mut self, status: Status, has_body: bool, http: &mut Http, outbox: &mut Outbox<'_>) {
        let content = Content::text(status.explanation());
        let head = head(status, &content, http.pages.time(), Persistence::Close);
        outbox.write(head.as_bytes());
        if has_body {
            outbox.write(content.body.as_bytes());
        }
        self.phase = Phase::Over;
    }
}

#[cfg(test)]
mod tests;
