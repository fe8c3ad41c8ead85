//! Records that wait for the owner.

use super::{Connections, Driver};
use crate::connection::CloseReason;
use crate::net::{Key, Net};
use crate::protocol::Protocol;
use std::io;

impl<P: Protocol> Driver<P> {
    /// Whether a connection holds a record.
    #[inline]
    pub(crate) fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// The connection whose record has waited longest.
    pub(crate) fn next_record<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        loop {
            let key = self.records.front()?;
            if reactor.find(key).is_some() {
                return Some(key);
            }
            self.records.pop();
        }
    }

    /// Passes the rest of a record to `take`, which returns the number of bytes taken. Returns that number, and why the
    /// connection has ended if no bytes are left; then [`close`](Driver::close) is to be called.
    ///
    /// # Errors
    /// The error of `take`.
    pub(crate) fn take_record<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        take: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, Option<CloseReason>)> {
        let Some(slot) = reactor.find(key) else {
            return Ok((0, None));
        };
        let pool = &mut self.common.pool;
        let count = match slot.tenant.record(pool) {
            None => return Ok((0, None)),
            Some([]) => 0,
            Some(record) => take(record)?,
        };
        Ok((count, slot.tenant.take_record(count, pool)))
    }
}
