//! An attack on the memory of a server of lines or frames: clients that do not read, or never finish a message, fill
//! `max_buffered` and come again whenever they are reset, while honest clients with short messages are to be served.

use crate::peer::{Leaving, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::speech::{Language, Speech};
use crate::world::{MILLISECOND, World};
use echoloop::server::Config;
use std::time::Duration;

/// The longest message of an honest client.
pub const HONEST_MESSAGE: usize = 4_000;

/// The longest message that the server takes.
pub const MAX_MESSAGE: usize = 100_000;

/// What each connection is guaranteed in an attack: more than an honest message and what holding it costs.
const SHARE: usize = 9_000;

/// An honest client has its answer within this time after it has sent the whole message, whatever the attackers do.
const BOUND: u64 = 3_000 * MILLISECOND;

/// One run of it.
#[derive(Debug)]
pub struct Attack {
    attackers: usize,
    language: Language,
    next_id: u64,
    /// By peer: how much it has received, and since when it has waited for more.
    progress: Vec<(u64, u64)>,
}

impl Attack {
    /// Makes a configuration and the peers of an attack: the attackers first.
    pub fn draw(rng: &mut Rng, language: Language, window: usize) -> (Attack, Config, Vec<Peer>) {
        let attackers = 10 + rng.index(15);
        let honest = 1 + rng.index(5);
        let config = Config {
            max_connections: 100,
            max_pending: 65_536,
            max_buffered: 2 * (attackers + honest) * SHARE,
            idle_timeout: None,
            stall_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_millis(rng.between(100, 30_000)),
            ..Config::default()
        };
        let mut attack = Attack {
            attackers,
            language,
            next_id: 0,
            progress: Vec::new(),
        };
        let mut peers: Vec<Peer> = (0..attackers)
            .map(|_| attack.attacker(rng, 0, window))
            .collect();
        peers.extend((0..honest).map(|_| attack.honest(rng)));
        attack.progress = vec![(0, 0); peers.len()];
        (attack, config, peers)
    }

    fn attacker(&mut self, rng: &mut Rng, now: u64, window: usize) -> Peer {
        let id = self.next_id;
        self.next_id += 1;
        // More than the kernels and the server hold for it.
        let total = 2 * window as u64 + 110_000;
        let speech = if rng.chance(700) {
            Speech::draw_short(rng, self.language, id, total, HONEST_MESSAGE)
        } else {
            Speech::unfinished(self.language, MAX_MESSAGE - 1 - rng.index(MAX_MESSAGE / 2))
        };
        let mut plan = Plan::draw(rng, 1_000);
        plan.says(speech.length());
        plan.never_reads(speech.length());
        plan.starts_at = now + rng.between(0, 200) * MILLISECOND;
        Peer::speaking(id, plan, speech)
    }

    fn honest(&mut self, rng: &mut Rng) -> Peer {
        let id = self.next_id;
        self.next_id += 1;
        let speech = Speech::draw_short(rng, self.language, id, 10_000, HONEST_MESSAGE);
        let mut plan = Plan::draw(rng, 1_000);
        plan.says(speech.length());
        plan.chunk = 1 + rng.between(0, 3_000);
        plan.pause = rng.between(0, 200) * MILLISECOND;
        plan.starts_at = rng.between(0, 3_000) * MILLISECOND;
        plan.reading = Reading::Prompt;
        plan.leaving = Leaving::WhenEchoed;
        Peer::speaking(id, plan, speech)
    }

    /// Attackers that were reset come again; an honest client that waits for too long fails the run.
    pub fn go_on(&mut self, world: &mut World, peers: &mut [Peer], window: usize) {
        for peer in &mut peers[..self.attackers] {
            if peer.outcome.is_some() {
                let (mut rng, now) = (world.rng.clone(), world.now);
                *peer = self.attacker(&mut rng, now, window);
                world.rng = rng;
            }
        }
        for (peer, progress) in peers.iter().zip(&mut self.progress).skip(self.attackers) {
            if !peer.waits_for_answer() || peer.received > progress.0 {
                *progress = (peer.received, world.now);
                continue;
            }
            let waited = world.now - progress.1;
            // A client looks for its answer after a pause of its own.
            let bound = BOUND + peer.wakes_at.saturating_sub(world.now);
            let servers_end = peer.end.and_then(|end| world.ends[end].peer);
            let servers_end = servers_end.map(|end| &world.ends[end]);
            assert!(
                waited <= bound,
                "an honest client has waited for {waited} ns: {peer:?}, {servers_end:?}"
            );
        }
    }
}
