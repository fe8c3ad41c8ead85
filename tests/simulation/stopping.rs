//! A process that is stopped for a while (SIGSTOP and SIGCONT, a suspended laptop, a paused virtual machine).

use crate::peer::Peer;
use crate::selector::SERVER;
use crate::world::{MILLISECOND, World};

/// Perhaps stops the server's process: time passes, peers act in it, and the wait that the server was in then fails
/// with EINTR. What arrived meanwhile is reported by the next wait only.
pub fn maybe_stop_server(world: &mut World, peers: &mut [Peer]) {
    if !world.fault(world.faults.stopped) {
        return;
    }
    let milliseconds = world.rng.between(0, world.faults.stopped_ms);
    let until = world.now + milliseconds * MILLISECOND;
    world.paused += until - world.now;
    loop {
        let running = peers.iter_mut().filter(|peer| peer.outcome.is_none());
        let next = running.min_by_key(|peer| peer.wakes_at);
        let Some(peer) = next.filter(|peer| peer.wakes_at <= until) else {
            break;
        };
        world.now = peer.wakes_at.max(world.now);
        peer.act(world);
    }
    world.now = until;
    world.interrupt_wait(SERVER);
}
