//! The owner of connections, such as a server or a client. Every connection is closed in [`Owner::close`].

use super::{Closed, Connections, Driver};
use crate::connection::receiving::logs_input;
use crate::connection::{CloseReason, Connection};
use crate::net::{Key, Net, Note, Readiness, Source, Time};
use crate::protocol::{Outbox, Protocol, Session};
use crate::reactor::Handler;
use std::io;

/// Opens connections, and is notified when they end.
///
/// An owner is the [`Handler`] of the event loop of its connections.
pub trait Owner<N: Net, P: Protocol>: Sized {
    /// Whether connections are evicted while memory is scarce, as a server of many clients does.
    const EVICTS: bool = false;

    /// The driver of the connections.
    fn driver(&mut self) -> &mut Driver<P>;

    /// A connection was driven; `ended` is why it has ended, if it has. Returns why it is to be closed, if it is.
    #[inline]
    fn driven(
        &mut self,
        _reactor: &mut Connections<N, P>,
        _key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        ended
    }

    /// The deadline of a connection has passed. Returns why it is to be closed, unless the owner restarts its timer.
    fn timed_out(
        &mut self,
        _reactor: &mut Connections<N, P>,
        _key: Key,
        reason: CloseReason,
    ) -> Option<CloseReason> {
        Some(reason)
    }

    /// A connection is about to be closed; its stream can still be read.
    fn closing(&mut self, _reactor: &mut Connections<N, P>, _key: Key, _reason: CloseReason) {}

    /// A connection was closed.
    fn closed(&mut self, reactor: &mut Connections<N, P>, key: Key, closed: Closed);

    /// A listener or another source is ready.
    fn source_ready(&mut self, _reactor: &mut Connections<N, P>, _source: Source) {}

    /// The time of the next iteration even if no event arrives.
    fn wake_at(&self) -> Option<Time> {
        None
    }

    /// All events of an iteration were handled; the connections that wait for memory run next.
    fn events_handled(&mut self, _reactor: &mut Connections<N, P>) {}

    /// Closes a connection.
    fn close(&mut self, reactor: &mut Connections<N, P>, key: Key, reason: CloseReason) {
        self.closing(reactor, key, reason);
        if let Some(closed) = self.driver().close(reactor, key, reason) {
            self.closed(reactor, key, closed);
        }
    }

    /// Writes on a connection, as a client does; see [`Connection::write`]. False if it has ended and was closed.
    #[inline]
    fn write(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        write: impl FnOnce(&mut Outbox<'_>),
    ) -> bool {
        let ended = self.driver().write(reactor, key, write);
        if let Some(reason) = ended {
            self.close(reactor, key, reason);
        }
        ended.is_none()
    }

    /// Runs one iteration of the event loop. Afterwards connections are [evicted](Self::EVICTS), and those that wait for
    /// memory continue.
    ///
    /// # Errors
    /// The error of the selector, after which the loop cannot continue.
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    fn run_iteration(&mut self, reactor: &mut Connections<N, P>) -> io::Result<()> {
        let is_observed = reactor.net.is_recording() || logs_input();
        let common = &mut self.driver().common;
        common.pool.begin_iteration(is_observed);
        common.protocol.begin_iteration();
        reactor.run_iteration(self)?;
        self.events_handled(reactor);
        if Self::EVICTS && self.driver().begin_eviction(reactor.now()) {
            while let Some(key) = self.driver().next_to_evict(reactor) {
                self.close(reactor, key, CloseReason::NoMemory);
            }
        }
        while let Some((key, reason)) = self.driver().resume_waiting(reactor) {
            self.close(reactor, key, reason);
        }
        Ok(())
    }
}

impl<N: Net, S: Session, O: Owner<N, S::Shared>> Handler<N, Connection<S>> for O {
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    fn ready(&mut self, reactor: &mut Connections<N, S::Shared>, key: Key, readiness: Readiness) {
        let ended = self.driver().drive(reactor, key, readiness);
        if let Some(reason) = self.driven(reactor, key, ended) {
            self.close(reactor, key, reason);
        }
    }

    fn expired(&mut self, reactor: &mut Connections<N, S::Shared>, key: Key) {
        if let Some((slot, net)) = reactor.slot_and_net(key) {
            net.note(key, Note::DeadlinePassed(slot.class().number()));
        }
        self.driver().common.deadlines += 1;
        let ended = self.driver().drive_at_deadline(reactor, key);
        if let Some(reason) = self.driven(reactor, key, ended) {
            self.close(reactor, key, reason);
        } else if let Some(reason) = self.driver().check_deadline(reactor, key) {
            if let Some(reason) = self.timed_out(reactor, key, reason)
                && let Some(reason) = self.driver().finish(reactor, key, reason)
            {
                self.close(reactor, key, reason);
            }
        } else {
            reactor.net.note(key, Note::DeadlineExtended);
        }
    }

    fn source_ready(&mut self, reactor: &mut Connections<N, S::Shared>, source: Source) {
        Owner::source_ready(self, reactor, source);
    }

    fn wake_at(&self) -> Option<Time> {
        Owner::wake_at(self)
    }
}
