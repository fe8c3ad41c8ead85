//! The peers: clients that follow a plan, and check every byte that comes back.

use crate::rng::{Rng, mix};
use crate::speech::Speech;
use crate::world::{EndId, MILLISECOND, World};
use std::io::ErrorKind;
use std::rc::Rc;

/// How a peer reads what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All that has come, whenever it looks.
    Prompt,
    /// At most so many bytes whenever it looks.
    Slow(usize),
    /// Not until then; after that promptly.
    Late(u64),
    /// Not at all.
    Never,
}

/// How a peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// FIN behind its last byte, and then it reads to the end.
    HalfClose,
    /// When it has got everything back.
    WhenEchoed,
    /// With RST, when it has sent so many bytes.
    Reset(u64),
    /// Not by itself.
    Never,
}

/// What a peer is going to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub starts_at: u64,
    pub total: u64,
    pub chunk: u64,
    pub pause: u64,
    pub reading: Reading,
    pub leaving: Leaving,
    /// So many times in a thousand, a chunk begins with an urgent byte.
    pub urgent: u64,
    /// The number of the address that it comes from.
    pub source: u8,
    /// When it stops reading, if it does.
    pub stops_at: Option<u64>,
    /// It sends only each time when it has looked so often.
    pub sends_every: u64,
}

impl Plan {
    /// Draws a plan in a world where at most `step` bytes go through at once: with more than some hundred steps, a
    /// run would be long without being richer.
    pub fn draw(rng: &mut Rng, step: u64) -> Plan {
        let total = rng.magnitude((200 * step).min(300_000));
        let until = rng.magnitude(20_000) * MILLISECOND;
        let mut plan = Plan {
            starts_at: rng.magnitude(5_000) * MILLISECOND,
            total,
            chunk: rng.magnitude(100_000).max(1 + total / 200),
            pause: rng.magnitude(2_000) * MILLISECOND / 4,
            reading: match rng.between(0, 9) {
                0 => Reading::Never,
                1 => Reading::Late(until),
                2..=3 => Reading::Slow(1 + rng.index(20_000)),
                _ => Reading::Prompt,
            },
            leaving: match rng.between(0, 9) {
                0 => Leaving::Never,
                1..=2 => Leaving::Reset(rng.between(0, total)),
                3..=5 => Leaving::WhenEchoed,
                _ => Leaving::HalfClose,
            },
            urgent: if rng.chance(200) {
                rng.between(0, 500)
            } else {
                0
            },
            source: 1 + rng.index(4) as u8,
            stops_at: None,
            sends_every: 1,
        };
        if plan.reading == Reading::Never && rng.chance(500) {
            // It goes on sending for a while, although it takes nothing of what it is owed.
            plan.total = 8 * step;
            plan.chunk = 1 + step / 4;
            plan.pause = rng.between(0, 2_000) * MILLISECOND;
        }
        plan
    }
}

impl Plan {
    /// Makes it the plan of one that has so much to say.
    pub fn says(&mut self, total: u64) {
        self.total = total;
        self.chunk = self.chunk.max(1 + total / 200);
        if let Leaving::Reset(at) = &mut self.leaving {
            *at = total.min(*at);
        }
    }

    /// Makes it the plan of one that sends so much, soon, and never reads.
    pub fn never_reads(&mut self, total: u64) {
        self.starts_at /= 8;
        self.pause = 0;
        self.total = total;
        self.chunk = total;
        self.reading = Reading::Never;
        self.leaving = Leaving::Never;
    }
}

/// How it ended for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It never got a connection.
    Refused,
    /// It left as it meant to.
    Left,
    /// The server's FIN came.
    Fin,
    /// The server's RST came.
    Reset,
}

/// The byte that somebody sends at a position: a function of both, so that a byte of anybody else, or from anywhere
/// else, is found out.
pub fn byte(id: u64, position: u64) -> u8 {
    mix(id << 40 ^ position).to_le_bytes()[0]
}

/// A client.
#[derive(Debug)]
pub struct Peer {
    pub id: u64,
    pub plan: Plan,
    pub end: Option<EndId>,
    pub sent: u64,
    pub received: u64,
    pub outcome: Option<Outcome>,
    pub has_sent_fin: bool,
    speech: Rc<Speech>,
    /// How often it has looked.
    looks: u64,
    /// When it looks again.
    pub wakes_at: u64,
    /// How long it waits at most before that.
    patience: u64,
}

impl Peer {
    pub fn new(id: u64, plan: Plan) -> Peer {
        Peer::speaking(id, plan, Speech::Raw)
    }

    pub fn speaking(id: u64, plan: Plan, speech: Speech) -> Peer {
        Peer {
            id,
            end: None,
            sent: 0,
            received: 0,
            outcome: None,
            has_sent_fin: false,
            speech: Rc::new(speech),
            looks: 0,
            wakes_at: plan.starts_at,
            patience: MILLISECOND,
            plan,
        }
    }

    /// Whether it ends by itself, as long as the server does what it should.
    pub fn comes_to_an_end(&self) -> bool {
        self.plan.reading != Reading::Never && self.plan.leaving != Leaving::Never
    }

    /// Whether it has got back all that it is to send.
    pub fn received_all(&self) -> bool {
        let all = self.sent == self.plan.total;
        all && self.received == self.speech.due(self.sent, self.has_sent_fin)
    }

