//! The answer and the state after any packet, from RFC 9293, section 3.10.7, and RFC 5961, as one function of the state
//! before: independent of the code under test, and used by the fuzz target too.

use crate::wire::{ACK, FIN, PSH, RST, SYN, Segment};
use echoloop::userspace::{Ended, State, Variables};

/// The receive window.
const WINDOW: u32 = 65_535;

/// A segment that the client must send: its control flags, sequence number, and acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
}

/// What a packet must cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub answer: Option<Answer>,
    /// All that is in flight is sent too, instead of a plain acknowledgment; the SYN after a RST.
    pub may_retransmit: bool,
    pub after: Variables,
    pub established: bool,
    pub bytes: Vec<u8>,
    pub ended: Option<Ended>,
}

impl Outcome {
    /// No answer, no change.
    fn silence(before: Variables) -> Outcome {
        Outcome {
            answer: None,
            may_retransmit: false,
            after: before,
            established: false,
            bytes: Vec::new(),
            ended: None,
        }
    }

    fn answer(self, flags: u8, seq: u32, ack: u32) -> Outcome {
        let answer = Some(Answer { flags, seq, ack });
        Outcome { answer, ..self }
    }

    /// No change, and an acknowledgment.
    fn acknowledgment(before: Variables) -> Outcome {
        Outcome::silence(before).answer(ACK, before.snd_nxt, before.rcv_nxt)
    }

    fn closed(before: Variables) -> Outcome {
        let mut outcome = Outcome::silence(before);
        outcome.after.state = State::Closed;
        // The sequence numbers in flight are not used again.
        outcome.after.snd_una = before.snd_nxt;
        outcome
    }
}

/// The outcome of a valid segment for a connection.
pub fn expect(before: Variables, segment: &Segment) -> Outcome {
    match before.state {
        State::Closed => closed(before, segment),
        State::SynSent => syn_sent(before, segment),
        _ => synchronized(before, segment),
    }
}

fn closed(before: Variables, segment: &Segment) -> Outcome {
    let silence = Outcome::silence(before);
    if segment.has(RST) {
        silence
    } else if segment.has(ACK) {
        silence.answer(RST, segment.ack, 0)
    } else {
        let end = segment.seq.wrapping_add(segment.length());
        silence.answer(RST | ACK, 0, end)
    }
}

fn syn_sent(before: Variables, segment: &Segment) -> Outcome {
    let silence = Outcome::silence(before);
    // A simultaneous open is not supported: such a SYN is dropped.
    if !segment.has(ACK) {
        return silence;
    }
    if segment.ack != before.snd_nxt {
        if segment.has(RST) {
            return silence;
        }
        let mut outcome = silence.answer(RST, segment.ack, 0);
        outcome.may_retransmit = true;
        return outcome;
    }
    if segment.has(RST) {
        let mut outcome = Outcome::closed(before);
        outcome.ended = Some(Ended::Refused);
        return outcome;
    }
    if !segment.has(SYN) {
        return silence;
    }
    let mut outcome = silence;
    outcome.established = true;
    outcome.after = Variables {
        state: State::Established,
        snd_una: before.snd_nxt,
        snd_nxt: before.snd_nxt,
        rcv_nxt: segment.seq.wrapping_add(1),
    };
    outcome.answer(ACK, before.snd_nxt, segment.seq.wrapping_add(1))
}

/// RFC 9293, table 6, for a window that is not zero.
fn is_acceptable(before: Variables, segment: &Segment) -> bool {
    let is_in_window = |seq: u32| seq.wrapping_sub(before.rcv_nxt) < WINDOW;
    match segment.length() {
        0 => is_in_window(segment.seq),
        length => is_in_window(segment.seq) || is_in_window(segment.seq.wrapping_add(length - 1)),
    }
}

fn synchronized(before: Variables, segment: &Segment) -> Outcome {
    if !is_acceptable(before, segment) {
        if segment.has(RST) {
            return Outcome::silence(before);
        }
        let mut outcome = Outcome::acknowledgment(before);
        outcome.may_retransmit = segment.has(SYN);
        return outcome;
    }
    if segment.has(RST) {
        return reset(before, segment);
    }
    if segment.has(SYN) {
        return Outcome::acknowledgment(before);
    }
    if !segment.has(ACK) {
        return Outcome::silence(before);
    }
    let in_flight = before.snd_nxt.wrapping_sub(before.snd_una);
    let acknowledged = segment.ack.wrapping_sub(before.snd_una);
    if acknowledged <= in_flight {
        let mut outcome = acknowledge(before, segment.ack);
        if outcome.after.state != State::Closed {
            receive(before, segment, &mut outcome);
        }
        outcome
    } else if before.snd_una.wrapping_sub(segment.ack) <= WINDOW {
        // An old acknowledgment.
        let mut outcome = Outcome::silence(before);
        receive(before, segment, &mut outcome);
        outcome
    } else {
        Outcome::acknowledgment(before)
    }
}

