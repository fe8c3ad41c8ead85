//! The server: listeners, admission, counters and the drain.
//!
//! A [`Server`] consists of a [`Net`], a [`Protocol`] and a [`Config`]; [`Server::run`] serves until a signal stops it.

mod accepting;
mod counters;
mod draining;
mod messages;
mod records;
mod sources;
#[cfg(test)]
mod tests;
mod throttle;

pub use counters::{Counters, Refusal, Shortage};

use crate::connection::{Closed, Common, Connections, Driver, Limits, Owner, Pool, Timeouts};
use crate::net::{Key, ListenOptions, Net, Source, Time, backlog_in_force};
use crate::protocol::Protocol;
use crate::reactor::Reactor;
use accepting::Accepting;
use draining::Drain;
pub use records::RecordSink;
use records::Records;
use sources::Sources;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How the server treats its connections. The defaults are those of `echoloop serve`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most connections at a time; further ones are refused.
    pub max_connections: usize,
    /// The most connections from one source (an IPv4 address or an IPv6 /64) at a time; `None`: unlimited.
    pub max_per_source: Option<usize>,
    /// Bytes of pending output per peer above which the server stops reading from it.
    pub max_pending: usize,
    /// Bytes of buffer memory of all connections. Near the limit the server stops reading from the connections with the
    /// largest buffers, and evicts some of them.
    pub max_buffered: usize,
    /// Close a connection on which no byte was received and none acknowledged for this long; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Close a connection whose peer acknowledged no byte of its pending output for this long; `None`: never.
    pub stall_timeout: Option<Duration>,
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
    pub advice: fn(Shortage) -> String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_connections: 1_000_000,
            max_per_source: None,
            max_pending: Limits::default().max_pending,
            max_buffered: 256 * 1024 * 1024,
            idle_timeout: None,
            stall_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_secs(10),
            spin: Duration::ZERO,
            budget: Limits::default().budget,
            accepts_per_iteration: 256,
            advice: |_| String::new(),
        }
    }
}

/// Why a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A signal started a drain, and all connections have closed, at the latest when the drain expired.
    Drained,
    /// A second SIGTERM or SIGINT arrived during the drain, more than 500 ms after the first signal.
    Interrupted,
}

/// A server of the protocol `P` on the network `N`.
pub struct Server<N: Net, P: Protocol> {
    reactor: Connections<N, P>,
    service: Service<N, P>,
}

/// The state of the server beside the event loop.
struct Service<N: Net, P: Protocol> {
    driver: Driver<P>,
    accepting: Accepting<N>,
    counters: Counters,
    /// `None` if connections per source are not limited.
    sources: Option<Sources>,
    config: Config,
    drain: Option<Drain>,
    records: Records<N>,
    exit: Option<io::Result<Exit>>,
}

impl<N: Net, P: Protocol> Server<N, P> {
    /// Creates a server without listeners.
    pub fn new(net: N, protocol: P, config: Config) -> Self {
        let limits = Limits {
            max_pending: config.max_pending,
            budget: config.budget,
        };
        let common = Common::new(protocol, limits, config.max_buffered);
        let timeouts = Timeouts {
            idle: config.idle_timeout,
            stall: config.stall_timeout,
            connect: None,
        };
        Server {
            reactor: Reactor::new(net, timeouts.by_class(), config.spin),
            service: Service {
                driver: Driver::new(common),
                accepting: Accepting::new(),
                counters: Counters::default(),
                sources: config.max_per_source.map(Sources::new),
                config,
                drain: None,
                records: Records::new(),
                exit: None,
            },
        }
    }

    /// Listens on an address. Returns it, with the port that the kernel has chosen if 0 was given.
    ///
    /// # Errors
    /// The error of `socket`, `bind` or `listen`, such as an address that is in use or not local.
    pub fn listen(&mut self, options: &ListenOptions) -> io::Result<SocketAddr> {
        let net = &mut self.reactor.net;
        let address = self.service.accepting.listen(net, options)?;
        log::info!(
            "listening on {address} ({}, backlog {})",
            self.service.driver.common.protocol.name(),
            backlog_in_force(options.backlog)
        );
        Ok(address)
    }

    /// Where records go ([`Finish::Record`](crate::protocol::Finish::Record)), of a protocol that has them.
    pub fn set_record_sink(&mut self, sink: RecordSink<N>) {
        self.service.records.sink = sink;
    }

