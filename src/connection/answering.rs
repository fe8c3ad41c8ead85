//! From the connection to its session: handing over what was read, and heeding what is said to it.

use super::held::hold;
use super::{CloseReason, Common, Connection, Fifo, MESSAGE_COST, Marks, State, Workbench};
use crate::net::Stream;
use crate::protocol::{Context, Finish, Outbox, Protocol, Session};

/// How many of the bytes received a line of the log shows.
const TRACED_BYTES: usize = 64;

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Counts and answers what one read has brought; `short`: it was less than asked for.
    #[inline(never)]
    pub(super) fn take_in<T: Stream>(
        &mut self,
        bytes: &[u8],
        short: bool,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        bench.becomes_holder();
        self.heed_short_read::<T>(short);
        self.count_in(bytes, bench.key.serial);
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
        self.count_in(bytes, bench.key.serial);
        let room = bench.common.limits.max_pending;
        let mut outbox = Outbox::new(bench.gathered, room);
        let context = Context {
            now: bench.now,
            shared: &mut bench.common.protocol,
        };
        let consumed = self.session.receive(bytes, context, &mut outbox);
        if consumed < bytes.len() || !outbox.is_ordinary() {
            bench.common.pool.current = bench.key;
            let said = self.heed(consumed.min(bytes.len()), &outbox, stream, bench.common)?;
            bench.charge(bytes.len() + said.work());
            return self.answer_rest(said, bytes, stream, bench).map(|()| false);
        }
        self.deliver_caught_up(outbox.bytes(), stream, bench.common, bench.key)
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
        let held = hold(&mut self.held, &bench.common.pool)?;
        held.input.push(fresh).map_err(|_| CloseReason::NoMemory)?;
        // What is kept of it is accounted when the session has seen it.
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
            bench.charge(said.work());
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
        let may_go_on = bench.budget() > 0 && said.consumed > 0 && !self.owes();
        if !said.filled_the_outbox || !may_go_on {
            self.hold_back(said.filled_the_outbox, bench)?;
            return Ok(Some(0));
        }
        Ok(None)
    }

    /// The peer has sent its FIN: the session speaks for the last time.
    pub(super) fn peer_ended<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        let rest = match self.held.as_deref_mut() {
            Some([held]) => std::mem::take(&mut held.input),
            None => Fifo::default(),
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
            State::Draining(reason) | State::Lingering(reason) if is_record => {
                State::HandingOver(reason)
            }
            State::Draining(reason) | State::Lingering(reason) => State::Ended(reason),
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
        let space = self.output_space(bench.common.limits.max_pending, &bench.common.pool);
        let mut outbox = Outbox::new(bench.gathered, space);
        let context = Context {
            now: bench.now,
            shared: &mut bench.common.protocol,
        };
        self.session.open(context, &mut outbox);
        if outbox.is_ordinary() && outbox.is_empty() {
            // Most say nothing until they are spoken to.
            return Ok(());
        }
        self.heed(0, &outbox, stream, bench.common).map(|_| ())
    }

    /// Calls the session and delivers what it says.
    pub(super) fn consult<T: Stream>(
        &mut self,
        input: &[u8],
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
        call: impl for<'a> FnOnce(&mut S, &'a [u8], Context<'_, S::Shared>, &mut Outbox<'a>) -> usize,
    ) -> Result<Said, CloseReason> {
        let space = self.output_space(bench.common.limits.max_pending, &bench.common.pool);
        let mut outbox = Outbox::new(bench.gathered, space);
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
            produced: outbox.bytes().len(),
            messages: outbox.messages(),
            filled_the_outbox: outbox.is_full(),
        })
    }

    /// The session has said its last word.
    #[cold]
    fn heed_finish(&mut self, reason: CloseReason) {
        match self.state {
            // The word is still to be said, and the peer to be heard.
            State::Connecting => {
                self.marks.set(Marks::SAID_ALL);
            }
            // There is no FIN to come any more.
            State::HalfClosed => self.state = State::Lingering(reason),
            _ => self.state = State::Draining(reason),
        }
    }
}

/// What a call of a session came to.
#[derive(Clone, Copy)]
pub(super) struct Said {
    /// How many bytes of the input it consumed.
    consumed: usize,
    /// How many bytes of output it produced.
    produced: usize,
    /// How many messages it answered.
    messages: usize,
    /// Whether it said so much that it should wait until the peer has read some of it.
    filled_the_outbox: bool,
}

impl Said {
    /// The work that the call was beyond its input, as [`Limits::budget`](super::Limits::budget) counts it: input is
    /// counted when it is read.
    fn work(self) -> usize {
        self.produced.saturating_sub(self.consumed) + MESSAGE_COST * self.messages
    }
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
