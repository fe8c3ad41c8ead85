//! Saves what connections share, and restores connections of another process.

use super::{Connections, Driver};
use crate::connection::{Connection, Flags, SavedConnection, is_handshaking};
use crate::net::{Key, Net, Time};
use crate::protocol::Protocol;
use crate::reactor::{KeyQueue, SavedSlot};
use std::collections::HashMap;
use std::io::{self, ErrorKind};

/// The queues of connections, and the state of eviction. A connection is named by its position in the order in which
/// the connections are saved; times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedQueues {
    /// The serial number of the last connection.
    pub last_serial: u32,
    /// Connections that run in the next iteration.
    pub run: Vec<u32>,
    /// Connections that wait for memory.
    pub memory: Vec<u32>,
    /// Connections that hold a record.
    pub records: Vec<u32>,
    /// The time since which memory has been scarce.
    pub scarce_since: Option<u64>,
    /// When connections that wait for memory are driven next without it.
    pub recheck_at: u64,
    /// Input bytes that were dropped after FIN was sent.
    pub bytes_dropped: u64,
}

/// Not inlined, so that the code exists once, not for each protocol.
#[inline(never)]
fn positions_in(queue: &KeyQueue, positions: &HashMap<Key, u32>) -> Vec<u32> {
    let positions = queue.iter().filter_map(|key| positions.get(&key).copied());
    positions.collect()
}

impl<P: Protocol> Driver<P> {
    /// The queues, with connections named by their positions in `keys`.
    pub(crate) fn save_queues<N: Net>(
        &self,
        reactor: &Connections<N, P>,
        positions: &HashMap<Key, u32>,
    ) -> SavedQueues {
        let of = |queue| positions_in(queue, positions);
        SavedQueues {
            last_serial: reactor.last_serial(),
            run: of(reactor.queued()),
            memory: of(&self.common.pool.waiting),
            records: of(&self.records),
            scarce_since: self.eviction.scarce_since.map(Time::as_nanos),
            recheck_at: self.eviction.recheck_at.as_nanos(),
            bytes_dropped: self.common.bytes_dropped,
        }
    }

    /// Restores a connection; its stream is registered for events, and not used.
    ///
    /// # Errors
    /// An invalid state, no memory, or the error of the selector.
    pub(crate) fn restore<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        stream: N::Stream,
        (slot, saved): (&SavedSlot, &SavedConnection),
        tag: u32,
    ) -> io::Result<Key> {
        let protocol = &mut self.common.protocol;
        let session = protocol.restored_session(is_handshaking(slot));
        let connection = Connection::restore(saved, session).ok_or(ErrorKind::InvalidData)?;
        let connection = connection.tagged(tag);
        let writable = connection.watches_writable();
        let key = reactor.restore(stream, slot, connection, writable)?;
        let pool = &mut self.common.pool;
        pool.connection_opened();
        let restored = match reactor.find(key) {
            Some(slot) => slot.tenant.restore_buffers(saved, pool, key),
            None => Ok(()),
        };
        restored.map_err(|_| ErrorKind::OutOfMemory)?;
        Ok(key)
    }

    /// Restores the queues, after all connections; `keys` has these in the order in which they were saved.
    ///
    /// # Errors
    /// A position that no connection has, a queue in which a connection cannot be, or no memory.
    pub(crate) fn restore_queues<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        saved: &SavedQueues,
        keys: &[Key],
    ) -> io::Result<()> {
        let key_at = |position: &u32| {
            let key = keys.get(*position as usize).copied();
            key.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))
        };
        for position in &saved.run {
            let queued = reactor.run_again(key_at(position)?);
            queued.map_err(|_| ErrorKind::OutOfMemory)?;
        }
        let pool = &mut self.common.pool;
        for position in &saved.records {
            let slot = reactor.get(key_at(position)?);
            // A queued connection without a record would stay the first of the queue.
            if slot.and_then(|slot| slot.tenant.record(pool)).is_none() {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        for (positions, queue, flag) in [
            (&saved.memory, &mut pool.waiting, Flags::WAITS_FOR_MEMORY),
            (&saved.records, &mut self.records, Flags::WAITS_FOR_OWNER),
        ] {
            for position in positions {
                let key = key_at(position)?;
                let queued = reactor.enqueue(queue, key);
                queued.map_err(|_| ErrorKind::OutOfMemory)?;
                let is_new = reactor.find(key).map(|slot| slot.tenant.set_new(flag));
                if is_new != Some(true) {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
        }
        reactor.set_last_serial(saved.last_serial);
        self.eviction.scarce_since = saved.scarce_since.map(Time::from_nanos);
        self.eviction.recheck_at = Time::from_nanos(saved.recheck_at);
        self.common.bytes_dropped = saved.bytes_dropped;
        Ok(())
    }
}
