//! IP packets with TCP segments: parsed and emitted with `smoltcp`.

use super::{Endpoints, MAX_UNACKNOWLEDGED};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpOption, TcpPacket,
    TcpRepr, TcpSeqNumber,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) use smoltcp::wire::TcpControl as Control;

/// RCV.WND: the advertised window, the largest without scaling.
pub(super) const WINDOW: u16 = u16::MAX;

/// The size of the largest packet: headers of IPv6 and TCP, the option MSS, and bytes.
const MAX_PACKET: usize = 40 + 20 + 4 + MAX_UNACKNOWLEDGED;

/// Routers and the server decrement it; 64 is the usual first value.
const HOP_LIMIT: u8 = 64;

/// A segment of the server to a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'p> {
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    options: &'p [u8],
    pub(super) bytes: &'p [u8],
}

impl Segment<'_> {
    /// SEG.LEN: the sequence numbers that the segment occupies.
    pub(super) fn length(&self) -> u32 {
        // A packet has at most 65,535 bytes.
        let bytes = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        bytes + u32::from(self.syn) + u32::from(self.fin)
    }

    /// The option MSS.
    pub(super) fn max_segment_size(&self) -> Option<u16> {
        let mut options = self.options;
        while let Ok((rest, option)) = TcpOption::parse(options) {
            match option {
                TcpOption::MaxSegmentSize(size) => return Some(size),
                TcpOption::EndOfList => return None,
                _ => options = rest,
            }
        }
        None
    }
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// No segment from the server to the address and port of a connection, or a fragment.
    NotOurs,
    BadChecksum,
}

/// Parses a packet to one of the connections.
pub(super) fn parse<'p>(
    packet: &'p [u8],
    endpoints: &Endpoints,
) -> Result<(u32, Segment<'p>), Dropped> {
    let (source, destination, payload) = match packet.first().map(|first| first >> 4) {
        Some(4) => parse_ipv4(packet)?,
        Some(6) => parse_ipv6(packet)?,
        _ => return Err(Dropped::NotOurs),
    };
    let tcp = TcpPacket::new_checked(payload).map_err(|_| Dropped::NotOurs)?;
    if SocketAddr::new(source, tcp.src_port()) != endpoints.server() {
        return Err(Dropped::NotOurs);
    }
    let local = SocketAddr::new(destination, tcp.dst_port());
    let connection = endpoints.connection(local).ok_or(Dropped::NotOurs)?;
    if !tcp.verify_checksum(&source.into(), &destination.into()) {
        return Err(Dropped::BadChecksum);
    }
    let segment = Segment {
        seq: tcp.seq_number().0.cast_unsigned(),
        ack: tcp.ack().then(|| tcp.ack_number().0.cast_unsigned()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        options: tcp.options(),
        bytes: tcp.payload(),
    };
    Ok((connection, segment))
}

/// Source, destination and payload.
type IpParts<'p> = (IpAddr, IpAddr, &'p [u8]);

fn parse_ipv4(packet: &[u8]) -> Result<IpParts<'_>, Dropped> {
    let ip = Ipv4Packet::new_checked(packet).map_err(|_| Dropped::NotOurs)?;
    let is_fragment = ip.more_frags() || ip.frag_offset() > 0;
    let has_header = usize::from(ip.header_len()) >= smoltcp::wire::IPV4_HEADER_LEN;
    if !has_header || is_fragment || ip.next_header() != IpProtocol::Tcp {
        return Err(Dropped::NotOurs);
    }
    if !ip.verify_checksum() {
        return Err(Dropped::BadChecksum);
    }
    Ok((ip.src_addr().into(), ip.dst_addr().into(), ip.payload()))
}

/// Packets with extension headers, which include fragments, are not TCP here.
fn parse_ipv6(packet: &[u8]) -> Result<IpParts<'_>, Dropped> {
    let ip = Ipv6Packet::new_checked(packet).map_err(|_| Dropped::NotOurs)?;
    if ip.next_header() != IpProtocol::Tcp {
        return Err(Dropped::NotOurs);
    }
    Ok((ip.src_addr().into(), ip.dst_addr().into(), ip.payload()))
}

/// A segment to the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'b> {
    pub(super) control: Control,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) bytes: &'b [u8],
}

/// Emits packets into one buffer.
#[derive(Debug)]
pub(super) struct Emitter {
    endpoints: Endpoints,
    checksums: ChecksumCapabilities,
    buffer: [u8; MAX_PACKET],
}

impl Emitter {
    pub(super) fn new(endpoints: Endpoints) -> Emitter {
        Emitter {
            endpoints,
            checksums: ChecksumCapabilities::default(),
            buffer: [0; MAX_PACKET],
        }
    }

    /// The packet with a segment of a connection.
    pub(super) fn emit(&mut self, connection: u32, segment: Outgoing<'_>) -> &[u8] {
        let source = self.endpoints.source(connection);
        let tcp = self.header(source, segment);
        let length = match (source.ip(), self.endpoints.server().ip()) {
            (IpAddr::V4(source), IpAddr::V4(server)) => self.emit_ipv4(source, server, &tcp),
            (IpAddr::V6(source), IpAddr::V6(server)) => self.emit_ipv6(source, server, &tcp),
            // `Endpoints` has one family.
            _ => 0,
        };
        &self.buffer[..length]
    }

    fn header<'b>(&self, source: SocketAddr, segment: Outgoing<'b>) -> TcpRepr<'b> {
        let is_syn = segment.control == Control::Syn;
        let max_segment_size = if source.is_ipv4() { 1460 } else { 1440 };
        TcpRepr {
            src_port: source.port(),
            dst_port: self.endpoints.server().port(),
            control: segment.control,
            seq_number: sequence_number(segment.seq),
            ack_number: segment.ack.map(sequence_number),
            window_len: WINDOW,
            window_scale: None,
            max_seg_size: is_syn.then_some(max_segment_size),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: segment.bytes,
        }
    }

    fn emit_ipv4(&mut self, source: Ipv4Addr, server: Ipv4Addr, tcp: &TcpRepr<'_>) -> usize {
        let ip = Ipv4Repr {
            src_addr: source,
            dst_addr: server,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: HOP_LIMIT,
        };
        ip.emit(
            &mut Ipv4Packet::new_unchecked(&mut self.buffer[..]),
            &self.checksums,
        );
        self.emit_tcp(ip.buffer_len(), &source.into(), &server.into(), tcp)
    }

    fn emit_ipv6(&mut self, source: Ipv6Addr, server: Ipv6Addr, tcp: &TcpRepr<'_>) -> usize {
        let ip = Ipv6Repr {
            src_addr: source,
            dst_addr: server,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: HOP_LIMIT,
        };
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut self.buffer[..]));
        self.emit_tcp(ip.buffer_len(), &source.into(), &server.into(), tcp)
    }

    /// Emits a segment at `begin`, and returns where it ends.
    fn emit_tcp(
        &mut self,
        begin: usize,
        source: &IpAddress,
        server: &IpAddress,
        tcp: &TcpRepr<'_>,
    ) -> usize {
        let end = begin + tcp.buffer_len();
        let mut segment = TcpPacket::new_unchecked(&mut self.buffer[begin..end]);
        tcp.emit(&mut segment, source, server, &self.checksums);
        end
    }
}

fn sequence_number(number: u32) -> TcpSeqNumber {
    TcpSeqNumber(number.cast_signed())
}
