//! The state ESTABLISHED: bytes, acknowledgments, duplicates, forged segments.

use crate::checked::Checked;
use crate::wire::{ACK, PSH, RST, SYN, Segment};
use echoloop::userspace::{Ended, SendError};

/// The sequence number of the first byte of the server.
pub const SERVER: u32 = 501;

/// A client with connection 0 established, and the sequence number of its first byte.
pub fn established() -> (Checked, u32) {
    let mut checked = Checked::new(false, 1);
    let una = checked.connect(0).unwrap().seq.wrapping_add(1);
    let syn_ack = checked.segment(0, SERVER - 1, una, SYN | ACK);
    checked.receive(&syn_ack.packet());
    assert!(checked.tcp.is_established(0));
    (checked, una)
}

/// Segments (flags, sequence number, acknowledgment), bytes, and the end.
pub type Exchange = (Vec<(u8, u32, u32)>, Vec<u8>, Option<Ended>);

/// What the client sends on a segment, and the bytes that it delivers.
pub fn exchange(
    checked: &mut Checked,
    (seq, ack, flags): (u32, u32, u8),
    bytes: &[u8],
) -> Exchange {
    let mut segment = checked.segment(0, seq, ack, flags);
    segment.bytes = bytes.to_vec();
    let (outcome, sent) = checked.receive(&segment.packet());
    let outcome = outcome.unwrap();
    let fields = |segment: &Segment| (segment.flags, segment.seq, segment.ack);
    (
        sent.iter().map(fields).collect(),
        outcome.bytes,
        outcome.ended,
    )
}

#[test]
fn bytes_in_order_are_delivered_once_and_acknowledged() {
    let (mut checked, una) = established();
    let first = exchange(&mut checked, (SERVER, una, ACK | PSH), b"abc");
    assert_eq!(first, (vec![(ACK, una, SERVER + 3)], b"abc".to_vec(), None));
    // A duplicate.
    let again = exchange(&mut checked, (SERVER, una, ACK | PSH), b"abc");
    assert_eq!(again, (vec![(ACK, una, SERVER + 3)], vec![], None));
    assert_eq!(checked.tcp.counters().duplicates, 1);
    // Old bytes, then new ones.
    let overlap = exchange(&mut checked, (SERVER + 1, una, ACK), b"bcde");
    assert_eq!(
        overlap,
        (vec![(ACK, una, SERVER + 5)], b"de".to_vec(), None)
    );
}

#[test]
fn bytes_after_a_gap_are_dropped_with_a_duplicate_ack() {
    let (mut checked, una) = established();
    let early = exchange(&mut checked, (SERVER + 3, una, ACK), b"def");
    assert_eq!(early, (vec![(ACK, una, SERVER)], vec![], None));
    assert_eq!(checked.tcp.counters().out_of_order, 1);
    let all = exchange(&mut checked, (SERVER, una, ACK), b"abcdef");
    assert_eq!(all.1, b"abcdef");
}

#[test]
fn keepalive_probes_are_answered() {
    let (mut checked, una) = established();
    for bytes in [&b""[..], b"x"] {
        let probe = exchange(&mut checked, (SERVER - 1, una, ACK), bytes);
        assert_eq!(probe, (vec![(ACK, una, SERVER)], vec![], None));
    }
    assert_eq!(checked.tcp.counters().keepalives, 2);
}

#[test]
fn pure_acknowledgment_is_not_answered() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    assert_eq!(exchange(&mut checked, (SERVER, una + 2, ACK), b"").0, []);
    assert_eq!(checked.tcp.variables(0).snd_una, una + 2);
    // An old one changes nothing.
    assert_eq!(exchange(&mut checked, (SERVER, una, ACK), b"").0, []);
    assert_eq!(checked.tcp.variables(0).snd_una, una + 2);
    assert_eq!(exchange(&mut checked, (SERVER, una + 5, ACK), b"").0, []);
    assert_eq!(checked.tcp.in_flight(), 0);
}