/// RFC 5961, section 3.
fn reset(before: Variables, segment: &Segment) -> Outcome {
    if segment.seq != before.rcv_nxt {
        return Outcome::acknowledgment(before);
    }
    let mut outcome = Outcome::closed(before);
    // In the other states the end was reported before.
    if !matches!(before.state, State::LastAck | State::TimeWait) {
        outcome.ended = Some(Ended::Reset);
    }
    outcome
}

fn acknowledge(before: Variables, ack: u32) -> Outcome {
    let mut outcome = Outcome::silence(before);
    outcome.after.snd_una = ack;
    let has_all = ack == before.snd_nxt && ack != before.snd_una;
    outcome.after.state = match before.state {
        State::FinWait1 if has_all => State::FinWait2,
        State::Closing if has_all => State::TimeWait,
        State::LastAck if has_all => State::Closed,
        state => state,
    };
    if before.state == State::Closing && has_all {
        outcome.ended = Some(Ended::Closed);
    }
    outcome
}

/// The bytes and the FIN of a segment.
fn receive(before: Variables, segment: &Segment, outcome: &mut Outcome) {
    let after = &mut outcome.after;
    let can_receive = matches!(
        after.state,
        State::Established | State::FinWait1 | State::FinWait2
    );
    if segment.length() == 0 || !can_receive {
        return;
    }
    let mut flags = ACK;
    let skip = before.rcv_nxt.wrapping_sub(segment.seq);
    // Otherwise the segment begins after RCV.NXT: a gap.
    if skip <= segment.length() {
        let skip = usize::try_from(skip).unwrap().min(segment.bytes.len());
        outcome.bytes = segment.bytes[skip..].to_vec();
        after.rcv_nxt = segment.seq.wrapping_add(segment.length());
        if segment.has(FIN) {
            (after.state, outcome.ended) = match after.state {
                State::Established => (State::LastAck, Some(Ended::Fin)),
                State::FinWait1 => (State::Closing, None),
                _ => (State::TimeWait, Some(Ended::Closed)),
            };
        }
        if after.state == State::LastAck {
            after.snd_nxt = before.snd_nxt.wrapping_add(1);
            flags |= FIN;
        }
    }
    outcome.answer = Some(Answer {
        flags,
        seq: before.snd_nxt,
        ack: outcome.after.rcv_nxt,
    });
}

/// Whether what the client sent is that answer, or a retransmission that replaces it. `in_flight` are the bytes in
/// flight.
pub fn is_allowed(outcome: &Outcome, sent: &[Segment], in_flight: &[u8]) -> bool {
    let is_answer = |segment: &Segment, answer: Answer| {
        let found = Answer {
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
        };
        found == answer && segment.bytes.is_empty()
    };
    match (sent, outcome.answer) {
        ([], None) => true,
        ([one], Some(answer)) if is_answer(one, answer) => true,
        ([rst, syn], Some(answer)) if answer.flags == RST => {
            let is_syn = syn.flags == SYN && syn.seq == outcome.after.snd_una;
            outcome.may_retransmit && is_answer(rst, answer) && is_syn
        }
        (sent, Some(_)) if outcome.may_retransmit => is_in_flight(outcome.after, sent, in_flight),
        _ => false,
    }
}

/// Whether the segments are exactly what is in flight.
pub fn is_in_flight(variables: Variables, sent: &[Segment], in_flight: &[u8]) -> bool {
    let length = variables.snd_nxt.wrapping_sub(variables.snd_una);
    let has_fin = length > u32::try_from(in_flight.len()).unwrap();
    let mut next = variables.snd_una;
    let mut bytes: Vec<u8> = Vec::new();
    for (index, segment) in sent.iter().enumerate() {
        let is_last = index + 1 == sent.len();
        let flags = match (is_last, has_fin) {
            (true, true) => ACK | FIN,
            (true, false) => ACK | PSH,
            (false, _) => ACK,
        };
        if (segment.seq, segment.ack, segment.flags) != (next, variables.rcv_nxt, flags) {
            return false;
        }
        next = next.wrapping_add(segment.length());
        bytes.extend(&segment.bytes);
    }
    !sent.is_empty() && bytes == in_flight && next == variables.snd_nxt
}
