//! Checks of a run of `send`: after each iteration of the client, and at its end.

use super::{Exchange, MAX_IDLE_ITERATIONS, MAX_QUIET};
use crate::network::Network;
use crate::selector::CLIENTS;
use crate::send_script::SendProtocol;
use crate::socket::Socket;
use echoloop::client::{Failure, SendReport};
use echoloop::connection::CloseReason;
use echoloop::protocol::Protocol;
use echoloop::reactor::SCRATCH_SIZE;
use echoloop::server::Exit;
use std::io::ErrorKind;
use std::time::Duration;

/// The most that `send` reads at once from standard input, and its limit of pending output.
const CHUNK: usize = 32 * 1024;
const MAX_PENDING_OUTPUT: usize = 256 * 1024;

/// The client's sockets of all its connections. The server's socket of a connection is added after the client's.
pub fn client_sockets(network: &Network) -> impl Iterator<Item = &Socket> {
    let sockets = network.sockets.iter().enumerate();
    let clients = sockets.filter(|(id, socket)| socket.peer.is_none_or(|peer| peer > *id));
    clients.map(|(_, socket)| socket)
}

impl<const DRAINS: bool, P: Protocol> Exchange<DRAINS, P> {
    /// The client sleeps if there is nothing to do, and progress never stops.
    pub(super) fn check_progress(&mut self) {
        let network = self.network.borrow();
        let stdin = self.stdin.as_ref().map(|stdin| stdin.borrow());
        let sum = |count: fn(&Socket) -> u64| client_sockets(&network).map(count).sum::<u64>();
        let progress = [
            stdin
                .as_ref()
                .map_or(0, |stdin| stdin.read as u64 + u64::from(stdin.end_reported)),
            self.stdout.borrow().written.len() as u64,
            sum(|socket| socket.read),
            sum(|socket| socket.written),
            sum(|socket| u64::from(socket.fin_sent) + u64::from(socket.closed)),
            sum(|_| 1),
        ];
        self.idle_iterations += 1;
        if progress != self.progress || network.hosts[CLIENTS].asleep_until.is_some() {
            self.idle_iterations = 0;
        }
        assert!(
            self.idle_iterations < MAX_IDLE_ITERATIONS,
            "the client spins: {progress:?}"
        );
        if progress != self.progress {
            (self.progress, self.progress_at) = (progress, network.now);
        }
        let waited = network.now - self.progress_at;
        assert!(waited < 2 * MAX_QUIET, "no progress: {progress:?}");
    }

    /// Buffers are bounded whichever side is slow, so backpressure reaches the other side.
    pub(super) fn check_bounds(&mut self) {
        let chunk = match self.dialogue.protocol {
            SendProtocol::Frame(width) => {
                CHUNK * width.bytes() + self.dialogue.client_max_message + width.bytes()
            }
            _ => CHUNK + 1,
        };
        // One iteration reads two chunks, and a buffer's capacity is at most four times its largest content.
        // When a write finds that the server has reset the connection, all input that has arrived is read at once.
        let bound =
            2 * chunk + MAX_PENDING_OUTPUT + 2 * SCRATCH_SIZE + 4 * chunk + self.plan.window;
        let held = self.sender.pool().held();
        assert!(held <= bound, "{held} bytes held, more than {bound}");
        if self.dialogue.protocol != SendProtocol::Raw {
            return;
        }
        let Some(stdin) = &self.stdin else { return };
        let stdout = self.stdout.borrow();
        let in_flight = stdin.borrow().read - stdout.written.len();
        let servers = 2 * (self.plan.server.max_pending + SCRATCH_SIZE);
        let bound = bound + servers + 2 * self.plan.window;
        let network = self.network.borrow();
        let bound = bound + 2 * network.kernel.send_buffer;
        // After its FIN the server discards input.
        let is_lost = stdout.error_reported
            || network
                .sockets
                .iter()
                .any(|socket| socket.closed || (socket.is_server_side && socket.fin_sent));
        assert!(
            is_lost || in_flight <= bound,
            "{in_flight} bytes read and not written, more than {bound}"
        );
    }

