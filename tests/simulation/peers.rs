//! What the runs do with all of their peers.

use crate::network::Network;
use crate::peer::{Peer, Reading};

/// No peer has anything left to do.
pub fn are_done(peers: &[Peer]) -> bool {
    peers.iter().all(|peer| {
        // The server must close a peer that stops reading.
        let reads = peer.plan.reading != Reading::Never || peer.plan.stops_reading_at.is_some();
        let waits = reads && !peer.received_all();
        peer.outcome.is_some() || !(peer.will_finish() || waits)
    })
}

/// The time in nanoseconds that the slowest peer needs at its own pace.
pub fn longest_duration(peers: &[Peer]) -> u64 {
    peers.iter().map(Peer::max_duration).max().unwrap_or(0)
}

/// When a peer is due next.
pub fn next_due(peers: &[Peer]) -> u64 {
    let active = peers.iter().filter(|peer| peer.outcome.is_none());
    active.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX)
}

/// After a time without faults, every peer is served.
pub fn check_served(peers: &[Peer], network: &Network) {
    for peer in peers {
        let served = peer.outcome.is_some() || !peer.will_finish();
        assert!(
            served,
            "not served: {peer:?}, {}",
            server_socket(peer, network)
        );
        // A peer that reads and does not close has at least received every reply.
        let stays_open = peer.outcome.is_none() && peer.plan.reading != Reading::Never;
        assert!(
            !stays_open || peer.received_all(),
            "replies are missing: {peer:?}"
        );
    }
}

fn server_socket(peer: &Peer, network: &Network) -> String {
    let socket = peer.socket.and_then(|socket| network.sockets[socket].peer);
    socket.map_or("not connected".to_owned(), |socket| {
        format!("{:?}", network.sockets[socket])
    })
}
