//! The server: listeners, who is let in, what is counted, and how it stops.
//!
//! In come a [`Net`], a [`Protocol`] and a [`Config`]; [`Server::run`] then serves until a signal has drained it.

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
    /// How many connections there may be; further ones are refused.
    pub max_connections: usize,
    /// How many connections there may be from one source (an IPv4 address, or an IPv6 /64); `None`: any number.
    pub max_per_source: Option<usize>,
    /// Bytes of pending output per peer above which the server stops reading from it.
    pub max_pending: usize,
    /// Bytes of memory that all connections hold together; near it those with much are not read, and some are evicted.
    pub max_buffered: usize,
    /// Close a connection on which no byte was received and none acknowledged for this long; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Close a connection whose peer acknowledged no byte of its pending output for this long; `None`: never.
    pub stall_timeout: Option<Duration>,
    /// How long a drain may take before what is left is cut short.
    pub drain_timeout: Duration,
    /// For how long to poll without sleeping before each sleep.
    pub spin: Duration,
    /// Work that one connection may cause in one iteration ([`Limits::budget`]).
    pub budget: usize,
    /// Connections that one listener takes in one turn, before it is the connections' turn.
    pub accepts_per_turn: usize,
    /// The remedy for a shortage, appended to the warning in the log. The library knows none, since it has no flags;
    /// a program installs its own.
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
            accepts_per_turn: 256,
            advice: |_| String::new(),
        }
    }
}

impl Config {
    fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle: self.idle_timeout,
            stall: self.stall_timeout,
            connect: None,
        }
    }
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A signal came, and all connections were closed in good order or by the drain's time limit.
    Drained,
    /// A second SIGTERM or SIGINT came while the server drained, more than 500 ms after the first signal.
    Interrupted,
}

/// A server that speaks `P` over `N`.
pub struct Server<N: Net, P: Protocol> {
    reactor: Connections<N, P>,
    service: Service<N, P>,
}

/// All of the server but the loop, which calls it.
struct Service<N: Net, P: Protocol> {
    driver: Driver<P>,
    accepting: Accepting<N>,
    counters: Counters,
    /// Counted only where there is a limit.
    sources: Option<Sources>,
    config: Config,
    drain: Option<Drain>,
    records: Records<N>,
    exit: Option<io::Result<Exit>>,
}

impl<N: Net, P: Protocol> Server<N, P> {
    /// A server that does not listen yet.
    pub fn new(net: N, protocol: P, config: Config) -> Self {
        let limits = Limits {
            max_pending: config.max_pending,
            budget: config.budget,
        };
        let common = Common::new(protocol, limits, config.max_buffered);
        Server {
            reactor: Reactor::new(net, config.timeouts().by_class(), config.spin),
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

    /// Listens on one more address; returns it with the port that was picked if 0 was asked for.
    ///
    /// # Errors
    /// What `socket`, `bind` or `listen` say: the address is in use, not permitted, not of this machine.
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

    /// Serves until a signal has drained it.
    ///
    /// # Errors
    /// What the selector or a listener says when the server cannot go on.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn run(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.turn()? {
                return Ok(exit);
            }
        }
    }

    /// One turn of the loop; says how the server ended if this was its last. Then no connection is left.
    ///
    /// # Errors
    /// As [`Server::run`].
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn turn(&mut self) -> io::Result<Option<Exit>> {
        self.service.run_iteration(&mut self.reactor)?;
        self.service.resume_accepting(&mut self.reactor);
        self.service.go_on_draining(&mut self.reactor);
        while self.service.send_messages(&mut self.reactor) {
            self.service.go_on_draining(&mut self.reactor);
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

    /// What has been counted since the server began.
    pub fn counters(&self) -> &Counters {
        &self.service.counters
    }

    /// How many connections are live.
    pub fn live(&self) -> usize {
        self.reactor.len()
    }

    /// Bytes of memory held for what connections owe, all together.
    pub fn buffered(&self) -> usize {
        self.service.driver.common.pool.held()
    }

    /// The same, counted connection by connection, for tests.
    pub fn count_buffered(&mut self) -> usize {
        let mut held = 0;
        for index in 0..self.reactor.slots_end() {
            let key = self.reactor.key_at(index);
            if let Some(slot) = key.and_then(|key| self.reactor.find(key)) {
                held += slot.tenant.footprint(&self.service.driver.common.pool);
            }
        }
        held
    }

    /// The next connection gets the number after this one. For tests, in which numbers are to wrap soon.
    pub fn number_after(&mut self, serial: u32) {
        self.reactor.number_after(serial);
    }

    /// The memory that connections hold, all together.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.service.driver.common.pool
    }

    /// From now on grants no memory for slots and further turns, as if the machine had none left, or does again. For
    /// tests, as [`Pool::refuse`].
    pub fn refuse_places(&mut self, refuses: bool) {
        self.reactor.refuse(refuses);
    }

    /// The same, for sources from which there is no connection yet.
    pub fn refuse_sources(&mut self, refuses: bool) {
        if let Some(sources) = &mut self.service.sources {
            sources.refuse(refuses);
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
            sources.leave(closed.tag);
        }
        self.accepting.a_descriptor_is_free();
        self.records.on_closed(key);
        self.driver.common.protocol.closed(key.into());
        let (serial, reason) = (key.serial, closed.reason);
        let (bytes_in, bytes_out) = (closed.bytes_in, closed.bytes_out);
        match closed.error {
            None => log::debug!("#{serial} closed: {reason}, {bytes_in} bytes in, {bytes_out} out"),
            Some(error) => log::debug!(
                "#{serial} closed: {reason}, {bytes_in} bytes in, {bytes_out} out ({error})"
            ),
        }
    }
}
