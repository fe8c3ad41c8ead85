//! The configuration of a server.

use super::Shortage;
use crate::connection::Limits;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// How the server treats its connections. The defaults are those of `echoloop serve`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most connections at a time; further ones are refused.
    pub max_connections: usize,
    /// The most connections from one source (an IPv4 address or an IPv6 /64) at a time; `None`: unlimited.
    pub max_per_source: Option<usize>,
    /// The most connections accepted per second, after a burst of as many; further ones stay in the accept queue.
    /// `None`: unlimited.
    pub accept_rate: Option<NonZeroU32>,
    /// The least rate in bytes per second at which a peer is to acknowledge its pending output, measured over the
    /// stall timeout; `None`: any byte is enough. It has no effect without [`stall_timeout`](Config::stall_timeout).
    pub min_rate: Option<NonZeroU64>,
    /// Bytes of pending output per peer above which the server stops reading from it.
    pub max_pending: usize,
    /// Bytes of buffer memory of all connections. Near the limit the server stops reading from the connections with the
    /// largest buffers, and evicts some of them.
    pub max_buffered: usize,
    /// Close a connection on which no byte was received and none acknowledged for this long; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Close a connection whose peer acknowledged no byte of its pending output for this long; `None`: never.
    pub stall_timeout: Option<Duration>,
    /// Close a connection whose session has not completed its handshake after this long; `None`: never.
    pub handshake_timeout: Option<Duration>,
    /// The most time that a drain takes; then the server closes the remaining connections.
    pub drain_timeout: Duration,
    /// The time to poll before each blocking wait.
    pub spin: Duration,
    /// Work that one connection may cause in one iteration ([`Limits::budget`]).
    pub budget: usize,
    /// The most connections that one listener accepts in one iteration.
    pub accepts_per_iteration: usize,
    /// The remedy for a shortage, appended to the warning in the log. The library has no flags to name, so the program
    /// provides the text.
    pub advice: fn(Shortage<'_>) -> String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_connections: 1_000_000,
            max_per_source: None,
            accept_rate: None,
            min_rate: None,
            max_pending: Limits::default().max_pending,
            max_buffered: 256 * 1024 * 1024,
            idle_timeout: None,
            stall_timeout: Some(Duration::from_secs(60)),
            handshake_timeout: None,
            drain_timeout: Duration::from_secs(10),
            spin: Duration::ZERO,
            budget: Limits::default().budget,
            accepts_per_iteration: 256,
            advice: |_| String::new(),
        }
    }
}
