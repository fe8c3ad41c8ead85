//! What holds of a run of `send`: after each turn of it, and when it has ended.

use super::{Exchange, MOST_IDLE_TURNS, PATIENCE};
use crate::selector::CLIENTS;
use crate::send_script::SendProtocol;
use crate::socket::Socket;
use crate::world::World;
use echoloop::client::{Failure, SendReport};
use echoloop::connection::CloseReason;
use echoloop::protocol::Protocol;
use echoloop::reactor::SCRATCH_SIZE;
use echoloop::server::Exit;
use std::io::ErrorKind;
use std::time::Duration;

/// What `send` reads at once from standard input, and what may wait for standard output.
const PIECE: usize = 32 * 1024;
const MOST_OUTPUT: usize = 256 * 1024;

/// The client's ends of all connections that it has begun: the server's come to be behind them.
pub fn clients_ends(world: &World) -> impl Iterator<Item = &Socket> {
    let ends = world.sockets.iter().enumerate();
    let own = ends.filter(|(id, end)| end.peer.is_none_or(|peer| peer > *id));
    own.map(|(_, end)| end)
}

impl<const DRAINS: bool, P: Protocol> Exchange<DRAINS, P> {
    /// The client sleeps when there is nothing to do, and something happens in the end.
    pub(super) fn check_progress(&mut self) {
        let world = self.world.borrow();
        let inlet = self.inlet.as_ref().map(|inlet| inlet.borrow());
        let sum = |count: fn(&Socket) -> u64| clients_ends(&world).map(count).sum::<u64>();
        let moved = [
            inlet
                .as_ref()
                .map_or(0, |inlet| inlet.read as u64 + u64::from(inlet.has_ended)),
            self.pipe.borrow().written.len() as u64,
            sum(|end| end.read),
            sum(|end| end.written),
            sum(|end| u64::from(end.fin_sent) + u64::from(end.closed)),
            sum(|_| 1),
        ];
        self.idle_turns += 1;
        if moved != self.moved || world.hosts[CLIENTS].asleep_until.is_some() {
            self.idle_turns = 0;
        }
        assert!(self.idle_turns < MOST_IDLE_TURNS, "it spins: {moved:?}");
        if moved != self.moved {
            (self.moved, self.moved_at) = (moved, world.now);
        }
        let waited = world.now - self.moved_at;
        assert!(waited < 2 * PATIENCE, "forgotten: {moved:?}");
    }

    /// Whoever is slow, not much is held; and so the slow one's pace reaches the other end.
    pub(super) fn check_bounds(&mut self) {
        let piece = match self.dialogue.protocol {
            SendProtocol::Frame(width) => {
                PIECE * width.bytes() + self.dialogue.client_max_message + width.bytes()
            }
            _ => PIECE + 1,
        };
        // One turn reads twice what is read at once, and a buffer is at most four times what was ever in it.
        // What had arrived when a write found that the server has reset the connection is read at once.
        let bound = 2 * piece + MOST_OUTPUT + 2 * SCRATCH_SIZE + 4 * piece + self.plan.window;
        let held = self.sender.pool().held();
        assert!(held <= bound, "{held} bytes held, allowed are {bound}");
        if self.dialogue.protocol != SendProtocol::Raw {
            return;
        }
        let Some(inlet) = &self.inlet else { return };
        let pipe = self.pipe.borrow();
        let under_way = inlet.borrow().read - pipe.written.len();
        let servers = 2 * (self.plan.server.max_pending + SCRATCH_SIZE);
        let bound = bound + servers + 2 * self.plan.window;
        let world = self.world.borrow();
        let bound = bound + 2 * world.kernel.send_buffer;
        // Behind its FIN the server drops what still comes.
        let is_lost = pipe.has_told
            || world
                .sockets
                .iter()
                .any(|end| end.closed || (end.is_server_side && end.fin_sent));
        assert!(
            is_lost || under_way <= bound,
            "{under_way} bytes read and not written, allowed are {bound}"
        );
    }

