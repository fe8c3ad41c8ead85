//! Records that wait for the program.

use super::{Connections, Driver};
use crate::connection::CloseReason;
use crate::net::{Key, Net};
use crate::protocol::Protocol;
use std::io;

impl<P: Protocol> Driver<P> {
    /// Whether a connection holds a record.
    #[inline]
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// The connection that has held its record longest.
    pub fn next_record<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        loop {
            let key = self.records.front()?;
            if reactor.find(key).is_some() {
                return Some(key);
            }
            self.records.pop();
        }
    }

    /// Passes the rest of a record to `take`, which returns how much of it it has taken. Returns that count, and why the
    /// connection has ended if it was all; then [`close`](Driver::close) is to be called.
    ///
    /// # Errors
    /// What `take` returns.
    pub fn take_record<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        take: impl FnOnce(&mut N, &[u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, Option<CloseReason>)> {
        let Some((slot, net)) = reactor.slot_and_net(key) else {
            return Ok((0, None));
        };
        let pool = &mut self.common.pool;
        let count = match slot.tenant.record(pool) {
            None => return Ok((0, None)),
            Some([]) => 0,
            Some(record) => take(net, record)?,
        };
        Ok((count, slot.tenant.take_record(count, pool)))
    }
}
