//! What holds of a run: after each turn of the server, and when it has ended.

use super::acknowledged::check_acknowledged;
use super::{PLENTY, Run};
use crate::ends::End;
use crate::selector::SERVER;
use crate::world::{EndId, MILLISECOND, World};
use echoloop::connection::{CloseReason, LINGER};
use echoloop::reactor::TICK;
use echoloop::server::{Exit, Refusal};
use std::time::Duration;

impl<const DRAINS: bool> Run<DRAINS> {
    /// What holds after each turn.
    pub(super) fn check_counts(&mut self) {
        let (counted, buffered) = (self.server.count_buffered(), self.server.buffered());
        assert_eq!(buffered, counted, "held in all, and by each connection");
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        let world = self.world.borrow();
        assert_eq!(world.open().count(), live, "sockets left open");
        assert!(live <= self.config.max_connections, "{live} connections");
        let refused = |refusal| counters.refused_for(refusal) > self.counted.refused_for(refusal);
        if refused(Refusal::MaxConnections) {
            let there_were = live + world.closed.len();
            assert!(
                there_were >= self.config.max_connections,
                "refused without need"
            );
        }
        let out_of_memory = refused(Refusal::NoMemory)
            || counters.closed_for(CloseReason::NoMemory)
                > self.counted.closed_for(CloseReason::NoMemory);
        if out_of_memory && !self.refused_memory && world.faults.watch_refused == 0 {
            self.check_evicted(&world);
        }
        if let Some(most) = self.config.max_per_source {
            let others = refused(Refusal::MaxConnections) || refused(Refusal::NoMemory);
            self.check_sources(&world, most, refused(Refusal::MaxPerSource) && !others);
        }
        // One read may be held beyond the limit, and each buffer is at most four times what was ever in it.
        let slack = 4 * self.config.max_pending.min(65_536) + 4096;
        let bound = 4 * self.config.max_buffered + slack;
        let buffered = self.server.buffered();
        assert!(
            buffered <= bound,
            "{buffered} bytes held, allowed are {bound}"
        );
        let open = world.open().filter(|end| !end.fin_sent);
        let owed: u64 = open.map(|end| end.owed()).sum();
        assert!(
            owed <= buffered as u64,
            "{owed} bytes are owed, {buffered} held"
        );
        let tally = &world.tally;
        assert_eq!(counters.accept_failed, tally.aborted);
        assert_eq!(counters.accept_paused, tally.exhausted);
    }

    /// Without a fault, connections are closed for lack of memory only while it is scarce, and only if they hold much output
    /// that their peers have not taken for a second.
    fn check_evicted(&self, world: &World) {
        let counters = self.server.counters();
        let no_memory = CloseReason::NoMemory;
        let closed = counters.closed_for(no_memory) - self.counted.closed_for(no_memory);
        assert!(closed > 0, "refused for lack of memory without a cause");
        let is_stalled = |id: &&EndId| {
            let end = &world.ends[**id];
            let waited = Duration::from_nanos(world.now - end.owed_since);
            end.owed() > 0 && waited >= Duration::from_secs(1)
        };
        let stalled = world.closed.iter().filter(is_stalled).count() as u64;
        assert!(closed <= stalled, "evicted although it made progress");
        if self.is_fresh_round && closed == world.closed.len() as u64 {
            self.check_largest_evicted(world);
        }
    }

    /// No connection was evicted before one that holds far more, and whose peer has taken nothing for a second either.
    fn check_largest_evicted(&self, world: &World) {
        let stall_timeout = self.config.stall_timeout.unwrap_or(Duration::MAX);
        // The server looks at no more of them in one iteration.
        let are_few = world.open().count() + world.closed.len() <= 30;
        let has_account = world.faults.progress_hidden == 0 && !world.kernel.retransmits;
        let evicted = world.closed.iter().map(|id| world.ends[*id].most_owed);
        let Some(smallest) = evicted.min().filter(|_| are_few && has_account) else {
            return;
        };
        // Buffers are at most four times as large as what was in them, and holders are sorted by powers of two.
        let far_more = (2 * (4 * smallest + 6_000)).max(16_384);
        for end in world.open().filter(|end| end.owed_if_servers() >= far_more) {
            let waited = Duration::from_nanos(world.now - end.owed_since.max(end.acknowledged_at));
            let is_stalled = waited > Duration::from_secs(1) + TICK;
            assert!(
                !is_stalled || waited >= stall_timeout,
                "one that holds at most {smallest} bytes was evicted first: {end:?}"
            );
        }
    }

