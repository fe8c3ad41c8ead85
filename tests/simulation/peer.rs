//! The peers: simulated clients that follow a plan and check every byte they receive.

use crate::client_script::ClientScript;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::rng::{Rng, mix};
use std::io::ErrorKind;
use std::rc::Rc;

/// How a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All bytes received so far, at every poll.
    Prompt,
    /// At most this many bytes per poll.
    Slow(usize),
    /// Not before this time; from then on at every poll.
    Late(u64),
    /// Never.
    Never,
}

/// How a peer closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It sends FIN after its last byte and reads up to the FIN of the server.
    HalfClose,
    /// It closes when it has received every reply.
    WhenEchoed,
    /// It resets when it has sent this many bytes.
    Reset(u64),
    /// It does not close.
    Never,
}

/// What a peer does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub starts_at: u64,
    pub total: u64,
    pub chunk: u64,
    pub pause: u64,
    pub reading: Reading,
    pub closing: Closing,
    /// The probability per thousand that a chunk begins with an urgent byte.
    pub urgent_per_mille: u64,
    /// The number of its address.
    pub source: u8,
    /// When it stops reading, if ever.
    pub stops_reading_at: Option<u64>,
    /// It sends at one of this many polls.
    pub polls_per_send: u64,
}

impl Plan {
    /// Draws a plan for a network that passes at most `step` bytes at once. More than a few hundred steps would make
    /// the run longer without new states.
    pub fn draw(rng: &mut Rng, step: u64) -> Plan {
        let total = rng.magnitude((200 * step).min(300_000));
        let reads_from = rng.magnitude(20_000) * MILLISECOND;
        let mut plan = Plan {
            starts_at: rng.magnitude(5_000) * MILLISECOND,
            total,
            chunk: rng.magnitude(100_000).max(1 + total / 200),
            pause: rng.magnitude(2_000) * MILLISECOND / 4,
            reading: match rng.between(0, 9) {
                0 => Reading::Never,
                1 => Reading::Late(reads_from),
                2..=3 => Reading::Slow(1 + rng.index(20_000)),
                _ => Reading::Prompt,
            },
            closing: match rng.between(0, 9) {
                0 => Closing::Never,
                1..=2 => Closing::Reset(rng.between(0, total)),
                3..=5 => Closing::WhenEchoed,
                _ => Closing::HalfClose,
            },
            urgent_per_mille: if rng.chance(200) {
                rng.between(0, 500)
            } else {
                0
            },
            source: 1 + rng.index(4) as u8,
            stops_reading_at: None,
            polls_per_send: 1,
        };
        if plan.reading == Reading::Never && rng.chance(500) {
            // It sends for a while without reading the replies.
            plan.total = 8 * step;
            plan.chunk = 1 + step / 4;
            plan.pause = rng.between(0, 2_000) * MILLISECOND;
        }
        plan
    }
}

impl Plan {
    /// Sets the number of bytes to send.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        self.chunk = self.chunk.max(1 + total / 200);
        if let Closing::Reset(at) = &mut self.closing {
            *at = total.min(*at);
        }
    }

    /// Makes the peer send `total` bytes, soon, and never read.
    pub fn set_never_reading(&mut self, total: u64) {
        self.starts_at /= 8;
        self.pause = 0;
        self.total = total;
        self.chunk = total;
        self.reading = Reading::Never;
        self.closing = Closing::Never;
    }
}

/// How the connection of a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection was not established.
    Refused,
    /// The peer closed or reset it as planned.
    Closed,
    /// The server sent FIN.
    Fin,
    /// The server sent RST.
    Reset,
}

/// The byte that client `id` sends at a position. It depends on both, so a byte of another client or from another
/// position is detected.
pub fn pattern_byte(id: u64, position: u64) -> u8 {
    mix(id << 40 ^ position).to_le_bytes()[0]
}

/// A simulated client.
#[derive(Debug)]
pub struct Peer {
    pub id: u64,
    pub plan: Plan,
    pub socket: Option<SocketId>,
    pub sent: u64,
    pub received: u64,
    pub outcome: Option<Outcome>,
    pub has_sent_fin: bool,
    script: Rc<ClientScript>,
    /// How often it was polled.
    polls: u64,
    /// When it is polled next.
    pub wakes_at: u64,
    /// The longest time until the next poll.
    poll_interval: u64,
}

impl Peer {
    pub fn new(id: u64, plan: Plan) -> Peer {
        Peer::with_script(id, plan, ClientScript::Raw)
    }

    pub fn with_script(id: u64, plan: Plan, script: ClientScript) -> Peer {
        Peer {
            id,
            socket: None,
            sent: 0,
            received: 0,
            outcome: None,
            has_sent_fin: false,
            script: Rc::new(script),
            polls: 0,
            wakes_at: plan.starts_at,
            poll_interval: MILLISECOND,
            plan,
        }
    }

    /// Whether the plan ends, provided that the server is correct.
    pub fn will_finish(&self) -> bool {
        self.plan.reading != Reading::Never && self.plan.closing != Closing::Never
    }

    /// Whether it has sent everything and received every reply.
    pub fn received_all(&self) -> bool {
        let is_sent = self.sent == self.plan.total;
        is_sent && self.received == self.replies_due()
    }

    /// Whether it has sent a complete message and not received the whole reply.
    pub fn awaits_reply(&self) -> bool {
        self.outcome.is_none() && self.received < self.replies_due()
    }

    /// The reply bytes due for what it has sent.
    fn replies_due(&self) -> u64 {
        self.script.reply_bytes_due(self.sent, self.has_sent_fin)
    }

