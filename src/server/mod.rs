//! The server: listeners, admission, counters and the drain.
//!
//! A [`Server`] consists of a [`Net`], a [`Protocol`] and a [`Config`]; [`Server::run`] serves until a signal stops it.

mod accepting;
mod admission;
mod config;
mod counters;
mod draining;
mod figures;
mod iterations;
mod messages;
mod proxied;
mod records;
mod saving;
mod sources;
#[cfg(test)]
mod tests;
mod throttle;
mod totals;

pub use config::Config;
pub use counters::{Counters, Refusal, Shortage};
pub use figures::{Deadlines, Figures};
pub use iterations::IterationStats;
pub use saving::{SavedConnection, SavedServer};
pub use totals::Totals;

use crate::connection::{
    CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Timeouts,
};
use crate::net::{Key, ListenOptions, Net, Note, Source, Time, backlog_in_force};
use crate::protocol::{Protocol, UNADMITTED};
use crate::reactor::Reactor;
use accepting::Accepting;
use admission::{AcceptRate, AddressFilter};
use draining::Drain;
use iterations::Iterations;
use records::Records;
use sources::Sources;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use totals::Earlier;

/// Why [`Server::run`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A signal started a drain, and all connections have closed, at the latest when the drain expired.
    Drained,
    /// A second SIGTERM or SIGINT arrived during the drain, more than 500 ms after the first signal.
    Interrupted,
    /// The server has not stopped: its program is to handle the [requests](Server::take_requests), and call it again.
    Requested,
}

/// What the program of a server is to do between two iterations ([`Server::take_requests`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// SIGUSR2 has arrived.
    Upgrade,
    /// SIGHUP has arrived.
    Reload,
    /// SIGUSR1 has arrived.
    Report,
    /// [`Source::PROGRAM`] is ready.
    Source,
    /// [`Source::ADMIN`] is ready.
    Admin,
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
    filter: AddressFilter,
    /// `None` if the rate is not limited.
    accept_rate: Option<AcceptRate>,
    config: Config,
    drain: Option<Drain>,
    /// The end of the time for which the server serves its connections without accepting others.
    retires_at: Option<Time>,
    /// `None` if iterations are not measured.
    iterations: Option<Box<Iterations>>,
    records: Records,
    requests: Vec<Request>,
    /// What other processes had counted before this one took over.
    earlier: Earlier,
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
            handshake: config.handshake_timeout,
        };
        Server {
            reactor: Reactor::new(net, timeouts.by_class(), config.spin),
            service: Service {
                driver: Driver::new(common).with_min_rate(config.min_rate),
                accepting: Accepting::new(),
                counters: Counters::default(),
                sources: config.max_per_source.map(Sources::new),
                filter: AddressFilter::NONE,
                accept_rate: config.accept_rate.map(|rate| AcceptRate::new(rate.get())),
                config,
                drain: None,
                retires_at: None,
                iterations: None,
                records: Records::new(),
                requests: Vec::new(),
                earlier: Earlier::default(),
                exit: None,
            },
        }
    }

    /// Listens on an address. Returns it, with the port that the kernel has chosen if 0 was given.
    ///
    /// # Errors
    /// The error of `socket`, `bind` or `listen`, such as an address that is in use or not local.
    pub fn listen(&mut self, options: &ListenOptions) -> io::Result<SocketAddr> {
        let address = self.listen_silently(options)?;
        log::info!(
            "listening on {address} ({}, backlog {})",
            self.service.driver.common.protocol.name(),
            backlog_in_force(options.backlog)
        );
        Ok(address)
    }

    /// Admits only clients with addresses for which `admits` is true; an IPv4 client of an IPv6 listener has an IPv4
    /// address. The server resets the others.
    pub fn set_address_filter(&mut self, admits: impl Fn(IpAddr) -> bool + 'static) {
        self.service.filter = AddressFilter::new(admits);
    }

    /// As [`listen`](Server::listen), without a log line.
    ///
    /// # Errors
    /// As [`listen`](Server::listen).
    pub fn listen_silently(&mut self, options: &ListenOptions) -> io::Result<SocketAddr> {
        let net = &mut self.reactor.net;
        self.service.accepting.listen(net, options)
    }

    /// Sets where records go ([`Finish::Record`](crate::protocol::Finish::Record)), of a protocol that has them.
    /// Without a sink, the first record ends the server.
    ///
    /// Writes to `sink` must not block. The bytes of a record arrive in order, and the next record follows only after all
    /// of them. After `WouldBlock` the next write follows when [`Source::STDOUT`] is ready. Another error ends the server.
    pub fn set_record_sink(&mut self, sink: impl io::Write + 'static) {
        self.service.records.sink = Box::new(sink);
    }

    /// Serves until a signal stops the server, or its program is to handle a request.
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

    /// Runs one iteration of the event loop. Returns why the server has stopped, if it has, with all connections closed; or
    /// [`Exit::Requested`].
    ///
    /// # Errors
    /// As [`Server::run`].
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub fn run_iteration(&mut self) -> io::Result<Option<Exit>> {
        self.service.run_iteration(&mut self.reactor)?;
        self.service.continue_drain(&mut self.reactor);
        while self.service.send_messages(&mut self.reactor) {
            self.service.continue_drain(&mut self.reactor);
        }
        if self.service.iterations.is_some() {
            self.service.count_iteration(&self.reactor);
        }
        let exit = self.service.exit.take();
        if exit.is_some() && !matches!(exit, Some(Ok(Exit::Requested))) {
            self.service.close_all(&mut self.reactor);
        }
        exit.transpose()
    }

    /// Measures the iterations of the event loop from now on, for [`figures`](Server::figures), and logs a warning if one
    /// takes longer than `slow`, if that is given. It takes a reading of the clock per iteration.
    pub fn measure_iterations(&mut self, slow: Option<Duration>) {
        self.service.iterations = Some(Iterations::new(slow));
    }

    /// Starts a drain, as the first SIGTERM does: the next iterations answer the input that has arrived, flush the output,
    /// send FIN, and then return [`Exit::Drained`]. No effect if the server is draining already.
    pub fn drain(&mut self) {
        let now = self.reactor.net.now();
        self.service.begin_drain(&mut self.reactor, "stop", now);
    }

    /// Stops accepting, since another process accepts from the same listeners, and serves the remaining connections:
    /// when they have ended, or after `linger`, a drain follows.
    pub fn retire(&mut self, linger: Duration) {
        self.service.retire(&mut self.reactor, linger);
    }

    /// Resets all connections.
    pub fn reset_all(&mut self) {
        self.service.close_all(&mut self.reactor);
    }

    /// Whether a drain has started.
    pub fn is_draining(&self) -> bool {
        self.service.drain.is_some()
    }

    /// What the program is to do after [`Exit::Requested`].
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.service.requests)
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

    /// The event loop and its connections. For tests.
    #[doc(hidden)]
    pub fn parts(&mut self) -> (&mut Connections<N, P>, &mut Driver<P>) {
        (&mut self.reactor, &mut self.service.driver)
    }

    /// Makes the allocation of slots and queue entries fail, and that of entries for new sources; or succeed again. For
    /// tests.
    #[doc(hidden)]
    pub fn set_out_of_memory(&mut self, slots: bool, sources: bool) {
        self.reactor.set_out_of_memory(slots);
        if let Some(table) = &mut self.service.sources {
            table.is_out_of_memory = sources;
        }
    }

    /// The protocol, with the data that its sessions share.
    pub fn protocol(&mut self) -> &mut P {
        &mut self.service.driver.common.protocol
    }

    /// The network that the server runs on.
    pub fn net(&mut self) -> &mut N {
        &mut self.reactor.net
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Lets the program handle a request after this iteration, unless the server stops.
    fn request(&mut self, request: Request) {
        self.requests.push(request);
        self.exit.get_or_insert(Ok(Exit::Requested));
    }
}