    /// What holds when it is over. Gives back how it ended, in a word or two.
    pub(super) fn check_the_end(&mut self, end: &Result<SendReport, Failure>) -> &'static str {
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!((self.server.live(), self.server.buffered()), (0, 0));
        let world = self.world.borrow();
        for own in clients_ends(&world) {
            assert!(own.closed, "left open: {own:?}");
        }
        self.check_printed(&world);
        match end {
            Ok(sent) => self.check_success(&world, sent),
            Err(failure) => self.check_failure(&world, failure),
        }
    }

    /// What is printed is what was owed, or its beginning; and all of what was read.
    fn check_printed(&self, world: &World) {
        let pipe = self.pipe.borrow();
        let expected = &self.dialogue.expected_output;
        assert!(
            expected.starts_with(&pipe.written),
            "printed were {} bytes, which are not the first of {}",
            pipe.written.len(),
            expected.len()
        );
        let read = clients_ends(world).map(|end| end.read).sum();
        let due = self.dialogue.output_len_for(read);
        assert!(
            pipe.has_told || pipe.written.len() == due,
            "{} bytes were printed of {due} that were read",
            pipe.written.len()
        );
        let stood = clients_ends(world).any(|end| end.was_established);
        let typed = self.inlet.as_ref().map_or(0, |inlet| inlet.borrow().read);
        assert!(stood || typed == 0, "input was taken for nobody");
    }

    fn check_success(&self, world: &World, sent: &SendReport) -> &'static str {
        let own = clients_ends(world).last().expect("one has stood");
        let pipe = self.pipe.borrow();
        let is_closed = pipe.has_told && pipe.error() == Some(ErrorKind::BrokenPipe);
        assert_eq!(sent.output_closed, is_closed);
        assert_eq!((sent.sent, sent.received), (own.written, own.read));
        if is_closed {
            return "output closed";
        }
        assert!(!pipe.has_told, "an error of standard output is not told");
        assert!(own.fin_arrived, "the server's FIN was not waited for");
        assert!(own.receive_queue.is_empty(), "not all was read: {own:?}");
        let servers = &world.sockets[own.peer.expect("it has stood")];
        let server_was_first = servers.fin_sent && servers.fin_was_first;
        // A server that is stopped need not have read all that has arrived.
        let is_whole = pipe.written.len() == self.dialogue.expected_output.len();
        if server_was_first || (self.is_stopped_early && !is_whole) {
            let may_end = self.plan.trouble.server || self.plan.trouble.memory;
            assert!(may_end, "the server ended it: {servers:?}");
            return "cut";
        }
        assert!(own.fin_sent, "no FIN was sent");
        assert!(!servers.reset_arrived, "reset at its end");
        assert_eq!(own.written, self.dialogue.expected_sent, "not all was sent");
        assert!(is_whole, "printed were {} bytes", pipe.written.len());
        let inlet = self.inlet.as_ref().map(|inlet| inlet.borrow());
        let has_ended = inlet.is_none_or(|inlet| inlet.has_ended && inlet.error().is_none());
        assert!(has_ended, "not all of the input was read");
        "whole"
    }

    fn check_failure(&self, world: &World, failure: &Failure) -> &'static str {
        let trouble = &self.plan.trouble;
        let own = clients_ends(world).last();
        match failure {
            Failure::Connect { attempts, .. } => {
                let is_stopped = world.listeners[0].closed;
                let may_fail = trouble.connecting || trouble.memory || is_stopped;
                assert!(may_fail, "{failure}");
                assert_eq!(attempts.len(), self.plan.addresses, "{failure}");
                "not connected"
            }
            Failure::Lost { end, .. } => {
                let own = own.expect("it has stood");
                assert!(trouble.server || trouble.memory, "{failure}: {own:?}");
                assert_eq!((end.sent, end.received), (own.written, own.read));
                let is_reset = end.reason == CloseReason::PeerReset;
                assert!(
                    !is_reset || own.receive_queue.is_empty(),
                    "not all that had come was read: {own:?}"
                );
                if end.reason == CloseReason::NoMemory {
                    "no memory"
                } else {
                    "lost"
                }
            }
            Failure::Timeout { timeout, .. } => {
                let own = own.expect("it has stood");
                assert_eq!(Some(*timeout), self.plan.timeout);
                let waited = Duration::from_nanos(world.now - own.last_io_at);
                assert!(waited >= *timeout, "silent for {waited:?} only: {own:?}");
                "silent"
            }
            Failure::TooLong(_) => {
                assert!(self.dialogue.client_rejects, "{failure}");
                "too long"
            }
            Failure::Input(error) => {
                let inlet = self.inlet.as_ref().expect("it was read from").borrow();
                assert!(inlet.has_ended && inlet.error() == Some(error.kind()));
                "input failed"
            }
            Failure::Output(error) => {
                let pipe = self.pipe.borrow();
                assert!(pipe.has_told && pipe.error() == Some(error.kind()));
                assert_ne!(error.kind(), ErrorKind::BrokenPipe);
                "output failed"
            }
            Failure::OutOfMemory => {
                assert!(trouble.memory, "{failure}");
                "no memory"
            }
            Failure::Malformed { .. } | Failure::Interrupted { .. } | Failure::Loop(_) => {
                panic!("without a cause: {failure}")
            }
        }
    }
}
