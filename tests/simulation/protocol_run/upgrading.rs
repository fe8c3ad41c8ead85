//! Upgrades of a server with a protocol other than raw echo.

use super::ProtocolRun;
use crate::process_pause::run_peers;
use crate::upgrade::{Upgrades, upgrade};
use echoloop::protocol::Protocol;
use echoloop::server::Server;

impl<const DRAINS: bool, P: Protocol> ProtocolRun<'_, DRAINS, P> {
    /// Upgrades the server if that is due; in half of the runs also at a `stop`, whose signal arrives at the old process.
    pub(super) fn maybe_upgrade(&mut self, stop: bool) {
        let has_ended = self.exit.is_some();
        let upgrades = &mut self.upgrades;
        let attempt = Upgrades::draw_attempt(upgrades, &self.server, has_ended, stop);
        let Some(attempt) = attempt else {
            return;
        };
        let (network, pipe, config) = (&self.network, &self.pipe, self.config);
        let (protocol, peers) = (self.protocol, &mut self.peers);
        upgrade(
            &mut self.server,
            attempt,
            |net| {
                let records = net.stdout();
                let mut server = Server::new(net, protocol(), config);
                server.set_record_sink(records);
                server
            },
            |duration| {
                let mut network = network.borrow_mut();
                let until = network.now + duration;
                run_peers(&mut network, peers, until);
                let mut pipe = pipe.borrow_mut();
                if pipe.next_read_at <= network.now {
                    pipe.drain(&mut network);
                }
            },
        );
    }
}
