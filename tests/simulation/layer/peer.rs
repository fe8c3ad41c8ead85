//! The simulated clients of the layer: each follows a plan, and checks every record it receives.

use super::Settings;
use super::plan::{Conduct, FAREWELL, Plan, Wire};
use super::record::{Decoder, Kind};
use super::session::{farewell_payload, step_payload};
use crate::client_script::ClientScript;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::peer::{Outcome, Reading};
use std::io::ErrorKind;

/// The pause before a refused client connects again, in nanoseconds.
pub fn retry_pause(refusals: u32) -> u64 {
    (500 * MILLISECOND) << refusals.min(6)
}

/// A simulated client of the layer.
#[derive(Debug)]
pub struct LayerPeer {
    pub id: u64,
    pub plan: Plan,
    pub length: u64,
    settings: Settings,
    script: ClientScript,
    wire: Wire,
    /// A message exceeds the limit of the server.
    pub is_rejected: bool,
    /// In this run, nothing but the plan ends the connection of a well-behaved client that reads at once.
    pub is_protected: bool,
    pub socket: Option<SocketId>,
    /// Bytes of records sent.
    sent: usize,
    decoder: Decoder,
    /// Steps of the handshake that the server has answered.
    steps: usize,
    received: u64,
    notices: u32,
    /// The farewell of the server has arrived.
    pub has_farewell: bool,
    pub outcome: Option<Outcome>,
    pub wakes_at: u64,
    interval: u64,
    /// How often the server has refused the connection.
    refusals: u32,
}

impl LayerPeer {
    pub fn new(
        id: u64,
        plan: Plan,
        settings: Settings,
        wire: Wire,
        (script, length): (ClientScript, u64),
    ) -> LayerPeer {
        LayerPeer {
            id,
            wakes_at: plan.starts_at,
            length,
            settings,
            is_rejected: script.is_rejected(),
            script,
            wire,
            is_protected: false,
            socket: None,
            sent: 0,
            decoder: Decoder::default(),
            steps: 0,
            received: 0,
            notices: 0,
            has_farewell: false,
            outcome: None,
            interval: MILLISECOND,
            refusals: 0,
            plan,
        }
    }

    /// Whether every byte and its own farewell were sent.
    pub fn has_sent_all(&self) -> bool {
        self.wire.has_farewell(self.sent)
    }

    /// Whether nothing may end the connection but what the client does.
    fn is_safe(&self) -> bool {
        self.is_protected && self.is_prompt() && !self.is_rejected
    }

    fn is_prompt(&self) -> bool {
        self.plan.conduct.is_honest() && self.plan.reading == Reading::Prompt
    }

    /// The longest time in nanoseconds to send and read everything at its own pace.
    pub fn max_duration(&self) -> u64 {
        let mut polls = self.wire.bytes.len() / self.plan.chunk.max(1) + 10;
        if let Reading::Slow(most) = self.plan.reading {
            polls += 3 * self.script.reply_bytes_due(self.length, true) as usize / most;
        }
        polls as u64 * (MILLISECOND + self.plan.pause).max(1_000 * MILLISECOND)
    }

    fn replies_due(&self) -> u64 {
        let data = self.wire.data_in(self.sent);
        self.script.reply_bytes_due(data, self.has_sent_all())
    }

    pub fn received_all(&self) -> bool {
        self.sent >= self.wire.farewell_at && self.received == self.replies_due()
    }

    /// Connects, reads, sends or closes as planned, and draws the time of the next poll.
    pub fn poll(&mut self, network: &mut Network) {
        network.trace(7, self.id);
        let state = |peer: &LayerPeer| (peer.socket, peer.sent, peer.received, peer.steps);
        let before = state(self);
        self.run_plan(network);
        self.interval = if before == state(self) {
            (2 * self.interval).min(1_000 * MILLISECOND)
        } else {
            MILLISECOND + self.plan.pause
        };
        if self.socket.is_none() && self.refusals > 0 {
            self.interval = retry_pause(self.refusals);
        }
        let interval = self.interval;
        self.wakes_at = network.now + network.rng.between(interval / 10, interval);
    }

