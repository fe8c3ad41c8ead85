//! From the connection to its session: passes input to the session and applies the results of its calls.

use super::reading::SMALL_READ;
use super::state::Event;
use super::{
    CloseReason, Common, Connection, Cx, DriveContext, Flags, MESSAGE_COST, Outcome, Pool, Result,
};
use crate::net::{Key, Stream};
use crate::protocol::{Context, Finish, Outbox, Protocol, Session};
use std::io::ErrorKind;

/// The number of received bytes that a log line shows.
const TRACED: usize = 64;

impl<S: Session> Connection<S> {
    /// Counts and answers the input of one read; `short`: it did not fill the buffer.
    #[inline(never)]
    pub(super) fn on_input<T: Stream>(
        &mut self,
        input: &[u8],
        short: bool,
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result {
        cx.moved.received = true;
        self.on_short_read::<T>(short);
        self.bytes_in += input.len() as u64;
        cx.common.bytes_in += input.len() as u64;
        if S::Shared::IS_LOGGED && logs_input() {
            trace(cx.key.serial, input);
        }
        self.answer(input, stream, cx)
    }

    /// As [`on_input`](Self::on_input), for a connection that is caught up: it has no kept input and no pending output.
    /// The outcome is `Input` if it is still caught up afterwards, else `Event` or `Closed`.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub(super) fn on_input_caught_up<T: Stream>(
        &mut self,
        input: &[u8],
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Outcome {
        self.bytes_in += input.len() as u64;
        cx.common.bytes_in += input.len() as u64;
        let mut outbox = Outbox::new(cx.write_buffer, cx.common.limits.max_pending);
        let context = Context::new(cx.key, cx.now, &mut cx.common.protocol).tagged(self.tag);
        let consumed = self.session.receive(input, context, &mut outbox);
        let holds = S::HOLDS_BYTES && self.session.held_bytes() > 0;
        if consumed < input.len() || !outbox.is_ordinary() || holds {
            let consumed = consumed.min(input.len());
            let result = self.apply_outbox(
                consumed,
                &outbox,
                stream,
                cx.common,
                cx.key,
                &mut cx.moved.sent,
            );
            return match result.and_then(|result| self.answer_rest(result, input, stream, cx)) {
                Ok(()) => Outcome::Event,
                Err(reason) => Outcome::Closed(reason),
            };
        }
        self.deliver_caught_up::<T, true>(outbox.bytes(), stream, cx.common, cx.key)
    }

    /// Continues after a call in which the session has not consumed all input.
    #[cold]
    #[inline(never)]
    fn answer_rest<T: Stream>(
        &mut self,
        result: CallResult,
        input: &[u8],
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result {
        cx.charge(input.len() + result.work);
        let rest = &input[result.consumed..];
        if rest.is_empty() {
            self.defer_input(result);
            return Ok(());
        }
        let consumed = match self.leave_rest(result, rest, cx) {
            Some(dropped) => dropped,
            None => self.receive(rest, stream, cx)?,
        };
        self.keep_input(&rest[consumed..], cx)
    }

    /// Passes the input that had arrived before a reset to the session, and drops its output. After a failed write, the
    /// kernel still has that input. A connection that keeps unconsumed input is left as it is.
    #[cold]
    pub fn receive_rest<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut DriveContext<'_, S::Shared>,
    ) {
        let buffers = cx.common.pool.buffers.get(self.buffers);
        if buffers.is_some_and(|buffers| !buffers.input.is_empty()) {
            return;
        }
        let mut piece = [0; SMALL_READ];
        while self.state.can_receive() {
            let count = match stream.read(&mut piece) {
                Ok(count) if count > 0 => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => return,
            };
            let mut outbox = Outbox::new(cx.write_buffer, cx.common.limits.max_pending);
            let context = Context::new(cx.key, cx.now, &mut cx.common.protocol).tagged(self.tag);
            if self.session.receive(&piece[..count], context, &mut outbox) < count {
                return;
            }
        }
    }

    /// Passes `fresh` input to the session, after the input that it has not consumed so far.
    fn answer<T: Stream>(&mut self, fresh: &[u8], stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        let pool = &mut cx.common.pool;
        let buffers = pool.buffers.get(self.buffers);
        if buffers.is_none_or(|buffers| buffers.input.is_empty()) {
            let consumed = self.receive(fresh, stream, cx)?;
            return self.keep_input(&fresh[consumed..], cx);
        }
        // The pool counts it after the call of the session.
        let kept = pool.hold(&mut self.buffers, cx.key)?.input.push(fresh);
        kept.map_err(|_| CloseReason::NoMemory)?;
        self.answer_kept_input(stream, cx)
    }

    /// Passes the unconsumed input to the session again.
    pub(super) fn answer_kept_input<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result {
        let mut input = self.take_input(&mut cx.common.pool);
        let consumed = self.receive(input.as_slice(), stream, cx);
        input.take(*consumed.as_ref().unwrap_or(&0));
        input.shrink();
        self.restore_input(input, cx)?;
        consumed.map(|_| ())
    }

    /// Calls the session until it consumes no more of `input`; returns the number of bytes not to be kept.
    fn receive<T: Stream>(
        &mut self,
        input: &[u8],
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result<usize> {
        let mut done = 0;
        loop {
            let result = self.call_session(&input[done..], stream, cx, S::receive)?;
            cx.charge(result.work);
            done += result.consumed;
            if done == input.len() {
                self.defer_input(result);
                return Ok(done);
            }
            if let Some(dropped) = self.leave_rest(result, &input[done..], cx) {
                return Ok(done + dropped);
            }
        }
    }

    /// Decides about the `rest` that the session has not consumed: `None` if the session is to be called again at once,
    /// else the number of bytes to drop.
    fn leave_rest(&mut self, result: CallResult, rest: &[u8], cx: &Cx<'_, S>) -> Option<usize> {
        if !self.state.can_receive() {
            // The session has ended the connection.
            return Some(rest.len());
        }
        let can_continue = cx.budget() > 0 && result.consumed > 0 && !self.has_pending_output();
        if result.filled_the_outbox && can_continue {
            return None;
        }
        // The session continues after output space, or after other connections were driven.
        let continues = result.filled_the_outbox || result.is_deferred;
        self.flags.set(Flags::INPUT_BLOCKED, continues);
        Some(0)
    }

    /// Has the session called again without input, if it requires that.
    fn defer_input(&mut self, result: CallResult) {
        if result.is_deferred && self.state.can_receive() {
            self.flags.insert(Flags::INPUT_BLOCKED);
            self.update_caught_up();
        }
    }

    /// The peer's FIN was read: the session is called for the last time.
    pub(super) fn on_eof<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        let rest = self.take_input(&mut cx.common.pool);
        let mut is_record = false;
        let input = rest.as_slice();
        self.call_session(input, stream, cx, |session, rest, context, outbox| {
            session.end(rest, context, outbox);
            is_record = outbox.finished() == Some(Finish::Record);
            rest.len()
        })?;
        self.on(Event::Eof {
            half_open: self.flags.contains(Flags::HALF_OPEN),
        });
        if is_record {
            self.on(Event::RecordHeld);
            self.flags.set(Flags::INPUT_BLOCKED, !rest.is_empty());
            return self.restore_input(rest, cx);
        }
        self.account(&mut cx.common.pool);
        Ok(())
    }

    /// Opens the session of an established connection, and sends its output.
    pub(super) fn greet<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        self.call_session(&[], stream, cx, |session, _, context, outbox| {
            session.open(context, outbox);
            0
        })?;
        Ok(())
    }

