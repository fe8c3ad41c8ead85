//! An attack on the memory of a server of lines or frames: clients that do not read, or never finish a message, fill
//! `max_buffered` and come again whenever they are reset, while honest clients with short messages are to be served.

use crate::ends::End;
use crate::peer::{Leaving, Outcome, Peer, Plan, Reading};
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
    /// When the server last looked for memory and found it plentiful.
    plentiful_at: u64,
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
            plentiful_at: 0,
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
            // It holds less than its share and reads all that it is sent.
            let is_unharmed = matches!(peer.outcome, None | Some(Outcome::Left));
            assert!(is_unharmed, "an honest client was closed: {peer:?}");
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

    /// After an iteration of the server, which holds `held` bytes now: a message that is not complete is evicted only when
    /// memory has been scarce for a second, or is mostly held for such messages.
    pub fn check_evicted(&mut self, world: &World, held: usize, is_scarce: bool) {
        let evicted = world.closed.iter().map(|id| &world.ends[*id]);
        let mut evicted = evicted.filter(|end| !end.fin_arrived && !end.reset_arrived);
        let has_evicted = evicted.clone().next().is_some();
        let is_lasting = world.now - self.plentiful_at >= 1_000 * MILLISECOND;
        if evicted.any(|end| end.owed() == 0) && !is_lasting && !world.stopping {
            let open: u64 = world.open().map(most_unfinished).sum();
            let closed = world
                .closed
                .iter()
                .map(|id| most_unfinished(&world.ends[*id]));
            let unfinished = open + closed.sum::<u64>();
            let pending = (held as u64).saturating_sub(open);
            assert!(
                unfinished > pending,
                "an unfinished message was evicted, although pending output holds {pending} bytes and unfinished messages \
                 at most {unfinished}"
            );
        }
        if !is_scarce && !has_evicted {
            self.plentiful_at = world.now;
        }
    }
}

/// How many bytes of memory the server may hold for a message that is not complete, at most.
fn most_unfinished(end: &End) -> u64 {
    let incomplete = end
        .speech
        .as_ref()
        .map_or(0, |speech| speech.incomplete(end.read));
    if incomplete == 0 || end.owed() > 0 {
        return 0;
    }
    // A buffer doubles when it grows, and twice a short message may lie in it that has been answered.
    2 * incomplete + 12_000
}