    /// Serves until a signal stops the server.
    ///
    /// # Errors
    /// The error of the selector or of a listener with which the server cannot continue.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn run(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.run_iteration()? {
                return Ok(exit);
            }
        }
    }

    /// Runs one iteration of the event loop. Returns why the server has stopped, if it has; then all connections are
    /// closed.
    ///
    /// # Errors
    /// As [`Server::run`].
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn run_iteration(&mut self) -> io::Result<Option<Exit>> {
        self.service.run_iteration(&mut self.reactor)?;
        self.service.resume_accepting(&mut self.reactor);
        self.service.continue_drain(&mut self.reactor);
        while self.service.send_messages(&mut self.reactor) {
            self.service.continue_drain(&mut self.reactor);
        }
        let exit = self.service.exit.take();
        if exit.is_some() {
            self.service.close_all(&mut self.reactor);
        }
        exit.transpose()
    }

    /// Starts a drain, as the first SIGTERM does: the next iterations answer the input that has arrived, flush the output,
    /// send FIN, and then return [`Exit::Drained`]. No effect if the server is draining already.
    pub fn drain(&mut self) {
        let now = self.reactor.net.now();
        self.service.begin_drain(&mut self.reactor, "stop", now);
    }

    /// The counters since the start of the server.
    pub fn counters(&self) -> &Counters {
        &self.service.counters
    }

    /// The number of open connections.
    pub fn live(&self) -> usize {
        self.reactor.len()
    }

    /// Bytes of buffer memory of all connections.
    pub fn buffered(&self) -> usize {
        self.service.driver.common.pool.held()
    }

    /// As [`buffered`](Server::buffered), but added up over the connections. For tests.
    pub fn count_buffered(&mut self) -> usize {
        let slots = 0..self.reactor.slots_end();
        let footprint = |index| {
            let slot = self.reactor.find(self.reactor.key_at(index)?)?;
            Some(slot.tenant.footprint(&self.service.driver.common.pool))
        };
        slots.filter_map(footprint).sum()
    }

    /// The next connection gets the serial number after this one. For tests.
    pub fn set_last_serial(&mut self, serial: u32) {
        self.reactor.set_last_serial(serial);
    }

    /// The buffer memory of all connections.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.service.driver.common.pool
    }

    /// Makes the allocation of slots and queue entries fail, and that of entries for new sources; or succeed again. For
    /// tests.
    pub fn set_out_of_memory(&mut self, slots: bool, sources: bool) {
        self.reactor.set_out_of_memory(slots);
        if let Some(table) = &mut self.service.sources {
            table.is_out_of_memory = sources;
        }
    }

    /// The network that the server runs on.
    pub fn net(&mut self) -> &mut N {
        &mut self.reactor.net
    }
}

impl<N: Net, P: Protocol> Owner<N, P> for Service<N, P> {
    const EVICTS: bool = true;

    #[inline]
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    fn source_ready(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        match source {
            Source::SIGNALS => self.on_signals(reactor),
            Source::STDOUT => self.records.writer.on_writable(),
            _ => self.accept(reactor, source),
        }
    }

    fn events_handled(&mut self, reactor: &mut Connections<N, P>) {
        if self.driver.has_records() {
            self.deliver_records(reactor);
        }
        self.fire_timer(reactor.now());
    }

    fn wake_at(&self) -> Option<Time> {
        let drain = self.drain.as_ref().map(Drain::wake_at);
        if self.records.has_more {
            return Some(Time::ZERO);
        }
        let evicts = self.driver.evicts_at();
        let others = self.accepting.paused_until.into_iter().chain(evicts);
        let due = drain.into_iter().chain(others).min();
        match self.driver.common.protocol.wake_at() {
            None => due,
            Some(at) => Some(due.map_or(at, |due| due.min(at))),
        }
    }

    fn closed(&mut self, _: &mut Connections<N, P>, key: Key, closed: Closed) {
        self.counters.count_closed(&closed);
        if let Some(sources) = &mut self.sources {
            sources.release(closed.tag);
        }
        self.accepting.on_fd_released();
        self.records.on_closed(key);
        self.driver.common.protocol.closed(key.into());
        let (reason, bytes_in, bytes_out) = (closed.reason, closed.bytes_in, closed.bytes_out);
        log::debug!(
            "#{} closed: {reason}, {bytes_in} bytes in, {bytes_out} out{}",
            key.serial,
            closed
                .error
                .map_or_else(String::new, |error| format!(" ({error})"))
        );
    }
}