    /// Memory is scarce when it should be; then the server looks for connections to evict soon. Notes whether its next search
    /// begins with the largest.
    pub(super) fn check_scarcity(&mut self) {
        let counters = self.server.counters();
        let no_memory = CloseReason::NoMemory;
        let has_evicted = counters.closed_for(no_memory) > self.counted.closed_for(no_memory);
        // As long as memory is scarce, a search goes on until all have been looked at.
        let is_scarce = self.server.pool().is_scarce();
        // As documented: a share of at most 16 KiB and of half of all memory is set aside for each connection.
        let (limit, live) = (self.config.max_buffered, self.server.live());
        let share = (limit / (2 * live.max(1))).min(16_384);
        let plenty = limit - (share * live).max(limit / 8);
        let held = self.server.buffered();
        assert_eq!(is_scarce, held >= plenty, "{held} of {plenty} bytes held");
        self.is_fresh_round = is_scarce || (self.is_fresh_round && !has_evicted);
        // Peers stall without any event, so it looks for them every tick.
        let world = self.world.borrow();
        let late = world.faults.late_wake_ms * MILLISECOND + TICK.as_nanos() as u64;
        let until = world.hosts[SERVER].asleep_until.filter(|_| is_scarce);
        assert!(
            until.is_none_or(|until| until <= world.now + late),
            "memory is scarce, and it sleeps for long"
        );
    }

    /// In the end, what the server has counted is what the world has seen.
    fn check_totals(&self, world: &World) {
        let counters = self.server.counters();
        let (refused, served): (Vec<&End>, Vec<&End>) = world
            .ends
            .iter()
            .filter(|end| end.is_servers)
            .partition(|end| end.was_refused);
        assert_eq!(counters.refused_in_all(), refused.len() as u64);
        assert_eq!(counters.opened, served.len() as u64);
        let written: u64 = served.iter().map(|end| end.written).sum();
        assert_eq!(counters.bytes_out, written);
        let read: u64 = served.iter().map(|end| end.read).sum();
        assert!(
            counters.bytes_in <= read,
            "what came after our FIN is dropped"
        );
        assert!(
            counters.bytes_in >= written,
            "nothing is sent that was not read"
        );
    }

    fn check_sources(&self, world: &World, most: usize, refused: bool) {
        for source in 1..=4 {
            let is_from = |end: &&End| end.source == source;
            let open = world.open().filter(is_from).count();
            assert!(open <= most, "{open} connections from one source");
            let closed = world.closed.iter().map(|id| &world.ends[*id]);
            let (gone, turned_away): (Vec<&End>, Vec<&End>) =
                closed.filter(is_from).partition(|end| !end.was_refused);
            let was_full = open + gone.len() >= most;
            assert!(
                !refused || was_full || turned_away.is_empty(),
                "refused without need"
            );
        }
    }

    /// A server that sleeps has noticed every reset, whatever its connection waits for, and every FIN behind which nothing is
    /// left to be read or sent. During a drain it has sent FIN wherever nothing else is left to do.
    pub(super) fn check_ends_noticed(&mut self) {
        // A connection that waits for memory to read may not know that there is nothing to be read.
        let is_scarce = self.server.pool().is_scarce();
        let world = self.world.borrow();
        // At a deadline it may have read without an event, and what that let arrive is reported by the next wait.
        let sleeps = world.hosts[SERVER].asleep_until.is_some() && !world.is_anything_ready(SERVER);
        if self.exit.is_some() || !sleeps {
            return;
        }
        for end in world.open() {
            let is_done = end.arrived.is_empty() && end.owed() == 0 && !end.is_over();
            let is_drained = !is_done || end.fin_sent;
            // Memory of connections that were closed after the wait is given out in the next iteration.
            let is_due = world.stopping && !is_scarce && world.closed.is_empty();
            assert!(is_drained || !is_due, "not drained: {end:?}");
            // What only mio promises need not tell of it.
            if !world.weak {
                let is_noticed = !end.reset_arrived || end.turn_refused;
                assert!(is_noticed, "its reset was not noticed: {end:?}");
                let is_at_end = end.is_at_fin() && end.owed() == 0;
                assert!(!is_at_end, "its FIN was not noticed: {end:?}");
            }
        }
    }

