//! What a simulated client of the layer sends, drawn before the run.

use super::record::{Encoder, HEADER, Kind};
use super::session::{HONEST, HOSTILE, MAX_EMPTY, farewell_payload, step_payload};
use super::{Settings, session};
use crate::client_script::{ClientScript, ProtocolConfig};
use crate::network::MILLISECOND;
use crate::peer::Reading;
use crate::rng::Rng;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It sends a farewell and FIN after its last byte, and reads up to the FIN of the server.
    HalfClose,
    /// It sends a farewell when it has received every reply, and closes.
    WhenEchoed,
    /// It sends no farewell.
    StaysOpen,
    /// It resets when it has sent this many bytes of records.
    Reset(usize),
    /// It sends this many bytes of records and no more.
    Stalls(usize),
    /// It sends this many bytes of records, and FIN without a farewell.
    Truncates(usize),
    /// It sends single bytes, more slowly than the handshake may take.
    Trickles,
    /// It sends empty records without an end.
    Floods,
    /// The byte at this position is wrong.
    Damages(usize),
    /// It sends everything, and reads nothing.
    NeverReads,
}

impl Conduct {
    fn draw(rng: &mut Rng) -> Conduct {
        match rng.between(0, 23) {
            0..=8 => Conduct::HalfClose,
            9..=12 => Conduct::WhenEchoed,
            13..=14 => Conduct::StaysOpen,
            15 => Conduct::Reset(0),
            16..=17 => Conduct::Stalls(0),
            18..=19 => Conduct::Truncates(0),
            20 => Conduct::Trickles,
            21 => Conduct::Floods,
            22 => Conduct::Damages(0),
            _ => Conduct::NeverReads,
        }
    }

    /// Whether every rule of the layer is kept.
    pub fn is_honest(self) -> bool {
        matches!(
            self,
            Conduct::HalfClose | Conduct::WhenEchoed | Conduct::StaysOpen | Conduct::Reset(_)
        )
    }

    /// Whether the conversation ends, provided that the server is correct.
    pub fn will_finish(self) -> bool {
        matches!(self, Conduct::HalfClose | Conduct::WhenEchoed)
    }
}

/// What a client does.
#[derive(Debug)]
pub struct Plan {
    pub conduct: Conduct,
    pub starts_at: u64,
    /// Bytes of records sent at each poll, and the pause between polls.
    pub chunk: usize,
    pub pause: u64,
    pub reading: Reading,
    pub source: u8,
    /// It sends the next steps of the handshake, and data, without waiting for the server.
    pub pipelines: bool,
    /// It sends FIN only after the farewell of the server.
    pub fin_waits: bool,
}

impl Plan {
    pub fn draw(rng: &mut Rng, is_prompt: bool) -> Plan {
        let conduct = Conduct::draw(rng);
        let late = rng.magnitude(20_000) * MILLISECOND;
        let reading = match rng.between(0, 9) {
            _ if conduct == Conduct::NeverReads => Reading::Never,
            0 if !is_prompt => Reading::Late(late),
            1..=2 if !is_prompt => Reading::Slow(1 + rng.index(20_000)),
            _ => Reading::Prompt,
        };
        Plan {
            conduct,
            starts_at: rng.magnitude(5_000) * MILLISECOND,
            chunk: 1 + rng.index(1 + rng.clone().magnitude(40_000) as usize),
            pause: rng.magnitude(2_000) * MILLISECOND / 4,
            reading,
            source: 1 + rng.index(4) as u8,
            pipelines: rng.chance(400),
            fin_waits: rng.chance(300),
        }
    }
}

/// The records that a client sends.
#[derive(Debug, Default)]
pub struct Wire {
    pub bytes: Vec<u8>,
    /// The ends of the steps of the handshake.
    pub steps: Vec<usize>,
    /// For each record with data: its end, and the bytes of data up to there.
    data: Vec<(usize, u64)>,
    /// Where the farewell begins.
    pub farewell_at: usize,
}

