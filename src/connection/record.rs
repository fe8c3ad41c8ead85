//! Records: what a peer sent until its FIN, kept by its connection until the program has taken it.

use super::{CloseReason, Connection, Fifo, Pool, State};
use crate::protocol::{Protocol, Session};

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Makes a record of the input, which waits to be taken from now on.
    pub(super) fn keep_record(&mut self, record: Fifo, pool: &mut Pool) {
        if let Some([held]) = self.held.as_deref_mut() {
            held.input = record;
            held.input_is_held_back = true;
        }
        self.account(pool);
    }

    /// Lets go of what the session has not consumed: nothing more will come.
    pub(super) fn forget_input(&mut self, pool: &mut Pool) {
        if let Some([held]) = self.held.as_deref_mut() {
            held.input = Fifo::default();
            held.input_is_held_back = false;
        }
        self.account(pool);
    }

    /// What is still to be taken of the record, if there is one.
    pub fn record(&self) -> Option<&[u8]> {
        let input = self.held.as_deref().map(|[held]| held.input.as_slice());
        matches!(self.state, State::HandingOver(_)).then_some(input.unwrap_or_default())
    }

    /// So many bytes of the record have been taken. Gives back why the connection has ended, if that was all; its
    /// owner is to close it.
    pub(super) fn take_record(&mut self, count: usize, pool: &mut Pool) -> Option<CloseReason> {
        let State::HandingOver(reason) = self.state else {
            return None;
        };
        if let Some([held]) = self.held.as_deref_mut() {
            held.input.take(count);
        }
        self.account(pool);
        self.record()
            .is_some_and(<[u8]>::is_empty)
            .then_some(reason)
    }
}
