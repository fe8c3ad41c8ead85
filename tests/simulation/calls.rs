//! The calls that the programs under test make, the faults that befall them, and what must hold when they make them.

use crate::world::{EndId, MILLISECOND, World};
use echoloop::connection::LINGER;
use std::io;
use std::time::Duration;

impl World {
    /// As poll(2) of a listener: after a no, an edge is owed.
    pub fn has_waiting(&mut self, index: usize) -> bool {
        let listener = &mut self.listeners[index];
        listener.armed |= listener.queue.is_empty();
        !listener.queue.is_empty()
    }

    /// As accept(2): the new connection's end, and the number of the address that it comes from.
    pub fn accept(&mut self, index: usize) -> io::Result<(EndId, u8)> {
        if self.is_exhausted() {
            self.tally.exhausted += 1;
            const EMFILE: i32 = 24;
            const ENOBUFS: i32 = 105;
            let errno = self.rng.one_of(&[EMFILE, ENOBUFS]);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let Some(client) = self.listeners[index].queue.pop_front() else {
            self.listeners[index].armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if self.fault(self.faults.accept_aborted) {
            self.tally.aborted += 1;
            self.reset_arrives(client);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.listeners[index].accepted += 1;
        self.arrive_during_drain();
        let id = self.ends[client].peer.expect("made when it connected");
        let end = &mut self.ends[id];
        end.is_servers = true;
        end.moved_at = self.now;
        end.acknowledged_at = self.now;
        end.watch.may_write = 1;
        let source = end.source;
        self.trace(2, id as u64);
        Ok((id, source))
    }

    fn is_exhausted(&mut self) -> bool {
        if self.faults.exhausted == 0 {
            // Faults are over: nothing is exhausted any more.
            return false;
        }
        if self.now >= self.exhausted_until && self.fault(self.faults.exhausted) {
            let milliseconds = self.rng.between(0, self.faults.exhausted_ms);
            self.exhausted_until = self.now + milliseconds * MILLISECOND;
        }
        self.now < self.exhausted_until
    }

    /// As read(2), by a program under test.
    pub fn program_reads(&mut self, id: EndId, buffer: &mut [u8]) -> io::Result<usize> {
        let (now, least_timeout, stopping) = (self.now, self.least_timeout, self.stopping);
        let end = &mut self.ends[id];
        assert!(end.stood, "a read where no connection stands: {end:?}");
        let has_edge = end.watch.may_read > 0 || end.fin_sent || end.end_reported || stopping;
        if !has_edge {
            assert!(
                end.may_read_at_deadline(now, least_timeout),
                "a read without an edge since the last one blocked: {end:?}"
            );
            // A deadline is as good as an edge: until a read blocks, there may be more.
            end.watch.may_read = 1;
        }
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // Of a connection that is known to be over, a read says what there is.
        if !self.ends[id].end_reported && self.fault(self.faults.read_blocks) {
            self.ends[id].deceived = true;
            self.ends[id].read_deceived_at = Some(now);
            self.arm_read(id);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let waiting = self.ends[id].arrived.len();
        let mut most = buffer.len();
        if self.weak && waiting > 1 && self.fault(self.faults.partial_read) {
            most = most.min(1 + self.rng.index(waiting));
        }
        let owed_before = self.ends[id].owed_if_servers();
        let result = self.read(id, &mut buffer[..most]);
        let outcome = result.as_ref().map_or(u64::MAX, |count| *count as u64);
        self.trace(3, outcome);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.arm_read(id),
            Err(_) => {}
            Ok(count) => self.after_read(id, *count, buffer.len(), owed_before),
        }
        result
    }

    fn after_read(&mut self, id: EndId, count: usize, asked: usize, owed_before: u64) {
        let now = self.now;
        let weak = self.weak;
        let end = &mut self.ends[id];
        end.read_in_iteration += count;
        if count < asked && count > 0 && !weak && !end.watch.drain {
            end.watch.reads_no_more();
        }
        if count == 0 || (end.is_servers && end.fin_sent) {
            return;
        }
        end.moves(now);
        if !end.is_servers {
            return;
        }
        if owed_before == 0 {
            end.owes_since(now);
            end.most_owed = 0;
        }
        let owed = end.owed();
        end.most_owed = end.most_owed.max(owed);
        let most = self.max_pending;
        assert!(owed <= most as u64, "{owed} bytes owed, allowed are {most}");
    }

    /// As send(2), by a program under test.
    pub fn program_writes(&mut self, id: EndId, bytes: &[u8]) -> io::Result<usize> {
        let (now, least_timeout) = (self.now, self.least_timeout);
        let end = &mut self.ends[id];
        assert!(end.stood, "a write where no connection stands: {end:?}");
        assert!(!end.fin_sent, "bytes written behind a FIN");
        if end.watch.may_write == 0 {
            assert!(
                end.may_write_at_deadline(now, least_timeout),
                "a write without an edge since the last one blocked: {end:?}"
            );
            end.watch.may_write = 1;
        }
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(error) = self.ends[id].write_error() {
            self.ends[id].end_reported = true;
            return Err(error);
        }
        let is_full = self.send_room(id) == 0;
        if is_full || self.fault(self.faults.write_blocks) {
            if !is_full {
                self.ends[id].write_deceived_at = Some(now);
            }
            self.arm_write(id);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut offered = bytes;
        if offered.len() > 1 && self.fault(self.faults.partial_write) {
            offered = &offered[..1 + self.rng.index(offered.len() - 1)];
        }
        let count = self.send(id, offered);
        let end = &mut self.ends[id];
        end.moves(self.now);
        end.owes_since(self.now);
        self.trace(4, count as u64);
        Ok(count)
    }

    /// As poll(2) for output, by a program under test: after a no, an edge is owed.
    pub fn program_looks_for_room(&mut self, id: EndId) -> bool {
        if self.ends[id].is_over() {
            return true;
        }
        if self.is_writable(id) && !self.fault(self.faults.write_blocks) {
            return true;
        }
        self.asks_for_an_edge(id);
        false
    }

    /// As shutdown(2) of the direction out, by a program under test.
    pub fn program_sends_fin(&mut self, id: EndId) -> io::Result<()> {
        if self.ends[id].is_over() {
            self.ends[id].end_reported = true;
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.trace(5, id as u64);
        self.check_nothing_owed(id);
        let end = &self.ends[id];
        assert!(
            !end.is_servers || self.has_heard_out(end),
            "FIN before what had come was answered: {end:?}"
        );
        self.fin(id);
        Ok(())
    }

    /// What was read is sent before FIN: for raw echo, the two counts are equal.
    fn check_nothing_owed(&self, id: EndId) {
        let end = &self.ends[id];
        if end.is_servers && !end.reset_arrived {
            let is_answered = end.owed() == 0 || self.is_flood(end);
            assert!(
                is_answered,
                "FIN before all that was read was answered: {end:?}"
            );
        }
    }

    /// After its FIN the server waits for the peer's, for a while.
    fn check_lingered(&self, id: EndId) {
        let end = &self.ends[id];
        let waited = Duration::from_nanos(self.now - end.fin_at);
        let in_time = self.drained_by.is_none_or(|by| self.now < by);
        let peer_is_gone = end.fin_arrived || end.reset_arrived;
        if end.fin_sent && in_time && !peer_is_gone {
            assert!(waited >= LINGER, "closed without lingering: {end:?}");
        }
    }

    /// When the server stops, nobody who is owed nothing is cut off: he was told, in time.
    fn check_told(&self, id: EndId, reset: bool) {
        // A connection that was closed in this iteration may have held the memory that others were waiting for.
        let mut just_closed = self.closed.iter().map(|id| &self.ends[*id]);
        let nobody_is_owed = self.open().all(|end| end.owed_if_servers() == 0)
            && just_closed.all(|end| end.owed() == 0);
        let faults = &self.faults;
        let calm = faults.memory_refused + faults.places_refused + faults.watch_refused == 0;
        let end = &self.ends[id];
        // A client with an incomplete message may be evicted.
        let may_be_ended = end.may_be_ended() || self.fin_is_receipt || self.was_paused_in_drain();
        if self.stopping && reset && calm && nobody_is_owed && !may_be_ended {
            assert!(end.reset_arrived, "cut off without need: {end:?}");
        }
    }

    /// As close(2), by a program under test.
    pub fn program_closes(&mut self, id: EndId, reset: bool) {
        self.trace(6, id as u64);
        assert!(!self.ends[id].closed, "closed twice");
        if !reset && !self.ends[id].fin_sent {
            self.check_nothing_owed(id);
        }
        if self.ends[id].is_servers {
            self.check_lingered(id);
            self.check_told(id, reset);
            self.closed.push(id);
            self.ends[id].was_refused = self.ends[id].watch.key().is_none();
            self.ends[id].room_when_closed = self.send_room(id);
        }
        self.deregister(id);
        self.close(id, reset);
    }

    /// Whether the kernel has no memory for one more thing to watch.
    pub fn refuses_to_watch(&mut self) -> bool {
        self.fault(self.faults.watch_refused)
    }

    /// As `SO_ERROR`, by a program under test.
    pub fn program_takes_error(&mut self, id: EndId) -> Option<io::Error> {
        let error = self.ends[id].take_error();
        self.ends[id].end_reported |= error.is_some();
        error
    }

    /// As getpeername(2): whether there is a peer. Of a connection that is over the kernel does not know it any more.
    pub fn program_has_peer(&self, id: EndId) -> bool {
        self.ends[id].stood && !self.ends[id].is_over()
    }
}
