//! One connection, verified: the parameters of the handshake, and every byte of the echo.

use super::client::Client;
use super::connection::Connection;

/// Several records of the largest size, and more than the buffers of a server in front of another one.
const SIZE: usize = 100_000;

/// Bytes in flight.
const CHUNK: usize = 1_000;

pub(super) fn run(client: &Client) {
    let mut connection = Connection::open(client).unwrap();
    let bytes: Vec<u8> = (0..SIZE)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    for chunk in bytes.chunks(CHUNK) {
        let mut reply = vec![0; chunk.len()];
        connection.echo(chunk, &mut reply).unwrap();
        assert_eq!(chunk, reply, "the echo is wrong");
    }
    let tls = &connection.tls;
    println!(
        "version={:?} suite={:?} group={:?} handshake={:?} tickets={}",
        tls.protocol_version().unwrap(),
        tls.negotiated_cipher_suite().unwrap().suite(),
        tls.negotiated_key_exchange_group().unwrap().name(),
        tls.handshake_kind().unwrap(),
        tls.tls13_tickets_received(),
    );
    connection.close().unwrap();
}
