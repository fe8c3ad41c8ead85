//! Saves the state of a server as plain data, and restores it in the process that takes over its connections.
//!
//! A server with saved state continues where the other has stopped: partial messages, pending output, deadlines, queues,
//! counters and the numbers of the connections are the same. Its clock is to continue the clock of the other
//! ([`MioNet::set_origin`](crate::net::MioNet::set_origin)), since all times are in terms of it.

use super::accepting::SavedAccepting;
use super::sources::UNCOUNTED;
use super::totals::sum;
use super::{Counters, Server, Totals};
use crate::connection::{self, MAX_COUNT, SavedQueues, is_handshaking};
use crate::net::{Key, Net};
use crate::protocol::{Protocol, UNADMITTED};
use crate::reactor::SavedSlot;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The state of a server beside its listeners and connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedServer {
    /// The number of connections.
    pub connections: u32,
    /// Connections that were admitted.
    pub opened: u64,
    /// Closed connections, by the number of the reason.
    pub closed: Vec<u64>,
    /// Refused connections, by the number of the cause.
    pub refused: Vec<u64>,
    /// Connections that failed before they were accepted.
    pub accept_failed: u64,
    /// Pauses of accepting.
    pub accept_paused: u64,
    /// Pauses of accepting because of the limit of connections per second. Left out if there are none, as below.
    #[cfg_attr(feature = "program", serde(default, skip_serializing_if = "is_zero"))]
    pub accept_limited: u64,
    /// Bytes received on closed connections.
    pub bytes_in: u64,
    /// Bytes sent on closed connections.
    pub bytes_out: u64,
    /// The state of accepting.
    pub accepting: SavedAccepting,
    /// The queues of connections.
    pub queues: SavedQueues,
    /// The connection whose record is partly delivered, and how many bytes of it.
    pub delivered: Option<(u32, u64)>,
    /// Connections that were evicted. Left out if there are none: earlier versions have no such field, and ignore it.
    #[cfg_attr(feature = "program", serde(default, skip_serializing_if = "is_zero"))]
    pub evicted: u64,
    /// What was counted in all, also of connections that are not passed on. Left out if it is zero, as above.
    #[cfg_attr(
        feature = "program",
        serde(default, skip_serializing_if = "Totals::is_zero")
    )]
    pub totals: Totals,
}

/// The state of one connection of a server, beside its socket and its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedConnection {
    /// Its slot in the event loop.
    pub slot: SavedSlot,
    /// The connection itself.
    pub connection: connection::SavedConnection,
    /// The source that it is counted for, if connections per source are limited.
    pub source: Option<u128>,
}

impl SavedServer {
    /// Whether no number that grows by what happens later is too large.
    #[inline(never)]
    fn can_grow(&self) -> bool {
        let counters = [
            self.accept_failed,
            self.accept_paused,
            self.accept_limited,
            self.bytes_in,
            self.bytes_out,
            self.queues.bytes_dropped,
            self.evicted,
            self.delivered.map_or(0, |(_, bytes)| bytes),
        ];
        let lists = self.closed.iter().chain(&self.refused).copied();
        let suppressed = self.accepting.throttles.map(|(_, count)| count);
        let totals = self.totals.counts();
        let mut all = counters
            .into_iter()
            .chain(lists)
            .chain(suppressed)
            .chain(totals);
        all.all(|count| count < MAX_COUNT)
    }
}

impl<N: Net, P: Protocol> Server<N, P> {
    /// The state of a server that does not drain, and its connections in the order in which they are to be restored.
    pub fn save(&self) -> (SavedServer, Vec<Key>) {
        let keys = if self.service.driver.common.protocol.is_transferable() {
            self.reactor.keys_by_deadline()
        } else {
            Vec::new()
        };
        let positions = positions_of(&keys);
        let service = &self.service;
        let counters = &service.counters;
        let delivered = service.records.delivered();
        let delivered =
            delivered.and_then(|(key, bytes)| Some((positions.get(&key).copied()?, bytes)));
        let saved = SavedServer {
            connections: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            opened: counters.closed_in_all() + keys.len() as u64,
            closed: without_trailing_zeros(&counters.closed),
            refused: without_trailing_zeros(&counters.refused),
            accept_failed: counters.accept_failed,
            accept_paused: counters.accept_paused,
            accept_limited: counters.accept_limited,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            accepting: service.accepting.save(),
            queues: service.driver.save_queues(&self.reactor, &positions),
            delivered,
            evicted: service.evicted(),
            totals: service.totals(),
        };
        (saved, keys)
    }

    /// The state of a connection, and its socket.
    pub fn save_connection(&self, key: Key) -> Option<(SavedConnection, &N::Stream)> {
        let slot = self.reactor.get(key)?;
        let sources = self.service.sources.as_ref();
        let saved = SavedConnection {
            slot: self.reactor.save(key)?,
            connection: slot.tenant.save(&self.service.driver.common.pool),
            source: sources.and_then(|sources| sources.prefix(slot.tenant.tag())),
        };
        Some((saved, &slot.stream))
    }

