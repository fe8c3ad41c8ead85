//! The TUN interface of `--userspace-tcp`: packets to a listener of the kernel and back, its settings, and its end.

use crate::network::{counter, in_own_network};
use crate::tools::{PATIENCE, have_tool, lacking};
use echoloop::net::{PacketLink, Tun, TunError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Instant;

const SYN: u8 = 2;
const SYN_ACK: u8 = 18;

/// The sequence number of a SYN.
const SEQUENCE: u32 = 0xffff_fff0;

/// The TUN interface for this prefix. `None`: this machine has no driver for one.
fn open(prefix: &str) -> Option<Tun> {
    match Tun::open(prefix.parse().unwrap()) {
        Err(TunError::NoDevice(error)) => {
            lacking(&format!("/dev/net/tun cannot be opened: {error}"));
            None
        }
        opened => Some(opened.unwrap()),
    }
}

/// The one's complement sum of 16-bit words (RFC 1071), not inverted.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    words.sum()
}

fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A TCP segment without data in an IP packet, made by hand (RFC 791, RFC 8200, RFC 9293).
fn packet(source: SocketAddr, target: SocketAddr, flags: u8) -> Vec<u8> {
    let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
    let rest = [
        &SEQUENCE.to_be_bytes()[..],
        &[0; 4],
        &[0x50, flags],
        &[0xff; 2],
        &[0; 4],
    ];
    let mut segment = [ports, rest.concat()].concat();
    let addresses = [octets(source.ip()), octets(target.ip())].concat();
    let check = checksum(sum(&addresses) + 6 + 20 + sum(&segment));
    segment[16..18].copy_from_slice(&check);
    if source.is_ipv6() {
        let header = [0x60, 0, 0, 0, 0, 20, 6, 64];
        return [&header[..], &addresses, &segment].concat();
    }
    let mut header = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    header.extend(&addresses);
    let check = checksum(sum(&header));
    header[10..12].copy_from_slice(&check);
    [header, segment].concat()
}

/// The next TCP segment from the kernel; a TUN interface also carries router solicitations.
fn next_segment(tun: &mut Tun) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 2000];
    loop {
        match tun.receive(&mut buffer) {
            Ok(length) => match (buffer[0] >> 4, buffer[9], buffer[6]) {
                (4, 6, _) => return buffer[20..length].to_vec(),
                (6, _, 6) => return buffer[40..length].to_vec(),
                _ => {}
            },
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                assert!(Instant::now() < deadline, "no packet from the kernel");
                let mut fds = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(1000_u16)).unwrap();
            }
        }
    }
}

/// Sends a SYN from the address `source` of the prefix to a listener of the kernel; its answer must be a SYN-ACK.
fn exchange(tun: &mut Tun, source: &str) {
    let listener = TcpListener::bind((tun.address(), 0)).unwrap();
    let target = listener.local_addr().unwrap();
    let source = SocketAddr::new(source.parse().unwrap(), 1024);
    tun.send(&packet(source, target, SYN)).unwrap();
    let answer = next_segment(tun);
    assert_eq!(answer[13], SYN_ACK, "{answer:?}");
    let ports = [target.port().to_be_bytes(), source.port().to_be_bytes()];
    assert_eq!(answer[..4], ports.concat());
    assert_eq!(answer[8..12], SEQUENCE.wrapping_add(1).to_be_bytes());
}

#[test]
fn syn_through_the_interface_is_answered_by_the_kernel() {
    let name = "userspace_tun::syn_through_the_interface_is_answered_by_the_kernel";
    in_own_network(name, || {
        for (prefix, source) in [
            ("198.18.0.0/15", "198.18.0.2"),
            ("198.18.0.0/15", "198.19.255.254"),
            ("10.1.2.0/30", "10.1.2.2"),
            ("fd00:7::/64", "fd00:7::2"),
            ("fd00:7::/64", "fd00:7::ffff:ffff:ffff:ffff"),
        ] {
            if let Some(mut tun) = open(prefix) {
                exchange(&mut tun, source);
            }
        }
    });
}

/// Packets to an interface that is not running are lost, in both directions: then some of the first SYNs would be answered a
/// second later, if at all.
#[test]
fn first_syn_is_answered_however_often_it_is_opened() {
    let name = "userspace_tun::first_syn_is_answered_however_often_it_is_opened";
    in_own_network(name, || {
        for _ in 0..25 {
            for (prefix, source) in [
                ("198.18.0.0/15", "198.18.0.2"),
                ("fd00:7::/64", "fd00:7::2"),
            ] {
                let Some(mut tun) = open(prefix) else {
                    return;
                };
                let before = counter("TCPTimeouts");
                exchange(&mut tun, source);
                let after = counter("TCPTimeouts");
                assert_eq!(after, before, "the first SYN-ACK was lost");
            }
        }
    });
}

/// The interface as `ip` shows it; empty if there is none.
fn shown(name: &str) -> String {
    let output = Command::new("ip")
        .args(["link", "show", "dev", name])
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn interface_is_up_with_a_long_queue_and_ends_with_its_value() {
    let name = "userspace_tun::interface_is_up_with_a_long_queue_and_ends_with_its_value";
    if !have_tool("ip") {
        return;
    }
    in_own_network(name, || {
        let Some(tun) = open("198.18.0.0/15") else {
            return;
        };
        let link = shown(tun.name());
        assert_eq!(tun.name(), "echoloop0");
        assert!(link.contains("UP,LOWER_UP"), "{link}");
        assert!(link.contains("mtu 1500"), "{link}");
        // A kernel that refuses the longest queue is given a shorter one.
        let length = tun.queue_length();
        assert!((500..=65_536).contains(&length), "{length}");
        assert!(link.contains(&format!("qlen {length}")), "{link}");
        let second = open("198.20.0.0/16").unwrap();
        assert_eq!(second.name(), "echoloop1");
        drop((tun, second));
        assert_eq!(shown("echoloop0"), "");
        let routes = fs::read_to_string("/proc/self/net/route").unwrap();
        assert!(!routes.contains("echoloop"), "{routes}");
    });
}

#[test]
fn second_interface_for_a_prefix_is_refused_with_the_first() {
    let name = "userspace_tun::second_interface_for_a_prefix_is_refused_with_the_first";
    in_own_network(name, || {
        for (first, second, found) in [
            ("198.18.0.0/15", "198.18.0.0/15", "198.18.0."),
            ("10.64.7.0/24", "10.64.0.0/16", "10.64.7."),
            ("fd00:7::/64", "fd00::/16", "fd00:7::"),
        ] {
            let Some(_tun) = open(first) else {
                return;
            };
            let error = Tun::open(second.parse().unwrap()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, TunError::Overlap(_)), "{text}");
            assert!(text.contains(found), "{text}");
            assert!(text.contains(" dev "), "{text}");
        }
    });
}