    /// Calls the session and applies its outbox.
    pub(super) fn call_session<'a, T: Stream>(
        &mut self,
        input: &'a [u8],
        stream: &mut T,
        cx: &'a mut Cx<'_, S>,
        method: impl FnOnce(&mut S, &'a [u8], Context<'_, S::Shared>, &mut Outbox<'a>) -> usize,
    ) -> Result<CallResult> {
        let space = self.output_space(cx.common.limits.max_pending, &cx.common.pool);
        let mut outbox = Outbox::new(cx.write_buffer, space);
        let context = Context::new(cx.key, cx.now, &mut cx.common.protocol).tagged(self.tag);
        let consumed = method(&mut self.session, input, context, &mut outbox);
        let consumed = consumed.min(input.len());
        if outbox.is_empty() && outbox.is_ordinary() {
            self.count_session(None, &mut cx.common.pool, cx.key)?;
            return Ok(CallResult::of(consumed, &outbox));
        }
        self.apply_outbox(
            consumed,
            &outbox,
            stream,
            cx.common,
            cx.key,
            &mut cx.moved.sent,
        )
    }

    /// Counts what the session holds after a call, and takes its record.
    #[inline]
    fn count_session(&mut self, finished: Option<Finish>, pool: &mut Pool, key: Key) -> Result {
        if !S::HOLDS_BYTES {
            return Ok(());
        }
        let record = match finished {
            Some(Finish::Record) => self.session.take_record(),
            _ => None,
        };
        if let Some(record) = record {
            self.on(Event::RecordHeld);
            self.flags.set(Flags::INPUT_BLOCKED, !record.is_empty());
            let kept = pool.hold(&mut self.buffers, key)?.input.push(&record);
            kept.map_err(|_| CloseReason::NoMemory)?;
        } else if self.session.held_bytes() > 0 {
            pool.hold(&mut self.buffers, key)?;
        }
        self.account(pool);
        Ok(())
    }

