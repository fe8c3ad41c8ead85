//! The checks of a run: after each iteration of the server, and at the end.

use super::plan::Conduct;
use super::run::LayerRun;
use crate::buffered::count_buffered;
use crate::client_script::{ProtocolConfig, record_ids};
use crate::network::{Network, SocketId};
use crate::selector::SERVER;
use echoloop::connection::CloseReason;
use echoloop::net::Time;
use echoloop::protocol::{ConnectionId, Protocol};
use echoloop::reactor::TICK;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl<const DRAINS: bool, P: Protocol> LayerRun<DRAINS, P> {
    /// Checks an iteration; `before` are the handshakes that were in progress before it.
    pub(super) fn check_iteration(&mut self, before: &BTreeMap<ConnectionId, Time>) {
        self.forget_closed();
        self.check_counts();
        self.check_handshakes(before);
        self.note_farewells();
        self.check_idle();
        self.check_deferred();
        self.check_memory();
    }

    /// The protocol is not notified of the end of a connection whose client was never admitted.
    fn forget_closed(&mut self) {
        if !self.settings.has_proxies {
            return;
        }
        let (reactor, driver) = self.server.parts();
        let observed = &mut driver.common.protocol.observed;
        let mut is_open = |id: &ConnectionId| reactor.find(*id).is_some();
        observed.handshakes.retain(|id, _| is_open(id));
        observed.deferred.retain(&mut is_open);
        observed.held.retain(|id, _| is_open(id));
    }

    fn check_counts(&mut self) {
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        let observed = &self.server.parts().1.common.protocol.observed;
        let (steps, handshakes) = (observed.steps, observed.handshakes.len());
        assert!(
            steps <= self.settings.budget,
            "{steps} steps in one iteration"
        );
        assert!(
            handshakes <= self.settings.max_handshakes,
            "{handshakes} handshakes in progress"
        );
    }

    fn closed_since(&self, reason: CloseReason) -> u64 {
        self.server.counters().closed_for(reason) - self.previous_counters.closed_for(reason)
    }

    /// No handshake is ended before its timeout, and none lasts longer than a tick after it.
    fn check_handshakes(&mut self, before: &BTreeMap<ConnectionId, Time>) {
        let timeout = self.config.handshake_timeout.unwrap();
        let expired = self.closed_since(CloseReason::HandshakeTimeout);
        let (reactor, driver) = self.server.parts();
        let iteration = reactor.now();
        let handshakes = driver.common.protocol.observed.handshakes.clone();
        let mut network = self.network.borrow_mut();
        let now = Time::from_nanos(network.now);
        let late = Duration::from_millis(network.faults.late_wake_ms + 1) + TICK;
        let gone = before.iter().filter(|(id, _)| !handshakes.contains_key(id));
        let due = gone.filter(|(_, since)| now.since(**since) >= timeout);
        assert!(
            expired <= due.count() as u64,
            "a handshake was ended before its timeout"
        );
        // A drain sends FIN within handshakes, after which connections only linger.
        let drains = self.server.is_draining() || self.exit.is_some();
        let wakes_at = network.hosts[SERVER].asleep_until.filter(|_| !drains);
        for (id, since) in wakes_at.into_iter().flat_map(|_| &handshakes) {
            // An iteration may last; the next one began in time.
            let waited = iteration.since(*since);
            assert!(
                waited <= timeout + late,
                "handshake of {id} for {waited:?}, timeout {timeout:?}"
            );
        }
        let timeout = u64::try_from(timeout.as_nanos()).unwrap();
        for socket in network.sockets.iter_mut().filter(|s| s.is_server_side) {
            let key = socket.watch.key();
            let since = key.and_then(|key| handshakes.get(&key));
            socket.handshake_due = since.map(|since| since.as_nanos() + timeout);
        }
    }

    /// Whether no byte was read from a connection or written to it for the idle timeout before this iteration.
    fn is_idle(&self, network: &Network, id: SocketId) -> bool {
        let waited = Duration::from_nanos(network.now - network.sockets[id].io_before(network.now));
        let timeout = self.config.idle_timeout;
        timeout.is_some_and(|timeout| waited >= timeout)
    }

    /// An idle connection ends once the kernel has accepted its last output, which may take longer than this iteration.
    fn note_farewells(&mut self) {
        let observed = &mut self.server.parts().1.common.protocol.observed;
        let farewells = std::mem::take(&mut observed.farewells);
        let mut network = self.network.borrow_mut();
        for id in 0..network.sockets.len() {
            let key = network.sockets[id].watch.key();
            if key.is_some_and(|key| farewells.contains(&key)) {
                network.sockets[id].ends_idle = self.is_idle(&network, id);
            }
        }
    }

    /// No connection is closed as idle before its timeout.
    fn check_idle(&self) {
        let closed = self.closed_since(CloseReason::Idle);
        let network = self.network.borrow();
        let is_idle =
            |id: &&SocketId| network.sockets[**id].ends_idle || self.is_idle(&network, **id);
        let idle = network.closed.iter().filter(is_idle).count() as u64;
        assert!(closed <= idle, "closed as idle before the timeout");
    }

    /// A server that sleeps has called each session that has deferred its work, unless that waits for output space.
    fn check_deferred(&mut self) {
        let sleeps = {
            let network = self.network.borrow();
            network.hosts[SERVER].asleep_until.is_some() && !network.is_anything_ready(SERVER)
        };
        if !sleeps || self.exit.is_some() {
            return;
        }
        let (reactor, driver) = self.server.parts();
        let deferred: Vec<ConnectionId> = driver
            .common
            .protocol
            .observed
            .deferred
            .iter()
            .copied()
            .collect();
        for id in deferred {
            let slot = reactor.find(id);
            let is_pending =
                slot.is_none_or(|slot| slot.tenant.pending_output(&driver.common.pool) > 0);
            let stopping = self.network.borrow().stopping;
            assert!(
                is_pending || stopping,
                "{id} is deferred while the server sleeps"
            );
        }
    }

    /// The pool counts what sessions hold.
    fn check_memory(&mut self) {
        let buffered = self.server.buffered();
        assert_eq!(buffered, count_buffered(&mut self.server), "sum");
        let (reactor, driver) = self.server.parts();
        let mut total = 0;
        for index in 0..reactor.slots_end() {
            let Some(id) = reactor.key_at(index) else {
                continue;
            };
            let held = driver.common.protocol.observed.held.get(&id);
            let held = held.copied().unwrap_or(0);
            let Some(slot) = reactor.find(id) else {
                continue;
            };
            total += held;
            let pool = &driver.common.pool;
            let counted = slot.tenant.footprint(pool);
            let has_buffers = slot.tenant.pending_output(pool) > 0 || held > 0;
            let is_record = slot.tenant.record(pool).is_some();
            let fits = if has_buffers {
                counted > held
            } else {
                counted == 0 || is_record
            };
            assert!(fits, "{id}: {counted} bytes counted, {held} held");
        }
        assert!(buffered >= total, "{buffered} bytes counted, {total} held");
    }

    /// The output consists of complete records, each written once, and only of clients that have sent a farewell.
    pub(super) fn check_records(&self) -> u64 {
        let pipe = self.pipe.borrow();
        if !matches!(self.protocol, Some(ProtocolConfig::Collect { .. })) {
            assert!(pipe.written.is_empty(), "output without a record");
            return 0;
        }
        let ids = record_ids(&pipe.written);
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "a record was written twice");
        let expired = self.server.counters().closed_for(CloseReason::DrainExpired) > 0;
        let lengths = self.peers.iter().filter(|peer| distinct.contains(&peer.id));
        let complete: u64 = lengths.map(|peer| peer.length).sum();
        assert!(
            expired || complete == pipe.written.len() as u64,
            "a record was truncated"
        );
        for peer in &self.peers {
            let is_written = distinct.contains(&peer.id);
            let is_complete =
                peer.has_sent_all() && !matches!(peer.plan.conduct, Conduct::Reset(_));
            assert!(
                is_complete || !is_written,
                "a record without a farewell was written: {peer:?}"
            );
            assert!(
                is_written || !peer.has_farewell,
                "a receipt without a record: {peer:?}"
            );
        }
        ids.len() as u64
    }

    /// The counters match the traffic on the network.
    pub(super) fn check_totals(&self, network: &Network) {
        let counters = self.server.counters();
        let served = network.sockets.iter();
        let served = served.filter(|socket| socket.is_server_side && !socket.was_refused);
        let written: u64 = served.map(|socket| socket.written).sum();
        assert_eq!(counters.bytes_out, written);
    }
}
