//! What a protocol does beside the calls of its sessions: it sends messages to connections, and has a timer.

use super::Service;
use crate::connection::{Connections, Owner};
use crate::net::{Net, Time};
use crate::protocol::{Finish, Message, Protocol};

impl<N: Net, P: Protocol> Service<N, P> {
    /// Calls the protocol if its timer has expired.
    #[inline]
    pub(super) fn fire_timer(&mut self, now: Time) {
        let protocol = &mut self.driver.common.protocol;
        if protocol.wake_at().is_some_and(|at| at <= now) {
            protocol.on_wake(now);
        }
    }

    /// Sends all messages of the protocol; false if there were none. To be called after everything else in an iteration,
    /// since each call of a session and each closed connection may add messages.
    #[inline]
    pub(super) fn send_messages(&mut self, reactor: &mut Connections<N, P>) -> bool {
        let mut has_sent = false;
        while let Some(message) = self.driver.common.protocol.next_message() {
            self.send_message(reactor, &message);
            has_sent = true;
        }
        if has_sent {
            // No event need come for connections that wait for memory of those that were closed.
            while let Some((key, reason)) = self.driver.resume_waiting(reactor) {
                self.close(reactor, key, reason);
            }
        }
        has_sent
    }

    /// Sends a message to its connection, if that can still send, or closes the connection of a slow reader.
    #[inline(never)]
    fn send_message(&mut self, reactor: &mut Connections<N, P>, message: &Message) {
        let key = message.to;
        let overload = self.driver.overload_reason(reactor, key);
        let mut closes_for = None;
        self.write(reactor, key, |outbox| {
            closes_for = overload;
            if overload.is_none() {
                outbox.write(&message.bytes);
                if message.closes {
                    outbox.finish(Finish::Done);
                }
            }
        });
        if let Some(reason) = closes_for {
            self.close(reactor, key, reason);
        }
    }
}