    /// Sends the output of a call in which the session consumed `consumed` bytes, and applies [`Outbox::finish`].
    #[inline(never)]
    fn apply_outbox<T: Stream>(
        &mut self,
        consumed: usize,
        outbox: &Outbox<'_>,
        stream: &mut T,
        common: &mut Common<S::Shared>,
        key: Key,
        sent: &mut bool,
    ) -> Result<CallResult> {
        if outbox.is_out_of_memory() {
            return Err(CloseReason::NoMemory);
        }
        if let Some(finish) = outbox.finished() {
            self.reason = finish.into();
            self.on(Event::Finished);
        }
        let before = self.bytes_out;
        let delivered = self.deliver(outbox.bytes(), stream, common, key);
        *sent |= self.bytes_out != before;
        delivered?;
        self.count_session(outbox.finished(), &mut common.pool, key)?;
        Ok(CallResult::of(consumed, outbox))
    }
}

/// The result of a call of a session.
#[derive(Clone, Copy)]
pub(super) struct CallResult {
    /// Bytes of input that the session consumed.
    consumed: usize,
    /// The work of the call beyond its input, as [`Limits::budget`](super::Limits::budget) counts it: input is counted
    /// when it is read.
    work: usize,
    /// Whether the session stopped because the outbox was full.
    filled_the_outbox: bool,
    /// Whether the session is to be called again without input.
    is_deferred: bool,
}

impl CallResult {
    #[inline]
    fn of(consumed: usize, outbox: &Outbox<'_>) -> CallResult {
        let additional = outbox.bytes().len().saturating_sub(consumed);
        CallResult {
            consumed,
            work: additional + MESSAGE_COST * outbox.messages(),
            filled_the_outbox: outbox.is_full(),
            is_deferred: outbox.is_deferred(),
        }
    }
}

/// Whether input is logged.
#[inline]
pub(super) fn logs_input() -> bool {
    log::max_level() == log::LevelFilter::Trace
}

/// Logs the first bytes of the input, with everything but printable ASCII escaped, since logs are read in terminals.
#[cold]
#[inline(never)]
fn trace(serial: u32, input: &[u8]) {
    log::trace!(
        "#{serial} received {} bytes: \"{}\"{}",
        input.len(),
        input[..input.len().min(TRACED)].escape_ascii(),
        if input.len() > TRACED { "..." } else { "" }
    );
}
