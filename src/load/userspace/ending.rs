//! How connections in user space end: by the server, by a timeout, or with the load.

use super::{Call, Userspace};
use crate::load::events;
use crate::load::handshake::FailedHandshake;
use crate::load::session::EchoClient;
use crate::load::tester::Tester;
use crate::load::{ConnectError, LossCause, Observer, Stage};
use crate::time::Time;
use crate::tls::MaybeTls;
use crate::userspace::Ended;

/// After so many connections in a row without an answer, no further ones are opened: they would have none either.
const MOST_UNANSWERED: u32 = 16;

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// A connection was ended by the server, or by a timeout.
    pub(super) fn on_userspace_ended(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        ended: Ended,
        now: Time,
    ) {
        let was_established = !matches!(ended, Ended::Refused | Ended::TimedOut);
        userspace.established -= u32::from(was_established);
        if ended == Ended::Fin {
            self.end_session(userspace, number, now);
        }
        userspace.partial.remove(&number);
        if self.config.script.is_some() && self.is_closing(number) {
            self.reopen_userspace(userspace, number, now);
            return;
        }
        let error = match ended {
            Ended::Refused => ConnectError::Refused,
            Ended::TimedOut | Ended::Unacknowledged => ConnectError::Timeout,
            Ended::Reset | Ended::Fin | Ended::Closed => ConnectError::Reset,
        };
        let cause = match ended {
            Ended::Fin => LossCause::Fin,
            Ended::Reset => LossCause::Reset,
            Ended::Unacknowledged => LossCause::Timeout,
            Ended::Refused | Ended::TimedOut | Ended::Closed => LossCause::Other,
        };
        self.count_ended_userspace(number, error, cause, now);
        if ended == Ended::TimedOut {
            self.count_unanswered(userspace, ConnectError::Timeout);
        }
    }

    /// The server has answered neither a SYN nor a hello within the connect timeout.
    fn count_unanswered(&mut self, userspace: &mut Userspace, error: ConnectError) {
        userspace.unanswered += 1;
        if userspace.unanswered >= MOST_UNANSWERED && self.stage == Stage::Connecting {
            let left = self.connector.cancel_rest();
            self.count_failed(error, left.into());
        }
    }

    fn count_ended_userspace(
        &mut self,
        number: u32,
        error: ConnectError,
        cause: LossCause,
        now: Time,
    ) {
        let handshake = FailedHandshake::default();
        let ended = events::Ended {
            error,
            cause,
            handshake,
            not_before: now,
        };
        self.count_ended(number, ended, now);
    }

    /// The input has ended: a reply may be complete by that.
    fn end_session(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        let rest = userspace.partial.remove(&number).unwrap_or_default();
        let mut output = std::mem::take(&mut userspace.output);
        self.run_session(number, Call::End(&rest), &mut output, now);
        userspace.output = output;
        self.process_userspace_replies(userspace, number, now);
    }

    /// The hello of a connection has expired.
    pub(in crate::load) fn give_up_userspace(&mut self, number: u32, now: Time) {
        if let Some(mut userspace) = self.userspace.take() {
            self.end_userspace(&mut userspace, number, now);
            self.count_unanswered(&mut userspace, ConnectError::Hello);
            self.userspace = Some(userspace);
        }
    }

    /// Ends a connection whose session does not go on.
    pub(super) fn end_userspace(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        let index = number - self.config.active;
        if !userspace.tcp.is_established(index) {
            return;
        }
        userspace.reset(index);
        userspace.established -= 1;
        userspace.partial.remove(&number);
        self.count_ended_userspace(number, ConnectError::Other, LossCause::Other, now);
    }

    /// The server closes a connection, as it has announced.
    pub(super) fn close_as_announced(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        let index = number - self.config.active;
        if userspace.tcp.is_established(index) && self.is_closing(number) {
            userspace.reset(index);
            userspace.established -= 1;
            userspace.partial.remove(&number);
            self.reopen_userspace(userspace, number, now);
        }
    }

    /// Opens a connection again that was closed as announced.
    fn reopen_userspace(&mut self, userspace: &mut Userspace, number: u32, now: Time) {
        self.tally.connections.reconnected += 1;
        if let Some(conversations) = self.conversations() {
            conversations.end_closing(number);
        }
        if !matches!(self.stage, Stage::Probing | Stage::Done) {
            userspace.connect(number - self.config.active, now);
        }
    }

    /// Resets all connections in user space that are not closed.
    pub(in crate::load) fn reset_userspace(&mut self) {
        let Some(userspace) = &mut self.userspace else {
            return;
        };
        for index in 0..self.config.idle {
            userspace.reset(index);
        }
        userspace.established = 0;
    }
}
