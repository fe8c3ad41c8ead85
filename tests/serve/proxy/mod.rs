//! The PROXY protocol: headers of both versions, admission by the address in the header, and `HAProxy` in front.

mod admission;
mod haproxy;
mod headers;
mod health;
mod rolling;
mod upgrading;

pub(crate) use haproxy::{Haproxy, server_line};

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::client::{assert_reads, connect};
use crate::harness::{Daemon, PATIENCE};

/// The flags of a server whose proxies have addresses in 127.0.0.0/24.
pub(crate) const FLAGS: [&str; 4] = ["-v", "--proxy-protocol", "--proxy-from", "127.0.0.0/24"];

fn serve(extra: &[&str]) -> Daemon {
    Daemon::start(&[&FLAGS, extra].concat())
}

/// The header of version 1 for a client.
fn line(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = match client {
        SocketAddr::V4(_) => ("TCP4", "198.51.100.7"),
        SocketAddr::V6(_) => ("TCP6", "2001:db8::7"),
    };
    let (ip, port) = (client.ip(), client.port());
    format!("PROXY {family} {ip} {server} {port} 8000\r\n").into_bytes()
}

/// The header of version 2 for a client.
fn binary(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, ip, server) = match client.ip() {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec(), vec![198, 51, 100, 7]),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec(), vec![7; 16]),
    };
    let ports = [client.port().to_be_bytes(), [0x1F, 0x40]].concat();
    let contents = [ip, server, ports].concat();
    let length = u8::try_from(contents.len()).unwrap();
    let start = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, family, 0, length]].concat();
    [start, contents].concat()
}

/// Version 2, LOCAL: the proxy's own connection.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// A client behind the proxy, after its first echo.
#[track_caller]
fn connect_as(daemon: &Daemon, client: &str) -> TcpStream {
    let mut stream = begin_as(daemon, client);
    assert_reads(&mut stream, b"?");
    stream
}

/// As [`connect_as`], without waiting for the echo.
#[track_caller]
fn begin_as(daemon: &Daemon, client: &str) -> TcpStream {
    let mut stream = connect(daemon.address());
    let sent = stream.write_all(&[&line(client)[..], b"?"].concat());
    sent.unwrap();
    stream
}

/// A connection from another address of this machine.
fn connect_from(from: [u8; 4], address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(&address.into())?;
    Ok(socket.into())
}
