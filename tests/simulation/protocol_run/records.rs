//! The check of the records that a server has written.

use super::ProtocolRun;
use crate::client_script::{ProtocolConfig, record_ids};
use crate::peer::{Closing, Outcome, Peer};
use echoloop::connection::CloseReason;
use echoloop::protocol::Protocol;
use std::collections::BTreeSet;

impl<const DRAINS: bool, P: Protocol> ProtocolRun<'_, DRAINS, P> {
    /// The output consists of complete records, each written once, and only of clients that sent theirs completely.
    pub(super) fn check_records(&self) -> u64 {
        let pipe = self.pipe.borrow();
        if !matches!(self.protocol_config, ProtocolConfig::Collect { .. }) {
            assert!(pipe.written.is_empty(), "output without a record");
            return 0;
        }
        let ids = record_ids(&pipe.written);
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "a record was written twice");
        let lengths = ids.iter().map(|id| self.peer(*id).plan.total);
        let complete: u64 = lengths.sum();
        let counters = self.server.counters();
        let is_truncated = complete < pipe.written.len() as u64;
        let expired = counters.closed_for(CloseReason::DrainExpired) > 0;
        assert!(
            !is_truncated || expired,
            "a record was truncated before the drain timeout"
        );
        for peer in &self.peers {
            let is_written = distinct.contains(&peer.id);
            let is_complete =
                peer.sent == peer.plan.total && !matches!(peer.plan.closing, Closing::Reset(_));
            assert!(
                !is_written || is_complete,
                "an incomplete record was written: {peer:?}"
            );
            // The FIN of the server confirms that the record is written.
            let is_confirmed = peer.outcome == Some(Outcome::Fin);
            assert!(
                !is_confirmed || is_written,
                "confirmed, but not written: {peer:?}"
            );
        }
        ids.len() as u64
    }

    fn peer(&self, id: u64) -> &Peer {
        &self.peers[usize::try_from(id).unwrap()]
    }
}