    /// The longest time in nanoseconds to send and read everything at its own pace.
    pub fn max_duration(&self) -> u64 {
        let mut polls = (self.plan.total / self.plan.chunk.max(1) + 1) * self.plan.polls_per_send;
        if let Reading::Slow(max) = self.plan.reading {
            polls += self.script.reply_bytes_due(self.plan.total, true) / max as u64 + 1;
        }
        polls * (MILLISECOND + self.plan.pause).max(1_000 * MILLISECOND)
    }

    /// Polls it if it is due.
    pub fn poll_if_due(&mut self, network: &mut Network) {
        if self.outcome.is_none() && self.wakes_at <= network.now {
            self.poll(network);
        }
    }

    /// Connects, reads, sends or closes as planned, and draws the time of the next poll.
    pub fn poll(&mut self, network: &mut Network) {
        network.trace(7, self.id);
        self.polls += 1;
        let before = (self.socket, self.sent, self.received);
        self.run_plan(network);
        // Without progress the interval doubles: otherwise most of a run would be polls without effect.
        self.poll_interval = if before == (self.socket, self.sent, self.received) {
            (2 * self.poll_interval).min(1_000 * MILLISECOND)
        } else {
            MILLISECOND + self.plan.pause
        };
        self.wakes_at = network.now
            + network
                .rng
                .between(self.poll_interval / 10, self.poll_interval);
    }

    fn run_plan(&mut self, network: &mut Network) {
        if self
            .plan
            .stops_reading_at
            .is_some_and(|at| network.now >= at)
        {
            self.plan.reading = Reading::Never;
        }
        let Some(socket) = self.socket else {
            match network.connect(network.listener_of(self.id), self.plan.source) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.outcome = Some(Outcome::Refused),
            }
            return;
        };
        if let Some(server) = network.sockets[socket].peer {
            let script = || Rc::clone(&self.script);
            network.sockets[server].script.get_or_insert_with(script);
        }
        self.receive(network, socket);
        if self.outcome.is_none() {
            self.send(network, socket);
            self.close_if_due(network, socket);
        }
    }

    fn receive(&mut self, network: &mut Network, socket: SocketId) {
        let max = match self.plan.reading {
            Reading::Prompt => usize::MAX,
            Reading::Slow(max) => max,
            Reading::Late(from) if network.now >= from => usize::MAX,
            Reading::Late(_) | Reading::Never if !network.sockets[socket].reset_arrived => return,
            Reading::Late(_) | Reading::Never => usize::MAX,
        };
        let mut received = 0;
        let mut buffer = [0; 4096];
        while received < max {
            let room = buffer.len().min(max - received);
            match network.read(socket, &mut buffer[..room]) {
                Ok(0) => {
                    self.check_fin(network, socket);
                    return self.finish(network, socket, Outcome::Fin);
                }
                Ok(count) => {
                    received += count;
                    self.check(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.finish(network, socket, Outcome::Reset),
            }
        }
    }

    /// After a half-close the server sends FIN only after every reply, unless it is stopping, or its last read at the idle
    /// timeout falsely found nothing.
    fn check_fin(&self, network: &Network, socket: SocketId) {
        let server = network.sockets[socket].peer.expect("established");
        let server = &network.sockets[server];
        let was_tried = server.false_read_eagain_at == Some(server.fin_at);
        if network.sockets[socket].fin_sent && !network.stopping && !was_tried {
            let due = self.script.reply_bytes_due(self.sent, true);
            assert_eq!(self.received, due, "FIN before the last reply: {self:?}");
        }
    }

    fn check(&mut self, bytes: &[u8]) {
        for &got in bytes {
            assert!(
                self.received < self.replies_due(),
                "peer {} received more than the replies due",
                self.id
            );
            let expected = self.script.reply_byte(self.id, self.received);
            assert_eq!(got, expected, "peer {}, byte {}", self.id, self.received);
            self.received += 1;
        }
    }

    fn send(&mut self, network: &mut Network, socket: SocketId) {
        let chunk = self.plan.chunk.min(self.plan.total - self.sent);
        // The first poll connects.
        let is_send_poll = self.polls % self.plan.polls_per_send == 2 % self.plan.polls_per_send;
        if chunk == 0
            || !is_send_poll
            || network.send_space(socket) == 0
            || network.sockets[socket].fin_sent
        {
            return;
        }
        if network.rng.chance(self.plan.urgent_per_mille) {
            network.mark_urgent(socket);
        }
        let until = self.sent + chunk;
        // A send buffer accepts a part of the chunk per write.
        loop {
            let piece = (until - self.sent).min(network.send_space(socket) as u64);
            let bytes: Vec<u8> = (0..piece)
                .map(|offset| self.script.input_byte(self.id, self.sent + offset))
                .collect();
            let count = network.send(socket, &bytes);
            if count == 0 {
                return;
            }
            self.sent += count as u64;
        }
    }

    fn close_if_due(&mut self, network: &mut Network, socket: SocketId) {
        match self.plan.closing {
            Closing::HalfClose
                if self.sent == self.plan.total && !network.sockets[socket].fin_sent =>
            {
                network.send_fin(socket);
                self.has_sent_fin = true;
            }
            Closing::WhenEchoed if self.received_all() => {
                self.finish(network, socket, Outcome::Closed);
            }
            Closing::Reset(at) if self.sent >= at => {
                network.close(socket, true);
                self.outcome = Some(Outcome::Closed);
            }
            _ => {}
        }
    }

    /// Resets the connection.
    pub fn reset_connection(&mut self, network: &mut Network) {
        if let (Some(socket), None) = (self.socket, self.outcome) {
            network.close(socket, true);
            self.outcome = Some(Outcome::Closed);
        }
    }

    fn finish(&mut self, network: &mut Network, socket: SocketId, outcome: Outcome) {
        if !network.sockets[socket].closed {
            network.close(socket, false);
        }
        self.outcome = Some(outcome);
    }
}