    /// Whether it has sent a whole message and not got its answer.
    pub fn waits_for_answer(&self) -> bool {
        self.outcome.is_none() && self.received < self.speech.due(self.sent, self.has_sent_fin)
    }

    /// For how long it takes at most to send and read everything at its own pace, in nanoseconds.
    pub fn own_time(&self) -> u64 {
        let mut looks = (self.plan.total / self.plan.chunk.max(1) + 1) * self.plan.sends_every;
        if let Reading::Slow(most) = self.plan.reading {
            looks += self.speech.due(self.plan.total, true) / most as u64 + 1;
        }
        looks * (MILLISECOND + self.plan.pause).max(1_000 * MILLISECOND)
    }

    /// Does what is to be done now, and decides when to look again.
    pub fn act(&mut self, world: &mut World) {
        world.trace(7, self.id);
        self.looks += 1;
        let before = (self.end, self.sent, self.received);
        self.act_now(world);
        // Who got nowhere looks again later and later, or most of a run would be spent with looking.
        self.patience = if before == (self.end, self.sent, self.received) {
            (2 * self.patience).min(1_000 * MILLISECOND)
        } else {
            MILLISECOND + self.plan.pause
        };
        self.wakes_at = world.now + world.rng.between(self.patience / 10, self.patience);
    }

    fn act_now(&mut self, world: &mut World) {
        if self.plan.stops_at.is_some_and(|at| world.now >= at) {
            self.plan.reading = Reading::Never;
        }
        let Some(end) = self.end else {
            match world.connect(world.listener_of(self.id), self.plan.source) {
                Ok(end) => self.end = Some(end),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.outcome = Some(Outcome::Refused),
            }
            return;
        };
        if let Some(servers) = world.ends[end].peer {
            let speech = || Rc::clone(&self.speech);
            world.ends[servers].speech.get_or_insert_with(speech);
        }
        self.receive(world, end);
        if self.outcome.is_none() {
            self.send(world, end);
            self.leave(world, end);
        }
    }

    fn receive(&mut self, world: &mut World, end: EndId) {
        let most = match self.plan.reading {
            Reading::Prompt => usize::MAX,
            Reading::Slow(most) => most,
            Reading::Late(until) if world.now >= until => usize::MAX,
            Reading::Late(_) | Reading::Never if !world.ends[end].reset_arrived => return,
            Reading::Late(_) | Reading::Never => usize::MAX,
        };
        let mut got = 0;
        let mut buffer = [0; 4096];
        while got < most {
            let room = buffer.len().min(most - got);
            match world.read(end, &mut buffer[..room]) {
                Ok(0) => {
                    self.check_end(world, end);
                    return self.ends(world, end, Outcome::Fin);
                }
                Ok(count) => {
                    got += count;
                    self.check(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.ends(world, end, Outcome::Reset),
            }
        }
    }

    /// The server's FIN to one that half-closed comes behind all that it sent, unless the server is stopping.
    fn check_end(&self, world: &World, end: EndId) {
        if world.ends[end].fin_sent && !world.stopping {
            let due = self.speech.due(self.sent, true);
            assert_eq!(self.received, due, "not all came back: {self:?}");
        }
    }

    fn check(&mut self, bytes: &[u8]) {
        for &got in bytes {
            assert!(
                self.received < self.speech.due(self.sent, self.has_sent_fin),
                "peer {} got more than it is owed",
                self.id
            );
            let expected = self.speech.answer(self.id, self.received);
            assert_eq!(got, expected, "peer {}, byte {}", self.id, self.received);
            self.received += 1;
        }
    }

    fn send(&mut self, world: &mut World, end: EndId) {
        let chunk = self.plan.chunk.min(self.plan.total - self.sent);
        // It connects at its first look.
        let is_its_time = self.looks % self.plan.sends_every == 2 % self.plan.sends_every;
        if chunk == 0 || !is_its_time || world.send_room(end) == 0 || world.ends[end].fin_sent {
            return;
        }
        if world.rng.chance(self.plan.urgent) {
            world.mark_urgent(end);
        }
        let until = self.sent + chunk;
        // A send buffer takes only a part at a time of what passes through it.
        loop {
            let piece = (until - self.sent).min(world.send_room(end) as u64);
            let bytes: Vec<u8> = (0..piece)
                .map(|offset| self.speech.said(self.id, self.sent + offset))
                .collect();
            let count = world.send(end, &bytes);
            if count == 0 {
                return;
            }
            self.sent += count as u64;
        }
    }

    fn leave(&mut self, world: &mut World, end: EndId) {
        match self.plan.leaving {
            Leaving::HalfClose if self.sent == self.plan.total && !world.ends[end].fin_sent => {
                world.fin(end);
                self.has_sent_fin = true;
            }
            Leaving::WhenEchoed if self.received_all() => {
                self.ends(world, end, Outcome::Left);
            }
            Leaving::Reset(at) if self.sent >= at => {
                world.close(end, true);
                self.outcome = Some(Outcome::Left);
            }
            _ => {}
        }
    }

    /// The line goes dead, and says so.
    pub fn is_cut_off(&mut self, world: &mut World) {
        if let (Some(end), None) = (self.end, self.outcome) {
            world.close(end, true);
            self.outcome = Some(Outcome::Left);
        }
    }

    fn ends(&mut self, world: &mut World, end: EndId, outcome: Outcome) {
        if !world.ends[end].closed {
            world.close(end, false);
        }
        self.outcome = Some(outcome);
    }
}
