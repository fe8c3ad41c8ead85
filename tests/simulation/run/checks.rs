//! The checks of a run: after each iteration of the server, and at the end.

use super::acknowledged::check_acknowledged;
use super::{Run, UNLIMITED_MEMORY};
use crate::buffered::count_buffered;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::selector::SERVER;
use crate::socket::Socket;
use echoloop::connection::CloseReason;
use echoloop::connection::testing::LINGER;
use echoloop::reactor::TICK;
use echoloop::server::{Exit, Refusal};
use std::time::Duration;

impl<const DRAINS: bool> Run<DRAINS> {
    /// Counters and limits, after each iteration.
    pub(super) fn check_counts(&mut self) {
        let (counted, buffered) = (count_buffered(&mut self.server), self.server.buffered());
        assert_eq!(
            buffered, counted,
            "the buffered total differs from the sum over all connections"
        );
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        let network = self.network.borrow();
        assert_eq!(
            network.open().count(),
            live,
            "the server has leaked sockets"
        );
        assert!(
            live <= self.config.max_connections,
            "{live} connections exceed the limit"
        );
        let refused =
            |refusal| counters.refused_for(refusal) > self.previous_counters.refused_for(refusal);
        if refused(Refusal::MaxConnections) {
            let most_open = live + network.closed.len();
            assert!(
                most_open >= self.config.max_connections,
                "refused below the connection limit"
            );
        }
        let out_of_memory = refused(Refusal::NoMemory)
            || counters.closed_for(CloseReason::NoMemory)
                > self.previous_counters.closed_for(CloseReason::NoMemory);
        if out_of_memory && !self.has_alloc_fault && network.faults.epoll_add_fails == 0 {
            self.check_evicted(&network);
        }
        if let Some(most) = self.config.max_per_source {
            let by_other_limit = refused(Refusal::MaxConnections) || refused(Refusal::NoMemory);
            let by_source_limit = refused(Refusal::MaxPerSource) && !by_other_limit;
            self.check_sources(&network, most, by_source_limit);
        }
        // One read may exceed the limit, and a buffer is at most four times as large as its largest content.
        let slack = 4 * self.config.max_pending.min(65_536) + 4096;
        let bound = 4 * self.config.max_buffered + slack;
        let buffered = self.server.buffered();
        assert!(
            buffered <= bound,
            "{buffered} bytes buffered, limit {bound}"
        );
        let open = network.open().filter(|socket| !socket.fin_sent);
        let pending: u64 = open.map(|socket| socket.pending_output()).sum();
        assert!(
            pending <= buffered as u64,
            "{pending} bytes of output are pending, but {buffered} buffered"
        );
        let tally = &network.tally;
        assert_eq!(counters.accept_failed, tally.aborted);
        assert_eq!(counters.accept_paused, tally.exhausted);
    }

    /// Without allocation faults, only connections whose peers have read no pending output for a second are evicted.
    fn check_evicted(&self, network: &Network) {
        let counters = self.server.counters();
        let no_memory = CloseReason::NoMemory;
        let closed = counters.closed_for(no_memory) - self.previous_counters.closed_for(no_memory);
        assert!(closed > 0, "refused for lack of memory without an eviction");
        let is_stalled = |id: &&SocketId| {
            let socket = &network.sockets[**id];
            let waited = Duration::from_nanos(network.now - socket.pending_since);
            socket.pending_output() > 0 && waited >= Duration::from_secs(1)
        };
        let stalled = network.closed.iter().filter(is_stalled).count() as u64;
        assert!(
            closed <= stalled,
            "a connection that made progress was evicted"
        );
        if self.search_starts_at_largest && closed == network.closed.len() as u64 {
            self.check_largest_evicted(network);
        }
    }

    /// No connection is evicted before one with far more pending output whose peer has also read nothing for a second.
    fn check_largest_evicted(&self, network: &Network) {
        let stall_timeout = self.config.stall_timeout.unwrap_or(Duration::MAX);
        // The server examines at most this many connections in one iteration.
        let are_few = network.open().count() + network.closed.len() <= 30;
        let is_progress_exact = network.faults.progress_hidden == 0 && !network.kernel.retransmits;
        let evicted = network
            .closed
            .iter()
            .map(|id| network.sockets[*id].peak_pending);
        let Some(smallest) = evicted.min().filter(|_| are_few && is_progress_exact) else {
            return;
        };
        // A buffer is at most four times as large as its content, and connections are sorted by powers of two.
        let far_more = (2 * (4 * smallest + 6_000)).max(16_384);
        for socket in network
            .open()
            .filter(|socket| socket.server_pending_output() >= far_more)
        {
            let waited = Duration::from_nanos(
                network.now - socket.pending_since.max(socket.acknowledged_at),
            );
            let is_stalled = waited > Duration::from_secs(1) + TICK;
            assert!(
                !is_stalled || waited >= stall_timeout,
                "a connection with at most {smallest} pending bytes was evicted first: {socket:?}"
            );
        }
    }

