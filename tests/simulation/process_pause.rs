//! Pauses of the server process: SIGSTOP and SIGCONT, a suspended laptop, a paused virtual machine.

use crate::network::{MILLISECOND, Network};
use crate::peer::Peer;
use crate::selector::SERVER;

/// Pauses the server process if the fault strikes. Meanwhile time passes and peers run. The wait of the server then
/// fails with EINTR; events of the pause are reported by the next wait.
pub fn maybe_pause_server(network: &mut Network, peers: &mut [Peer]) {
    if !network.fault(network.faults.process_paused) {
        return;
    }
    let milliseconds = network.rng.between(0, network.faults.process_pause_ms);
    let until = network.now + milliseconds * MILLISECOND;
    run_peers(network, peers, until);
    network.interrupt_wait(SERVER);
}

/// Runs the peers up to the time `until`, while the server process does not run.
pub fn run_peers(network: &mut Network, peers: &mut [Peer], until: u64) {
    network.paused += until - network.now;
    loop {
        let active = peers.iter_mut().filter(|peer| peer.outcome.is_none());
        let next = active.min_by_key(|peer| peer.wakes_at);
        let Some(peer) = next.filter(|peer| peer.wakes_at <= until) else {
            break;
        };
        network.now = peer.wakes_at.max(network.now);
        peer.poll(network);
    }
    network.now = until;
}
