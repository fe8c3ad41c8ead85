//! From the socket to the session: reading, and handing over what was read.

use super::{CloseReason, Common, Connection, Marks, Outcome, SMALL_READ, State, Workbench};
use crate::net::{Readiness, Stream};
use crate::protocol::{Context, Finish, Outbox, Protocol, Session};
use std::io::{self, ErrorKind};

/// How many of the bytes received a line of the log shows.
const TRACED_BYTES: usize = 64;

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Reads and answers until there is no more input, the peer is owed too much, or the budget, of which `used` bytes
    /// are used up already, has come to its end.
    pub(super) fn read<T: Stream>(
        &mut self,
        used: usize,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let limits = bench.common.limits;
        let size = bench.common.read_size.min(scratch.len());
        let mut budget = limits.budget.saturating_sub(used);
        while self.may_receive() && self.readiness.contains(Readiness::READABLE) {
            if self.owes() && (self.owed() + size > limits.max_pending || self.holds_back()) {
                return Ok(Outcome::Event);
            }
            if budget == 0 {
                return Ok(Outcome::Turn);
            }
            let Some(size) = self.size_of_read(size, stream, bench) else {
                return Ok(Outcome::Memory);
            };
            let asked = size.min(budget);
            match stream.read(&mut scratch[..asked]) {
                Ok(count) if count > 0 => {
                    budget -= count;
                    self.take_in(&scratch[..count], count < asked, stream, bench)?;
                }
                found => self.take_rarity(found, stream, bench)?,
            }
        }
        Ok(Outcome::Event)
    }

    /// How much may be read at once, at most `size`; nothing while that would take memory that there is not.
    ///
    /// While memory is scarce, those are still served whose answers the kernel takes, a little at a time: it is not
    /// they who hold the memory, and nothing of theirs will be held.
    fn size_of_read<T: Stream, P>(
        &mut self,
        size: usize,
        stream: &mut T,
        bench: &Workbench<'_, P>,
    ) -> Option<usize> {
        self.marks.clear(Marks::WAITS_FOR_ROOM);
        if bench.may_read() {
            return Some(size);
        }
        if self.held.is_some() || bench.common.pool.is_full() {
            return None;
        }
        if stream.takes_output() {
            return Some(size.min(SMALL_READ));
        }
        self.readiness = self.readiness.without(Readiness::WRITABLE);
        self.marks.set(Marks::WAITS_FOR_ROOM);
        None
    }

    /// Counts and answers what one read has brought; `short`: it was less than asked for.
    #[inline(never)]
    pub(super) fn take_in<T: Stream>(
        &mut self,
        bytes: &[u8],
        short: bool,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        self.heed_short_read::<T>(short);
        self.count_in(bytes, bench.serial);
        self.answer(bytes, stream, bench)
    }

    /// As [`take_in`](Self::take_in), for a connection that is caught up: nothing is held, so nothing stands before
    /// these bytes nor before their answer. True when it is caught up still.
    #[expect(clippy::inline_always, reason = "on the way of every byte")]
    #[inline(always)]
    pub(super) fn take_in_caught_up<T: Stream>(
        &mut self,
        bytes: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<bool, CloseReason> {
        self.count_in(bytes, bench.serial);
        let room = bench.common.limits.max_pending;
        let mut outbox = Outbox::new(bench.gathered, room);
        let context = Context {
            now: bench.now,
            shared: &mut bench.common.protocol,
        };
        let consumed = self.session.receive(bytes, context, &mut outbox);
        if consumed < bytes.len() || !outbox.is_ordinary() {
            let said = self.heed(consumed.min(bytes.len()), &outbox, stream, bench.common)?;
            return self.answer_rest(said, bytes, stream, bench).map(|()| false);
        }
        self.deliver_caught_up(outbox.bytes(), stream, bench.common)
    }

    #[expect(clippy::inline_always, reason = "on the way of every byte")]
    #[inline(always)]
    fn count_in(&mut self, bytes: &[u8], serial: u32) {
        self.bytes_in += bytes.len() as u64;
        if log::max_level() == log::LevelFilter::Trace {
            trace(serial, bytes);
        }
    }

    /// Goes on with input of which the session has `said` that it did not consume all.
    #[cold]
    #[inline(never)]
    fn answer_rest<T: Stream>(
        &mut self,
        said: Said,
        bytes: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        let rest = &bytes[said.consumed..];
        if rest.is_empty() {
            return Ok(());
        }
        let consumed = match self.leave_rest(said, rest, bench)? {
            Some(dropped) => dropped,
            None => self.receive(rest, stream, bench)?,
        };
        self.keep_input(&rest[consumed..], bench)
    }

    /// Heeds what a read brings but rarely: the peer's FIN, nothing, an error.
    #[cold]
    #[inline(never)]
    pub(super) fn take_rarity<T: Stream>(
        &mut self,
        found: io::Result<usize>,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        match found {
            Ok(_) => self.peer_ended(stream, bench),
            Err(error) => self.heed_read_error(error, bench),
        }
    }

    fn heed_short_read<T: Stream>(&mut self, short: bool) {
        if short && super::short_read_drains::<T>(self.readiness) {
            self.readiness = self.readiness.without(Readiness::READABLE);
        }
    }

    fn heed_read_error(
        &mut self,
        error: io::Error,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        match error.kind() {
            ErrorKind::WouldBlock => {
                let drained = Readiness::READABLE | Readiness::DRAIN;
                self.readiness = self.readiness.without(drained);
                Ok(())
            }
            ErrorKind::Interrupted => Ok(()),
            _ => {
                let reason = CloseReason::of_read_error(&error);
                bench.common.last_error = Some(error);
                Err(reason)
            }
        }
    }

    /// Hands `fresh` bytes to the session, behind what it has not consumed so far.
    fn answer<T: Stream>(
        &mut self,
        fresh: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        if self
            .held
            .as_ref()
            .is_none_or(|held| held[0].input.is_empty())
        {
            let consumed = self.receive(fresh, stream, bench)?;
            return self.keep_input(&fresh[consumed..], bench);
        }
        self.keep_input(fresh, bench)?;
        self.answer_kept_input(stream, bench)
    }

    /// Hands the session once more what it has not consumed.
    pub(super) fn answer_kept_input<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        let Some([held]) = self.held.as_deref_mut() else {
            return Ok(());
        };
        let mut input = std::mem::take(&mut held.input);
        let consumed = self.receive(input.as_slice(), stream, bench);
        input.take(*consumed.as_ref().unwrap_or(&0));
        input.give_back();
        if let Some([held]) = self.held.as_deref_mut() {
            held.input_is_held_back &= !input.is_empty();
            held.input = input;
        }
        self.account(&mut bench.common.pool);
        consumed.map(|_| ())
    }

    /// Lets the session answer as much of `input` as it will, and says how much of it is done with.
    fn receive<T: Stream>(
        &mut self,
        input: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<usize, CloseReason> {
        let mut done = 0;
        loop {
            let said = self.consult(&input[done..], stream, bench, receive)?;
            done += said.consumed;
            if done == input.len() {
                return Ok(done);
            }
            if let Some(dropped) = self.leave_rest(said, &input[done..], bench)? {
                return Ok(done + dropped);
            }
        }
    }

    /// What becomes of the `rest` that the session has not consumed: `None` when it is to be called again at once, else
    /// how much of the rest is for nobody.
    fn leave_rest(
        &mut self,
        said: Said,
        rest: &[u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Option<usize>, CloseReason> {
        if !self.may_receive() {
            // The session has ended the connection: nothing more is for it.
            return Ok(Some(rest.len()));
        }
        if !said.filled_the_outbox || said.consumed == 0 || self.owes() {
            self.hold_back(said.filled_the_outbox, bench)?;
            return Ok(Some(0));
        }
        Ok(None)
    }

    /// The peer has sent its FIN: the session speaks for the last time.
    fn peer_ended<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        let rest = match self.held.as_deref_mut() {
            Some([held]) => std::mem::take(&mut held.input),
            None => super::Fifo::default(),
        };
        let mut is_record = false;
        self.consult(
            rest.as_slice(),
            stream,
            bench,
            |session, rest, context, outbox| {
                session.end(rest, context, outbox);
                is_record = outbox.finished() == Some(Finish::Record);
                rest.len()
            },
        )?;
        let speaks_on = self.marks.has(Marks::SPEAKS_ON) && !self.marks.has(Marks::SAID_ALL);
        self.state = match self.state {
            State::Draining(reason) if is_record => State::HandingOver(reason),
            State::Draining(reason) => State::Ended(reason),
            State::Open if speaks_on => State::HeardOut,
            _ => State::Ended(CloseReason::PeerClosed),
        };
        if is_record {
            self.keep_record(rest, &mut bench.common.pool);
        } else {
            self.account(&mut bench.common.pool);
        }
        Ok(())
    }

    /// Opens the session of a connection that stands; what it says goes out.
    pub(super) fn greet<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        self.consult(&[], stream, bench, |session, _, context, outbox| {
            session.open(context, outbox);
            0
        })
        .map(|_| ())
    }

    /// Calls the session and delivers what it says.
    pub(super) fn consult<T: Stream>(
        &mut self,
        input: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
        call: impl for<'a> FnOnce(&mut S, &'a [u8], Context<'_, S::Shared>, &mut Outbox<'a>) -> usize,
    ) -> Result<Said, CloseReason> {
        let room = bench.common.limits.max_pending;
        let mut outbox = Outbox::new(bench.gathered, room.saturating_sub(self.owed()));
        let context = Context {
            now: bench.now,
            shared: &mut bench.common.protocol,
        };
        let consumed = call(&mut self.session, input, context, &mut outbox);
        self.heed(consumed.min(input.len()), &outbox, stream, bench.common)
    }

    /// Delivers what a session has said in a call that consumed so many bytes, and does what it asks for.
    #[inline(never)]
    fn heed<T: Stream>(
        &mut self,
        consumed: usize,
        outbox: &Outbox<'_>,
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result<Said, CloseReason> {
        if outbox.is_out_of_memory() {
            return Err(CloseReason::NoMemory);
        }
        if let Some(finish) = outbox.finished() {
            self.heed_finish(finish.into());
        }
        self.deliver(outbox.bytes(), stream, common)?;
        Ok(Said {
            consumed,
            filled_the_outbox: outbox.is_full(),
        })
    }

    /// The session has said its last word.
    #[cold]
    fn heed_finish(&mut self, reason: CloseReason) {
        if self.is_connecting() {
            // The word is still to be said, and the peer to be heard.
            self.marks.set(Marks::SAID_ALL);
        } else {
            self.state = State::Draining(reason);
        }
    }

    /// After our FIN: reads and drops until the peer's FIN, or an error, which comes to the same.
    pub(super) fn linger<T: Stream>(
        &mut self,
        reason: CloseReason,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let mut budget = bench.common.limits.budget;
        while self.readiness.contains(Readiness::READABLE) {
            if budget == 0 {
                return Ok(Outcome::Turn);
            }
            match stream.read(scratch) {
                Ok(0) => return Err(reason),
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    bench.common.bytes_dropped += count as u64;
                    self.heed_short_read::<T>(count < scratch.len());
                }
                Err(error) => self.heed_read_error(error, bench).map_err(|_| reason)?,
            }
        }
        Ok(Outcome::Event)
    }
}

/// What a call of a session came to.
#[derive(Clone, Copy)]
pub(super) struct Said {
    /// How many bytes of the input it consumed.
    consumed: usize,
    /// Whether it said so much that it should wait until the peer has read some of it.
    filled_the_outbox: bool,
}

/// [`Session::receive`], as `consult` calls it.
#[inline]
fn receive<'a, S: Session>(
    session: &mut S,
    input: &'a [u8],
    context: Context<'_, S::Shared>,
    outbox: &mut Outbox<'a>,
) -> usize {
    session.receive(input, context, outbox)
}

/// Shows the beginning of what was received, with everything but printable ASCII escaped: a log is read in terminals.
#[cold]
#[inline(never)]
fn trace(serial: u32, received: &[u8]) {
    log::trace!(
        "#{serial} received {} bytes: \"{}\"{}",
        received.len(),
        received[..received.len().min(TRACED_BYTES)].escape_ascii(),
        if received.len() > TRACED_BYTES {
            "..."
        } else {
            ""
        }
    );
}
