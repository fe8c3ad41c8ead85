//! The figures of a server at one moment, for monitoring.

use super::{Counters, IterationStats, Server};
use crate::connection::{Classes, Owner};
use crate::net::{Net, Time};
use crate::protocol::Protocol;

/// The figures of a server at one moment. To read them takes the same time for any number of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// The number of open connections.
    pub live: usize,
    /// The limit of open connections.
    pub max_connections: usize,
    /// The counters since the start of the server. `opened` includes connections that another process has kept in an
    /// upgrade.
    pub counters: Counters,
    /// Bytes received on all connections, also on those that are open.
    pub bytes_in: u64,
    /// Bytes that the kernel has accepted on all connections.
    pub bytes_out: u64,
    /// The iterations of the event loop, if they are [measured](Server::measure_iterations).
    pub iterations: Option<IterationStats>,
    /// Bytes of buffer memory of all connections.
    pub buffered: usize,
    /// The most bytes of buffer memory since the start.
    pub most_buffered: usize,
    /// The limit of buffer memory.
    pub max_buffered: usize,
    /// Connections that were reset while memory was scarce, to release their buffers.
    pub evicted: u64,
    /// Connections with a deadline.
    pub deadlines: Deadlines,
    /// Messages that were received, of a protocol that counts them.
    pub messages_received: Option<u64>,
    /// Whether a drain has started.
    pub is_draining: bool,
}

/// The number of connections with a deadline, by its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// Closed when idle for the idle timeout.
    pub idle: usize,
    /// Reset if the peer acknowledges no pending output for the stall timeout.
    pub stalled: usize,
    /// Closed after the server's FIN, even without the peer's.
    pub linger: usize,
    /// Closed if the handshake of the session takes too long.
    pub handshake: usize,
}

impl<N: Net, P: Protocol> Server<N, P> {
    /// The figures of the server now.
    pub fn figures(&self) -> Figures {
        let (reactor, service) = (&self.reactor, &self.service);
        let armed = |class| reactor.armed(class);
        let totals = service.totals();
        let messages = service.driver.common.protocol.messages_received();
        Figures {
            live: reactor.len(),
            max_connections: service.config.max_connections,
            counters: Counters {
                opened: totals.opened,
                ..service.counters.clone()
            },
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            iterations: service
                .iterations
                .as_ref()
                .map(|measured| measured.stats.clone()),
            buffered: service.driver.common.pool.held(),
            most_buffered: service.driver.common.pool.most(),
            max_buffered: service.config.max_buffered,
            evicted: service.evicted(),
            deadlines: Deadlines {
                idle: armed(Classes::IDLE) + armed(Classes::IDLE_RECHECK),
                stalled: armed(Classes::STALLED) + armed(Classes::STALLED_RECHECK),
                linger: armed(Classes::LINGER),
                handshake: armed(Classes::HANDSHAKE),
            },
            messages_received: messages.map(|_| totals.messages),
            is_draining: service.drain.is_some(),
        }
    }

    /// When the next iteration is due without an event; in the past: at once. A program whose own event loop watches the
    /// network of this server needs it.
    pub fn wakes_at(&self) -> Option<Time> {
        self.reactor.due(Owner::wake_at(&self.service))
    }
}
