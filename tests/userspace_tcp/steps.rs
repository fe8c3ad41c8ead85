//! Any bytes as a sequence of packets, calls and timeouts.

use crate::checked::{CONNECTIONS, Checked};
use crate::wire::{ACK, FIN, PSH, RST, SYN, Segment};
use std::time::Duration;

/// Runs the steps that `bytes` encode. Each is checked with the model.
pub fn run(bytes: &[u8]) {
    let mut input = Input { bytes };
    let mut checked = Checked::new(input.byte() % 2 == 1, u64::from(input.byte()));
    while !input.bytes.is_empty() {
        step(&mut checked, &mut input);
    }
    settle(&mut checked);
}

/// After the longest time limit, nothing is in flight.
fn settle(checked: &mut Checked) {
    checked.advance(Duration::from_secs(20));
    assert_eq!(checked.tcp.in_flight(), 0);
    assert_eq!(checked.tcp.next_deadline(), None);
}

/// The rest of the bytes; zeros follow them.
struct Input<'b> {
    bytes: &'b [u8],
}

impl<'b> Input<'b> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn connection(&mut self) -> u32 {
        u32::from(self.byte()) % CONNECTIONS
    }
}

fn step(checked: &mut Checked, input: &mut Input<'_>) {
    match input.byte() % 16 {
        0 | 1 => {
            checked.connect(input.connection());
        }
        2 => {
            let connection = input.connection();
            let length = usize::from(input.byte()) * input.one_of(&[1, 1, 5]);
            checked.send(connection, &vec![input.byte(); length]);
        }
        3 => {
            checked.close(input.connection());
        }
        4 => {
            if input.byte().is_multiple_of(4) {
                checked.reset(input.connection());
            }
        }
        5 => {
            let tenths = u64::from(input.byte() % 40);
            checked.advance(Duration::from_millis(100 * tenths));
        }
        6 => {
            let length = usize::from(input.byte());
            checked.receive(input.take(length));
        }
        7 => {
            let mut packet = any_segment(checked, input).packet();
            for _ in 0..input.byte() % 3 {
                let at = usize::from(input.byte()) % packet.len();
                packet[at] ^= input.byte();
            }
            packet.truncate(packet.len() - usize::from(input.one_of(&[0, 0, 1, 30u8])));
            checked.receive(&packet);
        }
        8 | 9 => {
            let connection = input.connection();
            let variables = checked.tcp.variables(connection);
            let seq = input.word();
            let syn_ack = checked.segment(connection, seq, variables.snd_nxt, SYN | ACK);
            checked.receive(&syn_ack.packet());
        }
        _ => {
            let segment = any_segment(checked, input);
            checked.receive(&segment.packet());
        }
    }
}

/// A valid segment to a connection, near its variables, or to a neighbouring address.
fn any_segment(checked: &Checked, input: &mut Input<'_>) -> Segment {
    let connection = input.connection();
    let variables = checked.tcp.variables(connection);
    let seq_offset = match input.one_of(&[0, 0, 0, -1, 1, -5, 7, 65_534, 65_535, 1 << 20]) {
        0x10_0000 => input.word(),
        near => i32::cast_unsigned(near),
    };
    let ack = match input.byte() % 8 {
        0..3 => variables.snd_nxt,
        3 => variables.snd_una,
        4 => variables.snd_nxt.wrapping_add(1),
        5 => variables.snd_una.wrapping_add(u32::from(input.byte())),
        6 => variables
            .snd_una
            .wrapping_sub(65_534 + u32::from(input.byte() % 3)),
        _ => input.word(),
    };
    let flags = match input.one_of(&[ACK, ACK, ACK | PSH, ACK | FIN, ACK | SYN, RST, RST | ACK, 0])
    {
        0 => input.byte(),
        usual => usual,
    };
    let seq = variables.rcv_nxt.wrapping_add(seq_offset);
    let mut segment = checked.segment(connection, seq, ack, flags);
    let length = usize::from(input.byte() % 16);
    segment.bytes = input.take(length).to_vec();
    if input.byte().is_multiple_of(8) {
        segment.options = input.take(8).to_vec();
        segment.options.resize(8, 0);
    }
    if input.byte().is_multiple_of(32) {
        let port = segment.destination.port() + u16::from(input.byte());
        segment.destination.set_port(port);
    }
    segment
}