    fn run_plan(&mut self, network: &mut Network) {
        let Some(socket) = self.socket else {
            match network.connect(network.listener_of(self.id), self.plan.source) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.outcome = Some(Outcome::Refused),
            }
            return;
        };
        self.receive(network, socket);
        if self.outcome.is_none() && self.socket.is_some() {
            self.send(network, socket);
            self.close_if_due(network, socket);
        }
    }

    fn receive(&mut self, network: &mut Network, socket: SocketId) {
        let most = match self.plan.reading {
            Reading::Prompt => usize::MAX,
            Reading::Slow(most) => most,
            Reading::Late(from) if network.now >= from => usize::MAX,
            _ if network.sockets[socket].reset_arrived => usize::MAX,
            Reading::Late(_) | Reading::Never => return,
        };
        let mut received = 0;
        let mut buffer = [0; 4096];
        while received < most {
            let room = buffer.len().min(most - received);
            match network.read(socket, &mut buffer[..room]) {
                Ok(0) => return self.on_end(network, socket, Outcome::Fin),
                Ok(count) => {
                    received += count;
                    self.decoder.push(&buffer[..count]);
                    self.check_records();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.on_end(network, socket, Outcome::Reset),
            }
        }
    }

    fn check_records(&mut self) {
        let id = self.id;
        loop {
            let record = self.decoder.take();
            let record = record.unwrap_or_else(|_| panic!("client {id} received a damaged record"));
            let Some((kind, payload)) = record else {
                return;
            };
            assert!(!self.has_farewell, "client {id}: {kind:?} after farewell");
            let is_established = self.steps == self.settings.steps;
            assert!(
                is_established == (kind != Kind::Handshake),
                "client {id}: {kind:?} after {} steps",
                self.steps
            );
            match kind {
                Kind::Handshake => self.check_step(&payload),
                Kind::Data => self.check_data(&payload),
                Kind::Notice => {
                    assert_eq!(payload, self.notices.to_be_bytes(), "notice to {id}");
                    self.notices += 1;
                }
                Kind::Farewell => {
                    let expected = farewell_payload(self.received, self.notices);
                    assert_eq!(payload, expected, "farewell to client {id}");
                    self.has_farewell = true;
                }
            }
        }
    }

    fn check_step(&mut self, payload: &[u8]) {
        let end = self.wire.steps[self.steps];
        assert!(self.sent >= end, "an answer before step {}", self.steps);
        let expected = step_payload(self.steps, payload[1], self.settings.step_length);
        assert_eq!(
            payload, expected,
            "step {} to client {}",
            self.steps, self.id
        );
        self.steps += 1;
    }

    fn check_data(&mut self, payload: &[u8]) {
        let due = self.replies_due();
        let until = self.received + payload.len() as u64;
        assert!(until <= due, "client {}: {until} of {due}", self.id);
        for &got in payload {
            let expected = self.script.reply_byte(self.id, self.received);
            assert_eq!(got, expected, "client {}, byte {}", self.id, self.received);
            self.received += 1;
        }
    }

    /// The server has closed the connection.
    fn on_end(&mut self, network: &mut Network, socket: SocketId, outcome: Outcome) {
        let server = network.sockets[socket].peer.unwrap();
        let is_refused = {
            let server = &network.sockets[server];
            server.was_refused || !server.is_server_side
        };
        if !network.sockets[socket].closed {
            network.close(socket, false);
        }
        if is_refused && self.received == 0 && self.steps == 0 {
            // It connects again.
            (self.socket, self.sent) = (None, 0);
            self.decoder = Decoder::default();
            self.refusals += 1;
            return;
        }
        if outcome == Outcome::Fin {
            self.check_fin(network, server);
        } else {
            assert!(!self.is_safe() || network.stopping, "reset: {self:?}");
        }
        self.outcome = Some(outcome);
    }

    /// The farewell of the server has preceded its FIN, and all replies the farewell.
    fn check_fin(&self, network: &Network, server: SocketId) {
        let server = &network.sockets[server];
        let is_established = self.steps == self.settings.steps;
        // At a close without lingering, the server writes the farewell once.
        let may_be_cut = server.closed
            && (server.false_write_eagain_at.is_some() || server.send_space_at_close < FAREWELL);
        assert!(
            !is_established || self.has_farewell || may_be_cut,
            "FIN without a farewell: {self:?} {server:?}"
        );
        let is_cut = self.decoder.len() > 0;
        assert!(!is_cut || may_be_cut, "truncated: {self:?} {server:?}");
        if !self.plan.conduct.is_honest() {
            return;
        }
        let due = self.script.reply_bytes_due(self.length, true);
        if self.has_sent_all() && !network.stopping {
            assert_eq!(self.received, due, "FIN before the last reply: {self:?}");
        }
        if self.is_safe() && !network.stopping {
            let is_idle = self.plan.conduct == Conduct::StaysOpen;
            let may_end = is_established && (self.has_sent_all() || is_idle);
            assert!(may_end, "FIN too early: {self:?}");
        }
        if self.is_safe() && network.stopping && !server.had_false_eagain {
            let arrived = usize::try_from(server.arrived_when_stopped).unwrap();
            let handshake = self.wire.steps.last().copied().unwrap_or(0);
            assert!(
                is_established || arrived < handshake,
                "the handshake was not answered: {self:?} {server:?}"
            );
            let data = self.wire.data_in(arrived);
            let due = self.script.reply_bytes_due(data, false);
            assert!(
                self.received >= due,
                "the drain has lost {due} bytes of replies: {self:?} {server:?}"
            );
        }
    }

    /// The position up to which the client may send now.
    fn limit(&self) -> usize {
        let pipelines = self.plan.pipelines || self.steps == self.settings.steps;
        let end = match self.plan.conduct {
            Conduct::HalfClose | Conduct::NeverReads | Conduct::Damages(_) => self.wire.bytes.len(),
            Conduct::WhenEchoed if self.received_all() => self.wire.bytes.len(),
            Conduct::Reset(at) | Conduct::Stalls(at) | Conduct::Truncates(at) => at,
            _ => self.wire.farewell_at,
        };
        let barrier = self.wire.steps.get(self.steps).filter(|_| !pipelines);
        barrier.map_or(end, |barrier| end.min(*barrier))
    }

    fn send(&mut self, network: &mut Network, socket: SocketId) {
        if network.sockets[socket].fin_sent {
            return;
        }
        let is_handshaking = self.steps < self.settings.steps;
        let chunk = if is_handshaking && self.is_prompt() {
            self.plan.chunk.max(self.settings.step_length + 10)
        } else {
            self.plan.chunk
        };
        let until = self.limit().min(self.sent + chunk);
        while self.sent < until {
            let piece = (until - self.sent).min(network.send_space(socket));
            let bytes = &self.wire.bytes[self.sent..self.sent + piece];
            let count = network.send(socket, bytes);
            if count == 0 {
                return;
            }
            self.sent += count;
        }
    }

    fn close_if_due(&mut self, network: &mut Network, socket: SocketId) {
        let is_fin_sent = network.sockets[socket].fin_sent;
        match self.plan.conduct {
            Conduct::HalfClose
                if self.has_sent_all()
                    && !is_fin_sent
                    && (!self.plan.fin_waits || self.has_farewell) =>
            {
                network.send_fin(socket);
            }
            Conduct::WhenEchoed if self.has_sent_all() => {
                network.close(socket, false);
                self.outcome = Some(Outcome::Closed);
            }
            Conduct::Truncates(at) if self.sent >= at && !is_fin_sent => network.send_fin(socket),
            Conduct::Reset(at) if self.sent >= at => {
                network.close(socket, true);
                self.outcome = Some(Outcome::Closed);
            }
            _ => {}
        }
    }
}
