//! Packets that are no segments of the connections: dropped and counted.

use crate::checked::Checked;
use crate::wire::{ACK, SYN, Segment};

fn segment(checked: &Checked) -> Segment {
    let mut segment = checked.segment(0, 1, 2, ACK);
    segment.bytes = b"hello".to_vec();
    segment
}

/// Counters of packets that were not ours, and of wrong checksums.
fn dropped(is_ipv6: bool, change: impl FnOnce(&mut Segment)) -> (u64, u64) {
    let mut checked = Checked::new(is_ipv6, 1);
    let mut segment = segment(&checked);
    change(&mut segment);
    checked.receive(&segment.packet());
    let counters = checked.tcp.counters();
    assert_eq!(counters.sent, 0);
    (counters.not_ours, counters.bad_checksums)
}

#[test]
fn other_addresses_and_ports_are_not_ours() {
    for is_ipv6 in [false, true] {
        let other = if is_ipv6 {
            "2001:db8:1::1"
        } else {
            "198.18.0.1"
        };
        let other = other.parse().unwrap();
        let cases: [fn(&mut Segment, std::net::IpAddr); 6] = [
            |segment, _| segment.source.set_port(7778),
            |segment, _| segment.destination.set_port(1023),
            // Beyond the number of connections.
            |segment, _| segment.destination.set_port(1024 + 4),
            |segment, other| segment.source.set_ip(other),
            |segment, other| segment.destination.set_ip(other),
            |segment, _| std::mem::swap(&mut segment.source, &mut segment.destination),
        ];
        for case in cases {
            assert_eq!(dropped(is_ipv6, |segment| case(segment, other)), (1, 0));
        }
    }
}

#[test]
fn each_damaged_byte_is_noticed() {
    for is_ipv6 in [false, true] {
        let mut checked = Checked::new(is_ipv6, 1);
        let intact = segment(&checked).packet();
        for at in 0..intact.len() {
            let mut packet = intact.clone();
            packet[at] ^= 0x11;
            // The traffic class, flow label and hop limit of IPv6 have no checksum.
            if !is_ipv6 || !matches!(at, 0..4 | 7) {
                checked.receive(&packet);
                assert_eq!(checked.tcp.counters().sent, 0, "{at}");
            }
        }
        let counters = checked.tcp.counters();
        assert!(counters.bad_checksums >= 5 && counters.not_ours > 0);
        checked.receive(&intact);
        assert_eq!(checked.tcp.counters().sent, 1);
    }
}

#[test]
fn truncated_packets_are_not_ours() {
    for is_ipv6 in [false, true] {
        let mut checked = Checked::new(is_ipv6, 1);
        let intact = segment(&checked).packet();
        for length in 0..intact.len() {
            checked.receive(&intact[..length]);
        }
        assert_eq!(checked.tcp.counters().not_ours, intact.len() as u64);
        // Padding after the packet is no part of it.
        checked.receive(&[&intact[..], &[0; 6]].concat());
        assert_eq!(checked.tcp.counters().sent, 1);
    }
}

#[test]
fn fragments_and_other_protocols_are_not_ours() {
    let mut checked = Checked::new(false, 1);
    let intact = segment(&checked).packet();
    for (at, value) in [(6, 0x20), (7, 1), (9, 17)] {
        let mut packet = intact.clone();
        packet[at] = value;
        checked.receive(&packet);
    }
    // A router solicitation, which a TUN device gets.
    let mut solicitation = vec![0x60, 0, 0, 0, 0, 8, 58, 255];
    solicitation.resize(48, 0);
    checked.receive(&solicitation);
    assert_eq!(checked.tcp.counters().not_ours, 4);
    assert_eq!(checked.tcp.counters().sent, 0);
}

#[test]
fn options_of_ipv4_and_tcp_are_skipped() {
    let mut checked = Checked::new(false, 1);
    let syn = checked.connect(0).unwrap();
    let mut syn_ack = checked.segment(0, 9, syn.seq + 1, SYN | ACK);
    // Timestamps, and an option of length zero, which is an error.
    syn_ack.options = vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 254, 0];
    checked.receive(&syn_ack.packet());
    assert!(checked.tcp.is_established(0));
}
