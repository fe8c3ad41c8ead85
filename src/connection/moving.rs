//! From state to state: how a connection comes to stand, says that it has said all, and comes to its end.

use super::{CloseReason, Connection, Marks, Outcome, State, Workbench};
use crate::net::{Readiness, Stream};
use crate::protocol::{Protocol, Session};

/// How often a connection may use up the budget of a turn for what had come before it was to drain, but for the last
/// time.
///
/// With the usual budget that makes 32 MiB, as much as the kernel keeps for one connection unless told to (tcp(7),
/// `tcp_rmem`; 6 MiB before Linux 6.16). More is a flood, which would not end by itself.
pub(super) const TURNS_TO_LEAVE: u8 = 255;

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// From now on: answer what has come already, flush what is owed, send FIN and wait for the peer's. The connection
    /// is to be driven next.
    pub fn drain(&mut self) {
        match self.state {
            State::Open => {
                self.state = State::Leaving(TURNS_TO_LEAVE);
                // Whether there is input is not known, and no edge need come for it.
                self.note(Readiness::READABLE | Readiness::DRAIN);
            }
            State::Connecting => self.state = State::CalledOff,
            // The peer has said all, and what is owed is all that is left.
            State::HeardOut => self.state = State::Ended(CloseReason::Drained),
            // What is said now, nobody would answer.
            State::HalfClosed => self.state = State::Lingering(CloseReason::Drained),
            State::CalledOff
            | State::Leaving(_)
            | State::Draining(_)
            | State::Ended(_)
            | State::HandingOver(_)
            | State::Lingering(_) => {}
        }
    }

    /// From now on the peer's FIN only means that it has said all: it may still listen, and is spoken to until
    /// [`half_close`](Connection::half_close). For a client whose input goes on.
    pub fn speak_on(&mut self) {
        self.marks.set(Marks::SPEAKS_ON);
    }

    /// Nothing more will be said, as of a client at the end of its input: FIN follows what is owed, and the peer is
    /// listened to until it sends its own. What the session says after that is dropped.
    ///
    /// # Errors
    /// Why the connection has ended, as it does where the peer's FIN has come already; its owner is to close it.
    pub fn half_close<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        self.marks.set(Marks::SAID_ALL);
        self.send_fin_if_all_is_said(stream, bench)
    }

    fn send_fin_if_all_is_said<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        if !self.marks.has(Marks::SAID_ALL) || self.owes() {
            return Ok(());
        }
        match self.state {
            State::Open => {
                send_fin(stream, bench)?;
                self.state = State::HalfClosed;
                Ok(())
            }
            // Both have said all.
            State::HeardOut => Err(CloseReason::PeerClosed),
            _ => Ok(()),
        }
    }

    /// Whether something can still be said: our FIN is neither sent nor the next thing to be.
    pub(super) fn may_speak(&self) -> bool {
        let state = self.state;
        matches!(
            state,
            State::Connecting | State::Open | State::Leaving(_) | State::HeardOut
        ) && !self.marks.has(Marks::SAID_ALL)
    }

    pub(super) fn take_steps<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        if matches!(self.state, State::CalledOff) {
            return Err(CloseReason::Drained);
        }
        if self.is_connecting() && !self.finish_connecting(stream, bench)? {
            return Ok(Outcome::Event);
        }
        self.flush(stream, bench)?;
        let outcome = if self.may_receive() {
            self.read(stream, scratch, bench)?
        } else {
            Outcome::Event
        };
        self.move_on(outcome, stream, scratch, bench)
    }

    /// Takes the steps from state to state that nothing but owed bytes can hold up.
    fn move_on<T: Stream>(
        &mut self,
        outcome: Outcome,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        if let State::Leaving(turns) = self.state
            && outcome != Outcome::Memory
            && !self.owes()
        {
            if outcome == Outcome::Turn && turns > 0 {
                self.state = State::Leaving(turns - 1);
            } else {
                // All that had come is answered, or it is a flood.
                self.state = State::Draining(CloseReason::Drained);
                self.forget_input(&mut bench.common.pool);
            }
        }
        self.send_fin_if_all_is_said(stream, bench)?;
        match self.state {
            // There is nothing to give a receipt for.
            State::Draining(reason) if S::FIN_IS_RECEIPT => Err(reason),
            State::Draining(reason) if !self.owes() => {
                send_fin(stream, bench)?;
                self.state = State::Lingering(reason);
                self.note(Readiness::READABLE | Readiness::DRAIN);
                self.linger(reason, stream, scratch, bench)
            }
            State::Lingering(reason) => self.linger(reason, stream, scratch, bench),
            State::Ended(reason) if !self.owes() => Err(reason),
            State::HandingOver(_) if !self.owes() => Ok(Outcome::Taker),
            State::Draining(_) | State::Ended(_) | State::HandingOver(_) => Ok(Outcome::Event),
            State::Connecting
            | State::CalledOff
            | State::Open
            | State::HalfClosed
            | State::HeardOut
            | State::Leaving(_) => Ok(outcome),
        }
    }

    /// Whether there is something to be done at once, without any event: a session has ended the connection, and its
    /// peer is owed nothing but FIN.
    pub(super) fn is_to_end_now(&self) -> bool {
        matches!(self.state, State::Draining(_)) && !self.owes()
    }

    /// Looks whether a connection that was begun stands now; if so, opens the session.
    fn finish_connecting<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<bool, CloseReason> {
        if !self.readiness.contains(Readiness::WRITABLE) {
            return Ok(false);
        }
        let connected = stream.connected().map_err(|error| {
            bench.common.last_error = Some(error);
            CloseReason::ConnectFailed
        })?;
        if connected {
            self.state = State::Open;
            self.greet(stream, bench)?;
        } else {
            self.readiness = self.readiness.without(Readiness::WRITABLE);
        }
        Ok(connected)
    }
}

fn send_fin<T: Stream, P>(stream: &mut T, bench: &mut Workbench<'_, P>) -> Result<(), CloseReason> {
    stream.shutdown_write().map_err(|error| {
        bench.common.last_error = Some(error);
        CloseReason::PeerReset
    })
}
