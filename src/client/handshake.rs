//! The time of a client's TLS handshake.

use crate::connection::{Classes, Connections};
use crate::net::{Key, Net, Time};
use crate::protocol::Protocol;
use std::time::Duration;

/// Measures the handshake of one connection, from when TCP has established it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HandshakeTimer {
    began: Option<Time>,
    /// How long the handshake took, once it has completed.
    pub(super) took: Option<Duration>,
}

impl HandshakeTimer {
    /// The connection was driven; `is_established`: its handshake has completed.
    pub(super) fn on_driven<N: Net, P: Protocol>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        is_established: bool,
    ) {
        if self.took.is_some() {
            return;
        }
        let now = reactor.net.now();
        let class = reactor.find(key).map(|slot| slot.tenant.class());
        if is_established {
            // Both may be seen at once.
            self.took = Some(now.since(self.began.unwrap_or(reactor.now())));
        } else if class == Some(Classes::HANDSHAKE) {
            self.began.get_or_insert(now);
        } else {
            // Another address is tried.
            self.began = None;
        }
    }
}
