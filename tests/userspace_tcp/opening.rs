//! The states CLOSED and SYN-SENT.

use crate::checked::Checked;
use crate::wire::{ACK, FIN, RST, SYN, Segment};
use echoloop::userspace::{Ended, State};

/// The segments that a segment of the server to connection 0 causes.
fn answers(checked: &mut Checked, seq: u32, ack: u32, flags: u8) -> Vec<(u8, u32, u32)> {
    let segment = checked.segment(0, seq, ack, flags);
    let (_, sent) = checked.receive(&segment.packet());
    let fields = |segment: &Segment| (segment.flags, segment.seq, segment.ack);
    sent.iter().map(fields).collect()
}

#[test]
fn syn_has_mss_and_syn_ack_establishes() {
    for is_ipv6 in [false, true] {
        let mut checked = Checked::new(is_ipv6, 1);
        let syn = checked.connect(0).unwrap();
        let mss = if is_ipv6 { 1440u16 } else { 1460 };
        assert_eq!(syn.options, [&[2, 4][..], &mss.to_be_bytes()].concat());
        assert!(!checked.tcp.is_established(0));
        let una = syn.seq + 1;
        let sent = answers(&mut checked, 500, una, SYN | ACK);
        assert_eq!(sent, [(ACK, una, 501)]);
        assert!(checked.tcp.is_established(0));
        assert_eq!(checked.tcp.in_flight(), 0);
    }
}

#[test]
fn initial_sequence_numbers_depend_on_secret_and_connection() {
    let mut seen = std::collections::HashSet::new();
    for secret in 0..100 {
        let mut checked = Checked::new(false, secret);
        for connection in 0..4 {
            assert!(seen.insert(checked.connect(connection).unwrap().seq));
        }
    }
}

#[test]
fn rst_of_the_syn_is_refused() {
    let mut checked = Checked::new(false, 1);
    let syn = checked.connect(0).unwrap();
    // It does not acknowledge the SYN.
    assert_eq!(answers(&mut checked, 0, syn.seq, RST | ACK), []);
    assert_eq!(answers(&mut checked, 0, 0, RST), []);
    assert_eq!(checked.tcp.variables(0).state, State::SynSent);
    let rst = checked.segment(0, 0, syn.seq + 1, RST | ACK);
    let (outcome, sent) = checked.receive(&rst.packet());
    assert_eq!(outcome.unwrap().ended, Some(Ended::Refused));
    assert_eq!((sent, checked.tcp.in_flight()), (vec![], 0));
}

#[test]
fn previous_connection_is_reset_and_syn_repeated_once() {
    let mut checked = Checked::new(false, 1);
    let syn = checked.connect(0).unwrap();
    // A challenge acknowledgment of a server with a previous connection of this address and port.
    let sent = answers(&mut checked, 77, 99, ACK);
    assert_eq!(sent, [(RST, 99, 0), (SYN, syn.seq, 0)]);
    // A duplicate of it causes a RST only.
    assert_eq!(answers(&mut checked, 77, 99, ACK), [(RST, 99, 0)]);
    assert_eq!(checked.tcp.counters().reused, 1);
    checked.advance(std::time::Duration::from_secs(1));
    let sent = answers(&mut checked, 77, 99, ACK);
    assert_eq!(sent, [(RST, 99, 0), (SYN, syn.seq, 0)]);
    // A SYN-ACK of another SYN.
    let sent = answers(&mut checked, 77, syn.seq, SYN | ACK);
    assert_eq!(sent, [(RST, syn.seq, 0)]);
}

#[test]
fn other_segments_in_syn_sent_are_dropped() {
    let mut checked = Checked::new(false, 1);
    let syn = checked.connect(0).unwrap();
    let before = checked.tcp.variables(0);
    for (ack, flags) in [
        (syn.seq + 1, ACK),
        (syn.seq + 1, ACK | FIN),
        (0, SYN),
        (0, FIN),
        (0, 0),
    ] {
        assert_eq!(answers(&mut checked, 5, ack, flags), [], "{flags}");
    }
    assert_eq!(checked.tcp.variables(0), before);
}

#[test]
fn segments_to_a_closed_connection_are_reset() {
    let mut checked = Checked::new(false, 1);
    assert_eq!(answers(&mut checked, 10, 20, ACK), [(RST, 20, 0)]);
    assert_eq!(answers(&mut checked, 10, 20, ACK | SYN), [(RST, 20, 0)]);
    assert_eq!(answers(&mut checked, 10, 0, SYN), [(RST | ACK, 0, 11)]);
    assert_eq!(answers(&mut checked, u32::MAX, 0, FIN), [(RST | ACK, 0, 0)]);
    assert_eq!(answers(&mut checked, 10, 20, RST | ACK), []);
    assert_eq!(checked.tcp.counters().resets_sent, 4);
}

#[test]
fn connection_opened_again_continues_its_sequence_numbers() {
    let mut checked = Checked::new(false, 1);
    let first = checked.connect(0).unwrap();
    assert_eq!(checked.connect(0), None);
    answers(&mut checked, 500, first.seq + 1, SYN | ACK);
    assert!(checked.send(0, b"abc"));
    checked.reset(0);
    let second = checked.connect(0).unwrap();
    assert_eq!(second.seq, first.seq + 1 + 3);
}

#[test]
fn smallest_mss_of_the_server_limits_segments() {
    let lengths = |is_ipv6, mss: Option<u16>| {
        let mut checked = Checked::new(is_ipv6, 1);
        let syn = checked.connect(0).unwrap();
        let mut syn_ack = checked.segment(0, 500, syn.seq + 1, SYN | ACK);
        if let Some(mss) = mss {
            // After a no-operation, window scaling and another no-operation.
            syn_ack.options = [&[1, 3, 3, 7, 2, 4][..], &mss.to_be_bytes()].concat();
        }
        checked.receive(&syn_ack.packet());
        let mut lengths = Vec::new();
        let mut send = |packet: &[u8]| lengths.push(Segment::parse(packet).unwrap().bytes.len());
        let now = checked.now;
        checked.tcp.send(0, &[7; 1200], now, &mut send).unwrap();
        lengths
    };
    assert_eq!(lengths(false, Some(1460)), [1200]);
    assert_eq!(lengths(false, Some(1000)), [1000, 200]);
    assert_eq!(lengths(false, None), [536, 536, 128]);
    assert_eq!(lengths(true, None), [1200]);
    assert_eq!(lengths(false, Some(0))[0], 64);
}