    /// Memory counts as scarce at the documented threshold, and then the server searches for connections to evict every
    /// tick. Records whether its next search starts with the largest.
    pub(super) fn check_scarcity(&mut self) {
        let counters = self.server.counters();
        let no_memory = CloseReason::NoMemory;
        let has_evicted =
            counters.closed_for(no_memory) > self.previous_counters.closed_for(no_memory);
        // While memory is scarce, a search continues until all connections were examined.
        let is_scarce = self.server.parts().1.common.pool.is_scarce();
        // As documented: half of the memory is reserved in equal shares of at most 16 KiB per connection.
        let (limit, live) = (self.config.max_buffered, self.server.live());
        let share = (limit / (2 * live.max(1))).min(16_384);
        let threshold = limit - (share * live).max(limit / 8);
        let held = self.server.buffered();
        assert_eq!(
            is_scarce,
            held >= threshold,
            "{held} bytes buffered, threshold {threshold}"
        );
        self.search_starts_at_largest =
            is_scarce || (self.search_starts_at_largest && !has_evicted);
        // No event reports a write stall, so the server wakes up every tick.
        let network = self.network.borrow();
        let late = network.faults.late_wake_ms * MILLISECOND + TICK.as_nanos() as u64;
        let until = network.hosts[SERVER].asleep_until.filter(|_| is_scarce);
        assert!(
            until.is_none_or(|until| until <= network.now + late),
            "the server sleeps for longer than a tick while memory is scarce"
        );
    }

    /// At the end, the counters of the server match the traffic on the network.
    fn check_totals(&self, network: &Network) {
        let counters = self.server.counters();
        let (refused, served): (Vec<&Socket>, Vec<&Socket>) = network
            .sockets
            .iter()
            .filter(|socket| socket.is_server_side)
            .partition(|socket| socket.was_refused);
        assert_eq!(counters.refused_in_all(), refused.len() as u64);
        assert_eq!(counters.opened, served.len() as u64);
        let written: u64 = served.iter().map(|socket| socket.written).sum();
        assert_eq!(counters.bytes_out, written);
        let read: u64 = served.iter().map(|socket| socket.read).sum();
        assert!(
            counters.bytes_in <= read,
            "bytes_in exceeds the bytes read (input after our FIN is dropped)"
        );
        assert!(counters.bytes_in >= written, "more bytes sent than read");
    }

    fn check_sources(&self, network: &Network, most: usize, refused: bool) {
        for source in 1..=4 {
            let is_from = |socket: &&Socket| socket.source == source;
            let open = network.open().filter(is_from).count();
            assert!(
                open <= most,
                "{open} connections from one source exceed the limit"
            );
            let closed = network.closed.iter().map(|id| &network.sockets[*id]);
            let (served, refused_here): (Vec<&Socket>, Vec<&Socket>) = closed
                .filter(is_from)
                .partition(|socket| !socket.was_refused);
            let was_full = open + served.len() >= most;
            assert!(
                !refused || was_full || refused_here.is_empty(),
                "refused below the limit per source"
            );
        }
    }

    /// A sleeping server has noticed every reset, and every FIN without unread input or pending output before it. In a
    /// drain it has sent FIN on every connection without unread input and pending output.
    pub(super) fn check_closures_noticed(&mut self) {
        // A connection that waits for memory before reading may not have detected that its input is empty.
        let is_scarce = self.server.parts().1.common.pool.is_scarce();
        let network = self.network.borrow();
        // A read at a deadline may open the window; bytes that then arrive are reported by the next wait.
        let sleeps =
            network.hosts[SERVER].asleep_until.is_some() && !network.is_anything_ready(SERVER);
        if self.exit.is_some() || !sleeps {
            return;
        }
        for socket in network.open() {
            let is_done = socket.receive_queue.is_empty()
                && socket.pending_output() == 0
                && !socket.is_over();
            let is_drained = !is_done || socket.fin_sent;
            // Memory of connections closed in this iteration is assigned in the next one.
            let is_due = network.stopping && !is_scarce && network.closed.is_empty();
            assert!(is_drained || !is_due, "not drained: {socket:?}");
            // The guarantees of mio do not include an event for this.
            if !network.weak {
                let is_noticed = !socket.reset_arrived || socket.requeue_refused;
                assert!(is_noticed, "the reset was not noticed: {socket:?}");
                let is_at_end = socket.is_at_fin() && socket.pending_output() == 0;
                assert!(!is_at_end, "FIN was not noticed: {socket:?}");
            }
        }
    }