#[test]
fn acknowledgment_of_bytes_not_sent_is_challenged() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    for ack in [una + 6, una - 65_536, una ^ 0x8000_0000] {
        let (sent, bytes, _) = exchange(&mut checked, (SERVER, ack, ACK), b"forged");
        assert_eq!((sent, bytes), (vec![(ACK, una + 5, SERVER)], vec![]));
    }
    assert_eq!(checked.tcp.counters().challenges, 3);
    let (_, bytes, _) = exchange(&mut checked, (SERVER, una - 65_535, ACK), b"old");
    assert_eq!(bytes, b"old");
}

#[test]
fn rst_is_valid_at_the_next_sequence_number_only() {
    let (mut checked, una) = established();
    for seq in [SERVER + 1, SERVER + 65_534] {
        let sent = exchange(&mut checked, (seq, una, RST), b"").0;
        assert_eq!(sent, [(ACK, una, SERVER)], "in the window: challenge");
    }
    for seq in [SERVER - 1, SERVER + 65_535] {
        let sent = exchange(&mut checked, (seq, una, RST), b"").0;
        assert_eq!(sent, [], "outside of the window: dropped");
    }
    assert!(checked.tcp.is_established(0));
    assert_eq!(checked.tcp.counters().invalid_resets, 4);
    let valid = exchange(&mut checked, (SERVER, 0, RST), b"");
    assert_eq!(valid, (vec![], vec![], Some(Ended::Reset)));
    assert!(!checked.tcp.is_established(0));
}

#[test]
fn syn_is_challenged_and_changes_nothing() {
    let (mut checked, una) = established();
    for seq in [SERVER, SERVER + 1000, SERVER + 1_000_000] {
        let sent = exchange(&mut checked, (seq, una, SYN), b"").0;
        assert_eq!(sent, [(ACK, una, SERVER)]);
    }
    assert!(checked.tcp.is_established(0));
}

#[test]
fn duplicate_syn_ack_is_answered_with_ack_or_bytes() {
    let (mut checked, una) = established();
    let duplicate = (SERVER - 1, una, SYN | ACK);
    assert_eq!(
        exchange(&mut checked, duplicate, b"").0,
        [(ACK, una, SERVER)]
    );
    assert!(checked.send(0, b"hello"));
    let sent = exchange(&mut checked, duplicate, b"").0;
    assert_eq!(sent, [(ACK | PSH, una, SERVER)]);
    assert_eq!(checked.tcp.counters().duplicate_syn_acks, 2);
}

#[test]
fn segment_without_ack_or_outside_of_the_window_is_dropped() {
    let (mut checked, una) = established();
    assert_eq!(
        exchange(&mut checked, (SERVER, una, 0), b"abc"),
        (vec![], vec![], None)
    );
    let far = exchange(&mut checked, (SERVER + 65_535, una, ACK), b"abc");
    assert_eq!(far, (vec![(ACK, una, SERVER)], vec![], None));
}

#[test]
fn at_most_1200_bytes_are_unacknowledged() {
    let (mut checked, una) = established();
    assert!(checked.send(0, &[1; 1000]) && checked.send(0, &[2; 200]));
    let now = checked.now;
    let mut send = |_: &[u8]| panic!("a packet");
    let result = checked.tcp.send(0, &[3], now, &mut send);
    assert_eq!(result, Err(SendError::TooMuch));
    let result = checked.tcp.send(1, &[3], now, &mut send);
    assert_eq!(result, Err(SendError::NotEstablished));
    exchange(&mut checked, (SERVER, una + 1, ACK), b"");
    assert!(checked.send(0, &[3]));
}

#[test]
fn sequence_numbers_wrap_around() {
    let mut checked = Checked::new(false, 1);
    let una = checked.connect(0).unwrap().seq.wrapping_add(1);
    let syn_ack = checked.segment(0, u32::MAX - 2, una, SYN | ACK);
    checked.receive(&syn_ack.packet());
    let (sent, bytes, _) = exchange(&mut checked, (u32::MAX - 1, una, ACK), b"abcdef");
    assert_eq!((sent, bytes), (vec![(ACK, una, 4)], b"abcdef".to_vec()));
    let (sent, ..) = exchange(&mut checked, (3, una, ACK), b"");
    assert_eq!(sent, [(ACK, una, 4)], "keepalive");
}