    /// Checks the client's result after both programs have ended; returns the outcome in a word or two.
    pub(super) fn check_result(&mut self, result: &Result<SendReport, Failure>) -> &'static str {
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!((self.server.live(), self.server.buffered()), (0, 0));
        let network = self.network.borrow();
        for socket in client_sockets(&network) {
            assert!(socket.closed, "left open: {socket:?}");
        }
        self.check_printed(&network);
        match result {
            Ok(report) => self.check_success(&network, report),
            Err(failure) => self.check_failure(&network, failure),
        }
    }

    /// The output is a prefix of the expected output, and has everything that the client has received.
    fn check_printed(&self, network: &Network) {
        let stdout = self.stdout.borrow();
        let expected = &self.dialogue.expected_output;
        assert!(
            expected.starts_with(&stdout.written),
            "{} bytes were printed that are no prefix of the expected {}",
            stdout.written.len(),
            expected.len()
        );
        let read = client_sockets(network).map(|socket| socket.read).sum();
        let due = self.dialogue.output_len_for(read);
        assert!(
            stdout.error_reported || stdout.written.len() == due,
            "{} bytes were printed of {due} received",
            stdout.written.len()
        );
        let was_established = client_sockets(network).any(|socket| socket.was_established);
        let input = self.stdin.as_ref().map_or(0, |stdin| stdin.borrow().read);
        assert!(
            was_established || input == 0,
            "input was read without a connection"
        );
    }

    fn check_success(&self, network: &Network, report: &SendReport) -> &'static str {
        let client = client_sockets(network).last().expect("a connection");
        let stdout = self.stdout.borrow();
        let is_closed = stdout.error_reported && stdout.error() == Some(ErrorKind::BrokenPipe);
        assert_eq!(report.output_closed, is_closed);
        assert_eq!(
            (report.sent, report.received),
            (client.written, client.read)
        );
        if is_closed {
            return "output closed";
        }
        assert!(
            !stdout.error_reported,
            "an error of standard output is not reported"
        );
        assert!(client.fin_arrived, "ended before the server's FIN");
        assert!(
            client.receive_queue.is_empty(),
            "not all input was read: {client:?}"
        );
        let servers = &network.sockets[client.peer.expect("established")];
        let server_was_first = servers.fin_sent && servers.fin_was_first;
        // A server that is stopping may leave input unread.
        let is_complete = stdout.written.len() == self.dialogue.expected_output.len();
        if server_was_first || (self.is_stopped_early && !is_complete) {
            let may_end = self.plan.allowed_failures.server || self.plan.allowed_failures.memory;
            assert!(may_end, "the server closed first: {servers:?}");
            return "truncated";
        }
        assert!(client.fin_sent, "no FIN was sent");
        assert!(!servers.reset_arrived, "the client reset the connection");
        assert_eq!(
            client.written, self.dialogue.expected_sent,
            "not all was sent"
        );
        assert!(
            is_complete,
            "only {} bytes were printed",
            stdout.written.len()
        );
        let stdin = self.stdin.as_ref().map(|stdin| stdin.borrow());
        let is_at_eof = stdin.is_none_or(|stdin| stdin.end_reported && stdin.error().is_none());
        assert!(is_at_eof, "standard input was not read to EOF");
        "complete"
    }

    fn check_failure(&self, network: &Network, failure: &Failure) -> &'static str {
        let allowed = &self.plan.allowed_failures;
        let client = client_sockets(network).last();
        match failure {
            Failure::Connect { attempts, .. } => {
                let is_refused = network.listeners[0].closed;
                let may_fail = allowed.connecting || allowed.memory || is_refused;
                assert!(may_fail, "{failure}");
                assert_eq!(attempts.len(), self.plan.addresses, "{failure}");
                "not connected"
            }
            Failure::Lost { end, .. } => {
                let client = client.expect("a connection");
                assert!(allowed.server || allowed.memory, "{failure}: {client:?}");
                assert_eq!((end.sent, end.received), (client.written, client.read));
                let is_reset = end.reason == CloseReason::PeerReset;
                assert!(
                    !is_reset || client.receive_queue.is_empty(),
                    "not all input before the reset was read: {client:?}"
                );
                if end.reason == CloseReason::NoMemory {
                    "no memory"
                } else {
                    "lost"
                }
            }
            Failure::Timeout { timeout, .. } => {
                let client = client.expect("a connection");
                assert_eq!(Some(*timeout), self.plan.timeout);
                let waited = Duration::from_nanos(network.now - client.last_io_at);
                assert!(waited >= *timeout, "idle for only {waited:?}: {client:?}");
                "timeout"
            }
            Failure::TooLong(_) => {
                assert!(self.dialogue.client_rejects, "{failure}");
                "too long"
            }
            Failure::Input(error) => {
                let stdin = self.stdin.as_ref().expect("standard input").borrow();
                assert!(stdin.end_reported && stdin.error() == Some(error.kind()));
                "input failed"
            }
            Failure::Output(error) => {
                let stdout = self.stdout.borrow();
                assert!(stdout.error_reported && stdout.error() == Some(error.kind()));
                assert_ne!(error.kind(), ErrorKind::BrokenPipe);
                "output failed"
            }
            Failure::OutOfMemory => {
                assert!(allowed.memory, "{failure}");
                "no memory"
            }
            Failure::Malformed { .. }
            | Failure::Tls { .. }
            | Failure::Clock { .. }
            | Failure::Interrupted { .. }
            | Failure::Loop(_) => {
                panic!("failed without a cause: {failure}")
            }
        }
    }
}
