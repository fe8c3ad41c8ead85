//! Upgrades of the raw echo server.

use super::Run;
use crate::process_pause::run_peers;
use crate::upgrade::{Upgrades, upgrade};
use echoloop::protocol::Raw;
use echoloop::server::Server;

impl<const DRAINS: bool> Run<DRAINS> {
    /// Upgrades the server if that is due; in half of the runs also at a `stop`, whose signal arrives at the old process.
    pub(super) fn maybe_upgrade(&mut self, stop: bool) {
        let has_ended = self.exit.is_some();
        let upgrades = &mut self.upgrades;
        let attempt = Upgrades::draw_attempt(upgrades, &self.server, has_ended, stop);
        let Some(attempt) = attempt else {
            return;
        };
        let (network, config) = (&self.network, self.config);
        let peers = &mut self.peers;
        upgrade(
            &mut self.server,
            attempt,
            |net| Server::new(net, Raw, config),
            |duration| {
                let mut network = network.borrow_mut();
                let until = network.now + duration;
                run_peers(&mut network, peers, until);
                network.complete_handshakes();
            },
        );
    }
}