    /// While memory is plentiful, a server that sleeps has read all input of connections without pending output.
    pub(super) fn check_input_read(&mut self) {
        let is_scarce = self.server.pool().is_scarce();
        let world = self.world.borrow();
        let sleeps = world.hosts[SERVER].asleep_until.is_some() && !world.is_anything_ready(SERVER);
        // As above, connections that were closed after the wait.
        if self.exit.is_some() || !sleeps || is_scarce || !world.closed.is_empty() {
            return;
        }
        for end in world.open().filter(|end| !end.fin_sent) {
            let is_read = end.arrived.is_empty() || end.owed() > 0;
            assert!(is_read, "input was forgotten: {end:?}");
        }
    }

    /// Deadlines are neither early nor more than their slack late.
    pub(super) fn check_deadlines(&self) {
        let world = self.world.borrow();
        let late = Duration::from_millis(world.faults.late_wake_ms + 1) + TICK;
        if self.exit.is_none() && world.hosts[SERVER].asleep_until.is_some() {
            for end in world.open() {
                let (waited, allowed) = self.waits_for(&world, end);
                let most = allowed.map(|allowed| allowed + late);
                assert!(
                    most.is_none_or(|most| waited <= most),
                    "{waited:?}: {end:?}"
                );
            }
        }
        let counters = self.server.counters();
        for reason in [CloseReason::Idle, CloseReason::Stalled] {
            let closed = counters.closed_for(reason) - self.counted.closed_for(reason);
            let mut due = 0;
            for &id in &world.closed {
                let end = &world.ends[id];
                let (waited, allowed) = self.waited_when_closed(&world, end, reason);
                due += u64::from(allowed.is_some_and(|allowed| waited >= allowed));
            }
            assert!(closed <= due, "closed too early: {reason}");
            let timeout = match reason {
                CloseReason::Stalled => self.config.stall_timeout,
                _ => self.config.idle_timeout,
            };
            check_acknowledged(&world, closed, timeout);
            if closed == world.closed.len() as u64 {
                match reason {
                    CloseReason::Stalled => self.check_stalled(&world),
                    _ => self.check_silent(&world),
                }
            }
        }
    }

    /// A connection that was closed as stalled could not have written: it was tried just before.
    fn check_stalled(&self, world: &World) {
        for &id in &world.closed {
            let end = &world.ends[id];
            let was_tried = end.write_deceived_at == Some(world.now);
            assert!(
                end.room_when_closed == 0 || was_tried,
                "not flushed: {end:?}"
            );
        }
    }

    /// A connection that was closed as idle had no input: it was tried just before.
    fn check_silent(&self, world: &World) {
        for &id in &world.closed {
            let end = &world.ends[id];
            let was_tried = end.read_deceived_at == Some(world.now);
            assert!(end.arrived.is_empty() || was_tried, "not read: {end:?}");
        }
    }

    /// How long a connection has waited for what it waits for, and how long it may.
    fn waits_for(&self, world: &World, end: &End) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(world.now - then);
        if end.fin_sent {
            (since(end.fin_at), Some(LINGER))
        } else if end.owed() > 0 {
            world.waits_for(end, end.owed_since, self.config.stall_timeout, false)
        } else {
            // Who waits for memory is not idle, and neither is who may have waited for a moment.
            let idle_timeout = self.config.idle_timeout;
            let plenty = self.config.max_buffered == PLENTY;
            let idle_timeout = idle_timeout.filter(|_| plenty);
            world.waits_for(end, end.moved_at, idle_timeout, true)
        }
    }

    fn waited_when_closed(
        &self,
        world: &World,
        end: &End,
        reason: CloseReason,
    ) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(world.now - then);
        match reason {
            CloseReason::Stalled => (since(end.owed_since), self.config.stall_timeout),
            _ => (since(end.moved_at), self.config.idle_timeout),
        }
    }

    pub(super) fn check_the_end(&mut self, stopped_at: u64) {
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(self.server.buffered(), 0, "memory held for nobody");
        let world = self.world.borrow();
        self.check_totals(&world);
        let mut listeners = world.listeners.iter();
        assert!(listeners.all(|listener| listener.closed), "listens on");
        let drained_in = Duration::from_nanos(world.now - stopped_at);
        let late = Duration::from_millis(world.faults.late_wake_ms) + world.paused_in_drain();
        let most = self.config.drain_timeout + late + Duration::from_secs(1);
        assert!(drained_in <= most, "the drain took {drained_in:?}");
    }
}
