//! Records that wait to be taken by the program.

use super::{Connections, Driver};
use crate::connection::CloseReason;
use crate::net::{Key, Net};
use crate::protocol::Protocol;
use crate::reactor::OutOfMemory;
use std::io;

impl<P: Protocol> Driver<P> {
    pub(super) fn queue_record(&mut self, key: Key) -> Result<(), OutOfMemory> {
        self.records.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.records.push_back(key);
        Ok(())
    }

    /// Whether a record waits to be taken.
    #[inline]
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// The connection whose record has waited longest to be taken.
    pub fn next_record<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        loop {
            let key = *self.records.front()?;
            if reactor.find(key).is_some() {
                return Some(key);
            }
            // It has been closed meanwhile.
            self.records.pop_front();
        }
    }

    /// Has `take` take what it will of the record of `key`, with the help of the world. Gives back how much that was,
    /// and why the connection has ended, if that was all; then [`close`](Driver::close) is to be called.
    ///
    /// # Errors
    /// What `take` says.
    pub fn hand_over<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        take: impl FnOnce(&mut N, &[u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, Option<CloseReason>)> {
        let Some((slot, net)) = reactor.find_with_net(key) else {
            return Ok((0, None));
        };
        let count = match slot.tenant.record() {
            Some(record) if !record.is_empty() => take(net, record)?,
            _ => 0,
        };
        let ended = slot.tenant.take_record(count, &mut self.common.pool);
        Ok((count, ended))
    }
}
