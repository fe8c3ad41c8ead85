//! IP packets with TCP segments, built and parsed byte by byte: independent of the code under test.

use crate::IGNORES_CHECKSUMS;
use std::net::{IpAddr, SocketAddr};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// A TCP segment with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub options: Vec<u8>,
    pub bytes: Vec<u8>,
}

impl Segment {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// SEG.LEN.
    pub fn length(&self) -> u32 {
        let control = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        u32::try_from(self.bytes.len()).unwrap() + control
    }

    /// The packet with this segment.
    pub fn packet(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.source.port().to_be_bytes());
        tcp.extend(self.destination.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let words = u8::try_from(5 + self.options.len() / 4).unwrap();
        tcp.extend([words << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(&self.options);
        tcp.extend(&self.bytes);
        let length = u16::try_from(tcp.len()).unwrap();
        let sum = checksum(&[
            &octets(self.source.ip()),
            &octets(self.destination.ip()),
            &[0, 6],
            &length.to_be_bytes(),
            &tcp,
        ]);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = self.ip_header(length);
        packet.extend(tcp);
        packet
    }

    fn ip_header(&self, payload: u16) -> Vec<u8> {
        let mut header = Vec::new();
        let (source, destination) = (octets(self.source.ip()), octets(self.destination.ip()));
        if self.source.is_ipv4() {
            header.extend([0x45, 0]);
            header.extend((payload + 20).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            header.extend([source, destination].concat());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            header.extend([0x60, 0, 0, 0]);
            header.extend(payload.to_be_bytes());
            header.extend([6, 64]);
            header.extend([source, destination].concat());
        }
        header
    }

    /// The segment of a packet; `None` if it is no complete TCP segment with correct checksums.
    pub fn parse(packet: &[u8]) -> Option<Segment> {
        let (source, destination, tcp) = match packet.first()? >> 4 {
            4 => parse_ipv4(packet)?,
            6 => parse_ipv6(packet)?,
            _ => return None,
        };
        let begin = usize::from(tcp.get(12)? >> 4) * 4;
        if tcp.len() < 20 || begin < 20 || tcp.len() < begin {
            return None;
        }
        let length = u32::try_from(tcp.len()).unwrap().to_be_bytes();
        let pseudo = [&octets(source)[..], &octets(destination), &length, &[0, 6]];
        let sum = checksum(&[&pseudo.concat(), tcp]);
        if sum != 0 && !IGNORES_CHECKSUMS {
            return None;
        }
        Some(Segment {
            source: SocketAddr::new(source, u16_at(tcp, 0)),
            destination: SocketAddr::new(destination, u16_at(tcp, 2)),
            seq: u32_at(tcp, 4),
            ack: u32_at(tcp, 8),
            flags: tcp[13],
            options: tcp[20..begin].to_vec(),
            bytes: tcp[begin..].to_vec(),
        })
    }
}

fn parse_ipv4(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    if packet.len() < 20 {
        return None;
    }
    let begin = usize::from(packet[0] & 15) * 4;
    let end = usize::from(u16_at(packet, 2));
    if begin < 20 || end < begin || packet.len() < end {
        return None;
    }
    let is_fragment = u16_at(packet, 6) & 0x3fff != 0;
    let is_damaged = checksum(&[&packet[..begin]]) != 0 && !IGNORES_CHECKSUMS;
    if packet[9] != 6 || is_fragment || is_damaged {
        return None;
    }
    let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    Some((address(12), address(16), &packet[begin..end]))
}

fn parse_ipv6(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    if packet.len() < 40 {
        return None;
    }
    let end = 40 + usize::from(u16_at(packet, 4));
    if packet[6] != 6 || packet.len() < end {
        return None;
    }
    let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    Some((address(8), address(24), &packet[40..end]))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The checksum of RFC 1071 of all parts, each but the last of an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |byte| u32::from(*byte));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