    /// While memory is not scarce, a sleeping server has read all input of connections without pending output.
    pub(super) fn check_input_read(&mut self) {
        let is_scarce = self.server.parts().1.common.pool.is_scarce();
        let network = self.network.borrow();
        let sleeps =
            network.hosts[SERVER].asleep_until.is_some() && !network.is_anything_ready(SERVER);
        // As above: memory of connections closed in this iteration.
        if self.exit.is_some() || !sleeps || is_scarce || !network.closed.is_empty() {
            return;
        }
        for socket in network.open().filter(|socket| !socket.fin_sent) {
            let is_read = socket.receive_queue.is_empty() || socket.pending_output() > 0;
            assert!(is_read, "input was not read: {socket:?}");
        }
    }

    /// Timeouts expire neither early nor late by more than the tolerance.
    pub(super) fn check_deadlines(&self) {
        let network = self.network.borrow();
        let late = Duration::from_millis(network.faults.late_wake_ms + 1) + TICK;
        if self.exit.is_none() && network.hosts[SERVER].asleep_until.is_some() {
            for socket in network.open() {
                let (waited, allowed) = self.wait_and_limit(&network, socket);
                let most = allowed.map(|allowed| allowed + late);
                assert!(
                    most.is_none_or(|most| waited <= most),
                    "open after {waited:?}: {socket:?}"
                );
            }
        }
        let counters = self.server.counters();
        for reason in [CloseReason::Idle, CloseReason::Stalled] {
            let closed = counters.closed_for(reason) - self.previous_counters.closed_for(reason);
            let mut due = 0;
            for &id in &network.closed {
                let socket = &network.sockets[id];
                let (waited, allowed) = self.waited_when_closed(&network, socket, reason);
                due += u64::from(allowed.is_some_and(|allowed| waited >= allowed));
            }
            assert!(closed <= due, "closed before the timeout: {reason}");
            let timeout = match reason {
                CloseReason::Stalled => self.config.stall_timeout,
                _ => self.config.idle_timeout,
            };
            check_acknowledged(&network, closed, timeout);
            if closed == network.closed.len() as u64 {
                match reason {
                    CloseReason::Stalled => self.check_stalled(&network),
                    _ => self.check_idle(&network),
                }
            }
        }
    }

    /// A connection closed by the stall timeout was not writable: the server tried to write just before.
    fn check_stalled(&self, network: &Network) {
        for &id in &network.closed {
            let socket = &network.sockets[id];
            let was_tried = socket.false_write_eagain_at == Some(network.now);
            assert!(
                socket.send_space_at_close == 0 || was_tried,
                "closed without a last write: {socket:?}"
            );
        }
    }

    /// A connection closed by the idle timeout had no input: the server tried to read just before.
    fn check_idle(&self, network: &Network) {
        for &id in &network.closed {
            let socket = &network.sockets[id];
            let was_tried = socket.false_read_eagain_at == Some(network.now);
            assert!(
                socket.receive_queue.is_empty() || was_tried,
                "closed without a last read: {socket:?}"
            );
        }
    }

    /// How long a connection has waited in its state, and the timeout of that state.
    fn wait_and_limit(&self, network: &Network, socket: &Socket) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(network.now - then);
        if socket.fin_sent {
            (since(socket.fin_at), Some(LINGER))
        } else if socket.pending_output() > 0 {
            network.stall_and_limit(
                socket,
                socket.pending_since,
                self.config.stall_timeout,
                false,
            )
        } else {
            // A connection that waits or may have waited for memory has no idle timeout.
            let idle_timeout = self.config.idle_timeout;
            let is_unlimited = self.config.max_buffered == UNLIMITED_MEMORY;
            let idle_timeout = idle_timeout.filter(|_| is_unlimited);
            network.stall_and_limit(socket, socket.last_io_at, idle_timeout, true)
        }
    }

    fn waited_when_closed(
        &self,
        network: &Network,
        socket: &Socket,
        reason: CloseReason,
    ) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(network.now - then);
        match reason {
            CloseReason::Stalled => (since(socket.pending_since), self.config.stall_timeout),
            _ => (since(socket.last_io_at), self.config.idle_timeout),
        }
    }

    pub(super) fn check_drained(&mut self, stopped_at: u64) {
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(
            self.server.buffered(),
            0,
            "memory is held without a connection"
        );
        let network = self.network.borrow();
        self.check_totals(&network);
        let mut listeners = network.listeners.iter();
        assert!(
            listeners.all(|listener| listener.closed),
            "a listener is still open"
        );
        let drained_in = Duration::from_nanos(network.now - stopped_at);
        let late = Duration::from_millis(network.faults.late_wake_ms) + network.paused_in_drain();
        let most = self.config.drain_timeout + late + Duration::from_secs(1);
        assert!(drained_in <= most, "the drain took {drained_in:?}");
    }
}
