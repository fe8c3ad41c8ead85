//! The order in which connections are opened, and when: at the pace that the server accepts ([`Pacing`]), or slower.

use super::Pace;
use super::acceptance::Acceptance;
use super::pacing::Pacing;
use super::proofs::Proofs;
use crate::net::AcceptQueue;
use crate::time::Time;
use std::collections::HashMap;
use std::time::Duration;

/// Opens connections in order. They are numbered from 0.
#[derive(Debug)]
pub(super) struct Connector {
    total: u32,
    ramp: Option<Pace>,
    /// Connections wait in the accept queue for at most this long.
    accept_timeout: Duration,
    next: u32,
    /// Connections that are connecting, and when each began.
    pub(super) connecting: HashMap<u32, Time>,
    pacing: Pacing,
    acceptance: Acceptance,
    /// With userspace TCP, while the accept queue is not visible.
    proofs: Option<Proofs>,
    /// When all connections are open, and refusals of the last ones have arrived.
    ends_at: Option<Time>,
}

impl Connector {
    pub(super) fn new(
        total: u32,
        window: Option<u32>,
        ramp: Option<f64>,
        accept_timeout: Duration,
        now: Time,
    ) -> Connector {
        Connector {
            total,
            ramp: ramp.map(|per_second| Pace::new(now, per_second, 1)),
            accept_timeout,
            next: 0,
            connecting: HashMap::new(),
            pacing: Pacing::new(window, now),
            acceptance: Acceptance::new(now),
            proofs: None,
            ends_at: None,
        }
    }

    /// Opens connections ahead of those that replies have proven, unless the accept queue is visible.
    pub(super) fn use_proofs(&mut self, window: Option<u32>) {
        self.proofs = Some(Proofs::new(window, self.total));
    }

    /// Whether a message is to be sent on this connection once it is established, so that its reply proves it.
    pub(super) fn must_prove(&self, connection: u32) -> bool {
        let mut proofs = self.proofs.iter();
        self.proves(connection) && proofs.any(|proofs| proofs.proven() <= connection)
    }

    /// Whether this is one of the connections that are proven by replies.
    pub(super) fn proves(&self, connection: u32) -> bool {
        let mut proofs = self.proofs.iter();
        !self.pacing.reads_queue() && proofs.any(|proofs| proofs.proves(connection))
    }

    /// The server has replied on this connection.
    pub(super) fn on_proven(&mut self, connection: u32) {
        if let Some(proofs) = &mut self.proofs {
            proofs.on_proven(connection);
        }
    }

    /// Plans how many connections may begin to connect, by the server's accept queue if `read` returns it. Returns whether
    /// the server has just turned out not to accept: the queue is read no longer then.
    pub(super) fn plan(&mut self, now: Time, read: impl FnOnce() -> Option<AcceptQueue>) -> bool {
        let is_last = self.next == self.total;
        let is_early = !is_last && self.next_due() > now;
        let must_wait = self.pacing.reads_queue() && self.pacing.wake_at > Some(now);
        if is_early || must_wait || self.ends_at.is_some() {
            return false;
        }
        let connecting = self.connecting_count();
        let mut waiting = 0;
        if self.pacing.reads_queue() {
            if let Some(queue) = read() {
                waiting = queue.length;
                self.pacing.plan_by_queue(queue, connecting, is_last, now);
            } else {
                self.pacing.abandon_queue();
                self.proofs.take_if(|_| self.next > 0);
            }
        }
        let mut accepted = (self.next - connecting).saturating_sub(waiting);
        if let Some(proofs) = self.proofs.as_ref().filter(|_| !self.pacing.reads_queue()) {
            accepted = proofs.proven();
            waiting = self.next - accepted;
        }
        self.acceptance.update(accepted, waiting, now);
        let is_stalled = self.acceptance.stalled_for(now) >= self.accept_timeout && waiting > 0;
        if is_stalled {
            self.pacing.abandon_queue();
            self.proofs = None;
        }
        if !self.pacing.reads_queue() {
            self.plan_without_queue(now);
        }
        let is_open = is_last && connecting == 0;
        let is_known = self.pacing.reads_queue() || self.proofs.is_some();
        if is_open && (self.acceptance.accepted() == self.total || !is_known) {
            self.ends_at = Some(now + self.pacing.settle_time());
        }
        is_stalled
    }

    fn plan_without_queue(&mut self, now: Time) {
        if let Some(proofs) = &self.proofs {
            let room = proofs.room(self.next);
            self.pacing.plan_by_proofs(room, now, self.accept_timeout);
        } else {
            let began = self.connecting.values().copied();
            self.pacing.plan_blindly(began, now);
        }
    }

    fn connecting_count(&self) -> u32 {
        u32::try_from(self.connecting.len()).unwrap_or(u32::MAX)
    }

    /// The number of the connection to open now, if any.
    pub(super) fn next(&self, now: Time) -> Option<u32> {
        let has_next = self.next < self.total && self.pacing.permits > 0;
        (has_next && self.next_due() <= now).then_some(self.next)
    }

    fn next_due(&self) -> Time {
        self.ramp
            .map_or(Time::ZERO, |ramp| ramp.due(self.next.into()))
    }

    /// The next connection is connecting.
    pub(super) fn on_started(&mut self, now: Time) {
        self.connecting.insert(self.next, now);
        self.pacing.on_started();
        self.next += 1;
    }

    /// The next connection failed at once.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Opens no further connections; returns how many were left.
    pub(super) fn cancel_rest(&mut self) -> u32 {
        let left = self.total - self.next;
        self.total = self.next;
        // The last one was to be proven.
        self.proofs = None;
        left
    }

    /// A connection is established: returns how long it took, or `None` if it was not connecting.
    pub(super) fn on_established(&mut self, connection: u32, now: Time) -> Option<Duration> {
        let began = self.connecting.remove(&connection)?;
        let took = now.since(began);
        self.pacing.on_established(took);
        Some(took)
    }

    /// A connection has ended; returns whether it was still connecting.
    pub(super) fn on_closed(&mut self, connection: u32) -> bool {
        // It is no longer in the accept queue.
        self.on_proven(connection);
        self.connecting.remove(&connection).is_some()
    }

    /// Whether the server has accepted this connection and not refused it, as far as is known.
    pub(super) fn is_held(&self, connection: u32, now: Time) -> bool {
        self.acceptance.is_held(connection, now)
    }

    /// For how long the server has accepted none of the connections that wait in its accept queue, while that is read.
    pub(super) fn stalled_for(&self, now: Time) -> Duration {
        self.acceptance.stalled_for(now)
    }

    /// Whether it is known which connections the server has accepted.
    pub(super) fn knows_accepted(&self) -> bool {
        self.pacing.has_read() || self.proofs.is_some()
    }

    /// Whether every connection is established or has failed, and is accepted as far as is known.
    pub(super) fn is_done(&self, now: Time) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }

    /// When to call again even without an event.
    pub(super) fn wake_at(&self) -> Option<Time> {
        if self.ends_at.is_some() {
            return self.ends_at;
        }
        if self.next < self.total {
            return self.pacing.wake_at.map(|at| at.max(self.next_due()));
        }
        if !self.pacing.reads_queue() && self.proofs.is_none() {
            // The last ones are connecting, or an iteration is missing to end.
            return self.connecting.is_empty().then_some(Time::ZERO);
        }
        self.pacing.wake_at
    }
}

#[cfg(test)]
mod tests;