    /// The network, to read it.
    pub fn network(&self) -> &N {
        &self.reactor.net
    }

    /// The name of the protocol.
    pub fn protocol_name(&self) -> &str {
        self.service.driver.common.protocol.name()
    }

    /// The open listeners.
    pub fn listeners(&self) -> impl Iterator<Item = &N::Listener> {
        self.service.accepting.open_listeners()
    }

    /// Adds a listener of the other process. Returns its address.
    ///
    /// # Errors
    /// The error of the selector or of getsockname(2).
    pub fn restore_listener(&mut self, listener: N::Listener) -> io::Result<SocketAddr> {
        let net = &mut self.reactor.net;
        self.service.accepting.restore_listener(net, listener)
    }

    /// Adds a connection of the other process. Its socket is registered for events and not used, so the other process
    /// may continue if this one fails.
    ///
    /// # Errors
    /// An invalid state, no memory, or the error of the selector.
    pub fn restore_connection(
        &mut self,
        stream: N::Stream,
        saved: &SavedConnection,
    ) -> io::Result<Key> {
        let service = &mut self.service;
        let is_proxied = service.driver.common.protocol.proxies().is_some();
        let tag = match (&mut service.sources, saved.source) {
            // It is reported again.
            (_, None) if is_proxied && is_handshaking(&saved.slot) => UNADMITTED,
            (Some(_), None) if is_proxied => UNCOUNTED,
            (None, None) => 0,
            (Some(sources), Some(prefix)) => {
                let index = sources.restore(prefix);
                index.map_err(|_| ErrorKind::OutOfMemory)?
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        let common = &mut service.driver.common;
        common.bytes_in = sum(common.bytes_in, saved.connection.bytes_in);
        common.bytes_out = sum(common.bytes_out, saved.connection.bytes_out);
        let states = (&saved.slot, &saved.connection);
        service
            .driver
            .restore(&mut self.reactor, stream, states, tag)
    }

    /// Completes the state of the other process, after its listeners and connections; `keys` has the connections in the
    /// order in which they were saved.
    ///
    /// # Errors
    /// An invalid state, or no memory.
    pub fn restore(&mut self, saved: &SavedServer, keys: &[Key]) -> io::Result<()> {
        let invalid = || io::Error::from(ErrorKind::InvalidData);
        if !saved.can_grow() {
            return Err(invalid());
        }
        let service = &mut self.service;
        service
            .driver
            .restore_queues(&mut self.reactor, &saved.queues, keys)?;
        let counters = Counters {
            opened: saved.opened,
            closed: padded(&saved.closed).ok_or_else(invalid)?,
            refused: padded(&saved.refused).ok_or_else(invalid)?,
            accept_failed: saved.accept_failed,
            accept_paused: saved.accept_paused,
            accept_limited: saved.accept_limited,
            bytes_in: saved.bytes_in,
            bytes_out: saved.bytes_out,
        };
        let live = keys.len() as u64;
        let mut closed = counters.closed.iter();
        let opened = closed.try_fold(live, |sum, count| sum.checked_add(*count));
        if opened != Some(counters.opened) || !service.accepting.restore(&saved.accepting) {
            return Err(invalid());
        }
        service.continue_totals(counters, saved.evicted, saved.totals);
        if let Some((position, bytes)) = saved.delivered {
            let key = keys.get(position as usize).ok_or_else(invalid)?;
            service.records.restore_delivered(*key, bytes);
        }
        Ok(())
    }
}

#[cfg(feature = "program")]
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is that of serde"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

// Not inlined, so that the code exists once, not for each protocol.

#[inline(never)]
fn positions_of(keys: &[Key]) -> HashMap<Key, u32> {
    keys.iter().copied().zip(0..).collect()
}

/// Counters for a version that may have fewer of them, which rejects a longer list.
#[inline(never)]
fn without_trailing_zeros(counters: &[u64]) -> Vec<u64> {
    let used = counters.iter().rposition(|count| *count > 0);
    counters[..used.map_or(0, |last| last + 1)].to_vec()
}

/// Counters of a version that may have had fewer of them.
#[inline(never)]
fn padded<const COUNT: usize>(saved: &[u64]) -> Option<[u64; COUNT]> {
    let mut counters = [0; COUNT];
    counters.get_mut(..saved.len())?.copy_from_slice(saved);
    Some(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_counters_are_not_saved_and_restored_as_zero() {
        let saved = without_trailing_zeros(&[0, 5, 0, 2, 0, 0]);
        assert_eq!(saved, [0, 5, 0, 2]);
        assert_eq!(padded::<4>(&saved), Some([0, 5, 0, 2]), "an older version");
        assert_eq!(padded::<6>(&saved), Some([0, 5, 0, 2, 0, 0]));
        assert_eq!(padded::<3>(&saved), None, "it has no such counter");
        assert!(without_trailing_zeros(&[0, 0]).is_empty());
    }
}