impl<N: Net, P: Protocol> Owner<N, P> for Service<N, P> {
    const EVICTS: bool = true;

    #[inline]
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    #[inline]
    fn driven(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        let proxies = self.driver.common.protocol.proxies();
        match proxies.and_then(|proxies| proxies.take_report(key)) {
            Some(report) if ended.is_none() => self.admit_reported(reactor, key, report.client),
            _ => ended,
        }
    }

    fn source_ready(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        match source {
            Source::SIGNALS => self.on_signals(reactor),
            Source::STDOUT => self.records.writer.on_writable(),
            Source::PROGRAM => self.request(Request::Source),
            Source::ADMIN => self.request(Request::Admin),
            _ => self.accepting.schedule(source, Time::ZERO),
        }
    }

    fn events_handled(&mut self, reactor: &mut Connections<N, P>) {
        let accepts_at = self.accepting.accepts_at;
        if accepts_at.is_some_and(|at| at <= reactor.now()) {
            self.accept_due(reactor);
            if self.accepting.accepts_at == Some(Time::ZERO) {
                let listener = Key::of_source(Source::listener(0));
                reactor.net.note(listener, Note::AcceptBudgetUsed);
            }
        }
        if self.driver.has_records() {
            self.deliver_records(reactor);
        }
        self.fire_timer(reactor.now());
    }

    fn wake_at(&self) -> Option<Time> {
        let drain = self.drain.as_ref().map(Drain::wake_at);
        let records = self.records.has_more.then_some(Time::ZERO);
        let (evicts, accepts) = (self.driver.evicts_at(), self.accepting.accepts_at);
        let protocol = self.driver.common.protocol.wake_at();
        let retires = self.retires_at.filter(|_| self.drain.is_none());
        let due = drain
            .into_iter()
            .chain(records)
            .chain(evicts)
            .chain(retires);
        due.chain(accepts).chain(protocol).min()
    }

    fn closed(&mut self, _: &mut Connections<N, P>, key: Key, closed: Closed) {
        self.counters.count_closed(&closed);
        if let Some(sources) = &mut self.sources {
            sources.release(closed.tag);
        }
        self.accepting.on_fd_released();
        self.records.on_closed(key);
        if closed.tag != UNADMITTED {
            self.driver.common.protocol.closed(key);
        }
        if !P::IS_LOGGED {
            return;
        }
        let (reason, bytes_in, bytes_out) = (closed.reason, closed.bytes_in, closed.bytes_out);
        log::debug!(
            "{key} closed: {reason}, {bytes_in} bytes in, {bytes_out} out{}",
            closed
                .error
                .map_or_else(String::new, |error| format!(" ({error})"))
        );
    }
}
