//! A memory exhaustion attack on a server with lines or frames. Attackers never read or never complete a message, fill
//! `max_buffered` and reconnect after every reset. Well-behaved clients with short messages must be served meanwhile.

use crate::client_script::{ClientScript, ProtocolConfig};
use crate::network::{MILLISECOND, Network};
use crate::peer::{Closing, Outcome, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::socket::Socket;
use echoloop::server::Config;
use std::time::Duration;

/// The longest message of a well-behaved client.
pub const MAX_SHORT_MESSAGE: usize = 4_000;

/// The longest message that the server accepts.
pub const MAX_MESSAGE: usize = 100_000;

/// The guaranteed share of each connection during an attack: more than the memory for a short message.
const SHARE: usize = 9_000;

/// The longest time from a complete message of a well-behaved client to its reply.
const MAX_REPLY_TIME: u64 = 1_000 * MILLISECOND;

/// The attack of one run.
#[derive(Debug)]
pub struct MemoryAttack {
    attackers: usize,
    protocol: ProtocolConfig,
    next_id: u64,
    /// For each peer: the bytes received, and since when it has waited for more.
    progress: Vec<(u64, u64)>,
    /// When memory was last not scarce.
    plentiful_at: u64,
}

impl MemoryAttack {
    /// Draws the configuration and the peers of an attack, attackers first.
    pub fn draw(
        rng: &mut Rng,
        protocol: ProtocolConfig,
        window: usize,
    ) -> (MemoryAttack, Config, Vec<Peer>) {
        let attackers = 10 + rng.index(15);
        let well_behaved = 1 + rng.index(5);
        let config = Config {
            max_connections: 100,
            max_pending: 65_536,
            max_buffered: 2 * (attackers + well_behaved) * SHARE,
            idle_timeout: None,
            stall_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_millis(rng.between(100, 30_000)),
            ..Config::default()
        };
        let mut attack = MemoryAttack {
            attackers,
            protocol,
            next_id: 0,
            progress: Vec::new(),
            plentiful_at: 0,
        };
        let mut peers: Vec<Peer> = (0..attackers)
            .map(|_| attack.attacker(rng, 0, window))
            .collect();
        peers.extend((0..well_behaved).map(|_| attack.well_behaved(rng)));
        attack.progress = vec![(0, 0); peers.len()];
        (attack, config, peers)
    }

    fn attacker(&mut self, rng: &mut Rng, now: u64, window: usize) -> Peer {
        let id = self.next_id;
        self.next_id += 1;
        // More than the kernels and the server buffer.
        let total = 2 * window as u64 + 110_000;
        let script = if rng.chance(700) {
            ClientScript::draw_short(rng, self.protocol, id, total, MAX_SHORT_MESSAGE)
        } else {
            ClientScript::incomplete_message(
                self.protocol,
                MAX_MESSAGE - 1 - rng.index(MAX_MESSAGE / 2),
            )
        };
        let mut plan = Plan::draw(rng, 1_000);
        plan.set_total(script.length());
        plan.set_never_reading(script.length());
        plan.starts_at = now + rng.between(0, 200) * MILLISECOND;
        Peer::with_script(id, plan, script)
    }

    fn well_behaved(&mut self, rng: &mut Rng) -> Peer {
        let id = self.next_id;
        self.next_id += 1;
        let script = ClientScript::draw_short(rng, self.protocol, id, 10_000, MAX_SHORT_MESSAGE);
        let mut plan = Plan::draw(rng, 1_000);
        plan.set_total(script.length());
        plan.chunk = 1 + rng.between(0, 3_000);
        plan.pause = rng.between(0, 200) * MILLISECOND;
        plan.starts_at = rng.between(0, 3_000) * MILLISECOND;
        plan.reading = Reading::Prompt;
        plan.closing = Closing::WhenEchoed;
        Peer::with_script(id, plan, script)
    }

    /// Replaces attackers that were reset by new ones, and checks how long well-behaved clients wait.
    pub fn step(&mut self, network: &mut Network, peers: &mut [Peer], window: usize) {
        for peer in &mut peers[..self.attackers] {
            if peer.outcome.is_some() {
                let (mut rng, now) = (network.rng.clone(), network.now);
                *peer = self.attacker(&mut rng, now, window);
                network.rng = rng;
            }
        }
        // Without the freezes of upgrades.
        let running = network.now - network.paused;
        for (peer, progress) in peers.iter().zip(&mut self.progress).skip(self.attackers) {
            // It holds less than its share and reads every reply, so the server has no reason to close it.
            let is_not_closed_by_server = matches!(peer.outcome, None | Some(Outcome::Closed));
            assert!(
                is_not_closed_by_server,
                "a well-behaved client was closed: {peer:?}"
            );
            if !peer.awaits_reply() || peer.received > progress.0 {
                *progress = (peer.received, running);
                continue;
            }
            let waited = running - progress.1;
            // A client reads at its next poll only.
            let limit = MAX_REPLY_TIME + peer.wakes_at.saturating_sub(network.now);
            let server_socket = peer.socket.and_then(|socket| network.sockets[socket].peer);
            let server_socket = server_socket.map(|socket| &network.sockets[socket]);
            // After a freeze, the reply may wait for the next poll of the client for longer.
            let is_sent = server_socket.is_some_and(|socket| socket.written > peer.received);
            assert!(
                waited <= limit || is_sent && network.paused > 0,
                "a well-behaved client has waited for {waited} ns: {peer:?}, {server_socket:?}"
            );
        }
    }

    /// After an iteration of the server, which buffers `held` bytes now: a connection with an incomplete message is
    /// evicted only if memory has been scarce for a second, or if incomplete messages hold most of it.
    pub fn check_evicted(&mut self, network: &Network, held: usize, is_scarce: bool) {
        let evicted = network.closed.iter().map(|id| &network.sockets[*id]);
        let mut evicted = evicted.filter(|socket| !socket.fin_arrived && !socket.reset_arrived);
        let has_evicted = evicted.clone().next().is_some();
        let is_scarce_for_a_second = network.now - self.plentiful_at >= 1_000 * MILLISECOND;
        if evicted.any(|socket| socket.pending_output() == 0)
            && !is_scarce_for_a_second
            && !network.stopping
        {
            let open: u64 = network.open().map(max_incomplete).sum();
            let closed = network
                .closed
                .iter()
                .map(|id| max_incomplete(&network.sockets[*id]));
            let incomplete = open + closed.sum::<u64>();
            let pending = (held as u64).saturating_sub(open);
            assert!(
                incomplete > pending,
                "a connection with an incomplete message was evicted, although pending output holds {pending} bytes \
                 and incomplete messages at most {incomplete}"
            );
        }
        if !is_scarce && !has_evicted {
            self.plentiful_at = network.now;
        }
    }
}

/// The most memory in bytes that the server may hold for an incomplete message.
fn max_incomplete(socket: &Socket) -> u64 {
    let incomplete = socket
        .script
        .as_ref()
        .map_or(0, |script| script.incomplete_bytes(socket.read));
    if incomplete == 0 || socket.pending_output() > 0 {
        return 0;
    }
    // A growing buffer doubles, and it may still contain up to two short messages that were answered.
    2 * incomplete + 12_000
}
