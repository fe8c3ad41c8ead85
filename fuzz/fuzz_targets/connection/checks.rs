//! What must hold for a connection after every step, and when it has closed.

use crate::TestHarness;
use crate::due::{InputState, Observed};
use crate::script::Broken;
use echoloop::connection::CloseReason;
use echoloop::connection::testing::Outcome;
use echoloop::net::Readiness;
use echoloop::protocol::Session;
use std::io::ErrorKind;

impl<P: Observed, const DRAINS: bool> TestHarness<P, DRAINS>
where
    P::Session: Session<Shared = P>,
{
    /// What must hold after every step; `is_mute`: FIN was sent before it.
    pub fn check(&mut self, is_mute: bool) {
        self.check_input();
        let TestHarness {
            connection,
            common,
            script,
            due,
            ..
        } = self;
        let input = InputState {
            before_fin: script.read,
            delivered: usize::try_from(connection.bytes_in())
                .expect("as many as the script has passed"),
            is_mute,
        };
        common.protocol.update(due, input);
        let unchecked = due.compared..script.written.len();
        assert_eq!(
            script.written.get(unchecked.clone()),
            due.bytes.get(unchecked),
            "the output is as expected"
        );
        due.compared = script.written.len();
        assert_eq!(connection.bytes_out(), script.written.len() as u64);
        let pending = connection.pending_output(&common.pool);
        if script.broken.is_some() {
            // The owner releases its buffers.
            return;
        }
        let unwritten = due.bytes.len() - script.written.len();
        assert_eq!(pending, unwritten, "unwritten output is pending");
        if let Some(reply) = common.protocol.longest_reply() {
            let most = common.limits.max_pending + reply + due.from_outside;
            assert!(
                pending <= most,
                "{pending} bytes pending, allowed are {most}"
            );
        }
        let may_hold = pending + common.protocol.unconsumed();
        // While draining, unconsumed input is dropped.
        let must_hold = if self.drained { pending } else { may_hold };
        let held = common.pool.held();
        assert!(held >= must_hold, "{held} bytes account for {must_hold}");
        assert!(may_hold > 0 || held == 0, "{held} bytes held without need");
    }

    /// All input was passed to the session, except after a FIN that ended the connection.
    fn check_input(&self) {
        let (delivered, dropped) = (self.connection.bytes_in(), self.common.bytes_dropped);
        assert_eq!(delivered + dropped, self.bytes_read() as u64);
        if !self.output_complete {
            assert_eq!(delivered, self.script.read as u64);
        } else if !self.has_ended_itself() {
            assert_eq!(dropped, 0, "input is still to be processed");
        }
    }

    /// Whether the server or the session has ended the connection.
    fn has_ended_itself(&self) -> bool {
        self.drained || self.common.protocol.finished().is_some()
    }

    /// The connection waits only for events that can happen, and closes only with a cause.
    pub fn check_outcome(&self, outcome: Outcome) {
        let reported = self.script.reported;
        let pending = self.connection.pending_output(&self.common.pool);
        match outcome {
            Outcome::Closed(reason) => self.check_reason(reason),
            Outcome::Again => {
                // A session that finishes after a half-close turns it into the end of the connection.
                let has_cause = reported.contains(Readiness::READABLE)
                    || self.output_complete && self.script.fin_sent;
                assert!(has_cause, "an iteration without a cause");
            }
            Outcome::Memory => assert!(self.common.pool.is_scarce(), "memory is not scarce"),
            Outcome::RecordReady => panic!("no protocol here has records"),
            Outcome::Event if self.connecting => {}
            Outcome::Event if pending > 0 => {
                let ignored = reported.contains(Readiness::WRITABLE);
                assert!(
                    !ignored,
                    "pending output, but writable readiness is ignored"
                );
            }
            Outcome::Event if self.recv_closed => {}
            Outcome::Input | Outcome::Event => {
                assert_eq!(pending, 0, "pending output, but it waits for input only");
                let ignored = reported.contains(Readiness::READABLE);
                assert!(!ignored, "readable readiness is ignored");
                let stopped = self.common.protocol.is_stopped();
                assert!(!stopped, "the session was not called again");
            }
        }
    }

    fn check_reason(&self, reason: CloseReason) {
        let script = &self.script;
        let finished = self.common.protocol.finished().map(CloseReason::from);
        let after_fin = finished.unwrap_or(CloseReason::Drained);
        let expected = match script.broken {
            None if self.cancelled => CloseReason::Drained,
            None => {
                assert!(script.fin_read, "closed without a cause: {reason}");
                assert_eq!(
                    script.written, self.due.bytes,
                    "closed before all output was sent"
                );
                if self.drained && (script.fin_sent || self.recv_closed) {
                    after_fin
                } else {
                    finished.unwrap_or(CloseReason::PeerClosed)
                }
            }
            Some(Broken::Read(_)) if script.fin_sent && self.has_ended_itself() => after_fin,
            Some(Broken::Read(kind)) if is_loss(kind) => CloseReason::PeerLost,
            Some(Broken::Write(kind)) if is_loss(kind) => CloseReason::PeerLost,
            Some(Broken::Write(kind)) if !is_reset(kind) => CloseReason::WriteFailed,
            Some(Broken::Read(_) | Broken::Write(_) | Broken::Shutdown) => CloseReason::PeerReset,
            Some(Broken::Connect) => CloseReason::ConnectFailed,
        };
        assert_eq!(reason, expected);
        assert_eq!(self.common.last_error.is_some(), script.broken.is_some());
    }
}

fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable)
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