impl Wire {
    pub fn draw(
        rng: &mut Rng,
        settings: &Settings,
        plan: &mut Plan,
        (id, script, length): (u64, &ClientScript, u64),
    ) -> Wire {
        let mut wire = Wire::default();
        let mut encoder = Encoder::default();
        let conduct = if plan.conduct.is_honest() {
            HONEST
        } else {
            HOSTILE
        };
        for step in 0..settings.steps {
            let payload = step_payload(step, conduct, settings.step_length);
            encoder.push(&mut wire.bytes, Kind::Handshake, &payload);
            wire.steps.push(wire.bytes.len());
        }
        let is_flood = plan.conduct == Conduct::Floods;
        let most = rng.magnitude(8_000).max(1 + length / 100).min(16_000);
        let mut done = 0;
        while done < length {
            let count = rng.between(1, most).min(length - done);
            let bytes: Vec<u8> = (done..done + count)
                .map(|at| script.input_byte(id, at))
                .collect();
            encoder.push(&mut wire.bytes, Kind::Data, &bytes);
            done += count;
            wire.data.push((wire.bytes.len(), done));
            if rng.chance(20) {
                encoder.push(&mut wire.bytes, Kind::Data, &[]);
            }
        }
        if is_flood {
            for _ in 0..4 * MAX_EMPTY {
                encoder.push(&mut wire.bytes, Kind::Data, &[]);
            }
        }
        wire.farewell_at = wire.bytes.len();
        let payload = farewell_payload(length, 0);
        encoder.push(&mut wire.bytes, Kind::Farewell, &payload);
        plan.chunk = plan.chunk.max(1 + wire.bytes.len() / 200);
        wire.draw_positions(rng, plan);
        wire
    }

    /// Draws where a client stops: half of the time in the handshake, otherwise anywhere.
    fn draw_positions(&mut self, rng: &mut Rng, plan: &mut Plan) {
        let handshake = self.steps.last().copied().unwrap_or(0);
        let within = if rng.chance(500) {
            rng.index(handshake.max(1))
        } else {
            rng.index(self.farewell_at + 1)
        };
        match &mut plan.conduct {
            Conduct::Reset(at) | Conduct::Stalls(at) | Conduct::Truncates(at) => *at = within,
            Conduct::Damages(at) => {
                *at = within;
                // Not the length in a header: the server would wait for the rest of a longer record.
                let position = within.max(handshake) + HEADER;
                let position = position.min(self.bytes.len() - 1);
                let is_header = |end: usize| (end..end + 3).contains(&position);
                let ends = self.data.iter().map(|(end, _)| *end);
                if !ends.chain([handshake]).any(is_header) {
                    self.bytes[position] ^= 1 + rng.index(255) as u8;
                }
            }
            Conduct::Trickles => {
                plan.chunk = 1;
                plan.pause = rng.between(200, 2_000) * MILLISECOND;
            }
            _ => {}
        }
    }

    /// The bytes of data in the records that end within the first `sent` bytes.
    pub fn data_in(&self, sent: usize) -> u64 {
        let count = self.data.partition_point(|(end, _)| *end <= sent);
        count.checked_sub(1).map_or(0, |last| self.data[last].1)
    }

    /// Whether the first `sent` bytes include the farewell.
    pub fn has_farewell(&self, sent: usize) -> bool {
        sent == self.bytes.len()
    }
}

/// Draws the data that a client sends in a protocol; raw echo has no messages. Returns it and its length.
pub fn draw_script(
    rng: &mut Rng,
    protocol: Option<ProtocolConfig>,
    id: u64,
    total: u64,
) -> (ClientScript, u64) {
    match protocol {
        None => (ClientScript::Raw, total),
        Some(protocol) => {
            let script = ClientScript::draw(rng, protocol, id, total);
            let length = script.length();
            (script, length)
        }
    }
}

/// The length of the farewell of either side.
pub const FAREWELL: usize = session::FAREWELL;
