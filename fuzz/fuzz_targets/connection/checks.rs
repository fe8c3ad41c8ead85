//! What must hold of a connection whenever something was done with it, and when it has ended.

use crate::Rig;
use crate::due::{Came, Spoken};
use crate::script::Broken;
use echoloop::connection::{CloseReason, Outcome};
use echoloop::net::Readiness;
use echoloop::protocol::Session;
use std::io::ErrorKind;

impl<P: Spoken, const DRAINS: bool> Rig<P, DRAINS>
where
    P::Session: Session<Shared = P>,
{
    /// What holds whenever something was done with the connection; `is_mute`: after its FIN.
    pub fn check(&mut self, is_mute: bool) {
        self.check_what_was_heard();
        let Rig {
            connection,
            common,
            script,
            due,
            ..
        } = self;
        let came = Came {
            before_fin: script.read,
            heard: usize::try_from(connection.bytes_in()).expect("it has been counted here too"),
            is_mute,
        };
        common.protocol.settle(due, came);
        let fresh = due.compared..script.written.len();
        assert_eq!(
            script.written.get(fresh.clone()),
            due.bytes.get(fresh),
            "written is what was due"
        );
        due.compared = script.written.len();
        assert_eq!(connection.bytes_out(), script.written.len() as u64);
        let owed = connection.owed();
        assert_eq!(connection.owes(), owed > 0);
        if script.broken.is_some() {
            // What it still holds, its owner gives back.
            return;
        }
        let unwritten = due.bytes.len() - script.written.len();
        assert_eq!(owed, unwritten, "what is not written is owed");
        if let Some(reply) = common.protocol.longest_reply() {
            let most = common.limits.max_pending + reply + due.from_outside;
            assert!(owed <= most, "{owed} bytes owed, allowed are {most}");
        }
        let may_hold = owed + common.protocol.kept();
        // Input of which the rest will never be read is for nobody.
        let must_hold = if self.drained { owed } else { may_hold };
        let held = common.pool.held();
        assert!(held >= must_hold, "{held} bytes account for {must_hold}");
        assert!(may_hold > 0 || held == 0, "{held} bytes held for nothing");
    }

    /// All that was read was heard, but for what comes after a FIN with which the connection has ended.
    fn check_what_was_heard(&self) {
        let (heard, dropped) = (self.connection.bytes_in(), self.common.bytes_dropped);
        assert_eq!(heard + dropped, self.bytes_read() as u64);
        if !self.said_all {
            assert_eq!(heard, self.script.read as u64);
        } else if !self.has_ended_itself() {
            assert_eq!(dropped, 0, "it is still to listen");
        }
    }

    /// The program or the session has ended it.
    fn has_ended_itself(&self) -> bool {
        self.drained || self.common.protocol.finished().is_some()
    }

    /// The connection waits only for what will come, and ends only for what has come.
    pub fn check_outcome(&self, outcome: Outcome) {
        let told = self.script.told;
        let owed = self.connection.owed();
        match outcome {
            Outcome::Closed(reason) => self.check_reason(reason),
            Outcome::Turn => {
                // A session that ends, with all said that was to be, makes the FIN another than it was going to be.
                let knows_why =
                    told.contains(Readiness::READABLE) || self.said_all && self.script.fin_sent;
                assert!(knows_why, "a turn for nothing");
            }
            Outcome::Memory => assert!(self.common.pool.is_scarce(), "there is memory enough"),
            Outcome::Taker => panic!("nobody has made a record"),
            Outcome::Event if self.connecting => {}
            Outcome::Event if owed > 0 => {
                let forgotten = told.contains(Readiness::WRITABLE);
                assert!(!forgotten, "it owes, and forgets that there is room");
            }
            Outcome::Event if self.heard_out => {}
            Outcome::Input | Outcome::Event => {
                assert_eq!(owed, 0, "it owes, and waits for input only");
                let forgotten = told.contains(Readiness::READABLE);
                assert!(!forgotten, "it forgets that there may be input");
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
            None if self.called_off => CloseReason::Drained,
            None => {
                assert!(script.fin_read, "closed as {reason} without a cause");
                assert_eq!(script.written, self.due.bytes, "closed before all was sent");
                if self.drained && (script.fin_sent || self.heard_out) {
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
