//! Numbers of connections in a result: established, lost and failed, by cause; and the TCP of those in user space.

use super::ConnectError;
use crate::connection::CloseReason;
use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Numbers of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Requested.
    pub asked: u64,
    /// Established at some time.
    pub opened: u64,
    /// Closed by the server or by an error while they should be held.
    pub lost: u64,
    /// The same by cause.
    #[serde(default)]
    pub lost_by: Lost,
    /// Never established, by category.
    pub failed: Failed,
    /// Closed by the server after a reply that had announced it, and opened again: neither lost nor opened twice.
    #[serde(default)]
    pub reconnected: u64,
}

/// The TCP of connections in user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserspaceFigures {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Segments other than SYN that were sent again after a timeout.
    pub retransmitted: u64,
    /// Packets received with a wrong checksum.
    pub bad_checksums: u64,
    /// Keepalive probes of the server that were answered.
    pub keepalives_answered: u64,
}

impl Add for UserspaceFigures {
    type Output = UserspaceFigures;

    /// A file may contain any figure: a sum must not wrap.
    fn add(self, other: UserspaceFigures) -> UserspaceFigures {
        let sum = u64::saturating_add;
        UserspaceFigures {
            packets_sent: sum(self.packets_sent, other.packets_sent),
            packets_received: sum(self.packets_received, other.packets_received),
            retransmitted: sum(self.retransmitted, other.retransmitted),
            bad_checksums: sum(self.bad_checksums, other.bad_checksums),
            keepalives_answered: sum(self.keepalives_answered, other.keepalives_answered),
        }
    }
}

impl Connections {
    /// Counts a connection that is lost.
    pub(super) fn count_lost(&mut self, cause: LossCause) {
        self.lost += 1;
        let count = match cause {
            LossCause::Fin => &mut self.lost_by.fin,
            LossCause::Reset => &mut self.lost_by.reset,
            LossCause::Timeout => &mut self.lost_by.timeout,
            LossCause::Other => &mut self.lost_by.other,
        };
        *count += 1;
    }
}

/// Why a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// The server sent FIN.
    Fin,
    /// The server reset it.
    Reset,
    /// The server did not acknowledge what was sent.
    Timeout,
    /// The load has closed it: its input was wrong.
    Other,
}

impl LossCause {
    /// The cause of a close for this reason.
    pub(super) fn of(reason: CloseReason) -> LossCause {
        match reason {
            CloseReason::PeerClosed => LossCause::Fin,
            CloseReason::PeerReset => LossCause::Reset,
            CloseReason::PeerLost => LossCause::Timeout,
            _ => LossCause::Other,
        }
    }
}

/// Connections that were lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The server sent FIN.
    pub fin: u64,
    /// The server reset the connection.
    pub reset: u64,
    /// The server did not acknowledge what was sent.
    pub timeout: u64,
    /// The load closed it, for example after a wrong reply.
    pub other: u64,
}

/// Connections that were never established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The server's host refused with RST: no listener.
    pub refused: u64,
    /// No answer within `--connect-timeout`.
    pub timeout: u64,
    /// Established, and reset before it could be used.
    pub reset: u64,
    /// No free port at the source address.
    pub no_ports: u64,
    /// No free file descriptor on the load's host.
    pub no_files: u64,
    /// Established, but the reply to the hello of the script was wrong or missing.
    #[serde(default)]
    pub hello: u64,
    /// Established, but the handshake of TLS has failed.
    #[serde(default)]
    pub tls: u64,
    /// Any other error.
    pub other: u64,
}

impl Failed {
    /// The number of this category.
    #[must_use]
    pub fn of(mut self, error: ConnectError) -> u64 {
        *self.counter(error)
    }

    /// The counter of this category.
    pub(super) fn counter(&mut self, error: ConnectError) -> &mut u64 {
        match error {
            ConnectError::Refused => &mut self.refused,
            ConnectError::Timeout => &mut self.timeout,
            ConnectError::Reset => &mut self.reset,
            ConnectError::NoPorts => &mut self.no_ports,
            ConnectError::NoFiles => &mut self.no_files,
            ConnectError::Hello => &mut self.hello,
            ConnectError::Tls => &mut self.tls,
            ConnectError::Other => &mut self.other,
        }
    }

    /// The sum of all categories.
    #[must_use]
    pub fn total(&self) -> u64 {
        let own = self.no_ports + self.no_files;
        self.refused + self.timeout + self.reset + own + self.hello + self.tls + self.other
    }
}
