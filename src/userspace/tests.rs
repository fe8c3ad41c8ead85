//! The memory of a connection and the end of its sequence numbers: what only this module can see.

use super::*;
use smoltcp::wire::{Ipv4Packet, TcpPacket, TcpSeqNumber};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const TIMERS: Timers = Timers {
    connect: Duration::from_secs(10),
    unacknowledged: Duration::from_secs(20),
};

fn client(connections: u32) -> UserspaceTcp {
    let server = SocketAddr::from(([10, 0, 0, 1], 7777));
    let first = IpAddr::from([198, 18, 0, 2]);
    let endpoints = Endpoints::new(server, first, 2).unwrap();
    UserspaceTcp::new(endpoints, connections, 1, TIMERS).unwrap()
}

/// Sends the SYN of a connection, and returns the SYN-ACK of the server.
fn connect(tcp: &mut UserspaceTcp, connection: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut send = |syn: &[u8]| packet = syn.to_vec();
    tcp.connect(connection, Time::ZERO, &mut send);
    turn_into_syn_ack(&mut packet);
    packet
}

fn turn_into_syn_ack(packet: &mut [u8]) {
    let mut ip = Ipv4Packet::new_unchecked(packet);
    let (client, server) = (ip.src_addr(), ip.dst_addr());
    ip.set_src_addr(server);
    ip.set_dst_addr(client);
    ip.fill_checksum();
    let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
    let (client_port, server_port) = (tcp.src_port(), tcp.dst_port());
    tcp.set_src_port(server_port);
    tcp.set_dst_port(client_port);
    tcp.set_ack(true);
    tcp.set_ack_number(tcp.seq_number() + 1);
    tcp.set_seq_number(TcpSeqNumber(4000));
    let addresses: [Ipv4Addr; 2] = [server, client];
    tcp.fill_checksum(&addresses[0].into(), &addresses[1].into());
}

fn establish(tcp: &mut UserspaceTcp, syn_ack: &[u8]) {
    let arrival = tcp.receive(syn_ack, Time::ZERO, &mut |_| {}).unwrap();
    assert!(arrival.established);
}

#[test]
fn idle_connection_is_8_bytes() {
    let mut tcp = client(100_000);
    // All SYN segments are in flight at the same time.
    let connections = 0..100_000;
    let syn_acks: Vec<_> = connections
        .map(|connection| connect(&mut tcp, connection))
        .collect();
    let most = tcp.in_flight.memory();
    assert!(most > 100_000 * 16, "{most}");
    for syn_ack in &syn_acks {
        establish(&mut tcp, syn_ack);
    }
    assert!((0..100_000).all(|connection| tcp.is_established(connection)));
    assert_eq!(
        tcp.connections.capacity() * size_of::<Connection>(),
        800_000
    );
    let rest = tcp.in_flight.memory();
    assert!(rest < 1_000_000, "{rest} of {most} bytes remain");
    assert!(size_of::<UserspaceTcp>() < 2000);
}

#[test]
fn few_connections_in_flight_take_little_memory() {
    let mut tcp = client(100_000);
    for connection in 0..100_000 {
        let syn_ack = connect(&mut tcp, connection);
        establish(&mut tcp, &syn_ack);
        tcp.send(connection, b"hello", Time::ZERO, &mut |_| {})
            .unwrap();
        tcp.reset(connection, &mut |_| {});
    }
    assert_eq!(tcp.memory(), 800_000 + tcp.in_flight.memory());
    let memory = tcp.in_flight.memory();
    assert!(memory < 10_000, "{memory}");
}

#[test]
fn exhausted_sequence_numbers_end_the_bytes_not_the_connection() {
    let mut tcp = client(1);
    let syn_ack = connect(&mut tcp, 0);
    establish(&mut tcp, &syn_ack);
    tcp.entry_mut(0).set_offset(MAX_OFFSET - 1500);
    let result = tcp.send(0, b"hello", Time::ZERO, &mut |_| {});
    assert_eq!(result, Err(SendError::Exhausted));
    assert!(tcp.is_established(0));
    tcp.reset(0, &mut |_| {});
    // A new connection has all sequence numbers again.
    let syn_ack = connect(&mut tcp, 0);
    establish(&mut tcp, &syn_ack);
    assert_eq!(tcp.entry(0).offset(), 1);
    assert!(tcp.send(0, b"hello", Time::ZERO, &mut |_| {}).is_ok());
}
