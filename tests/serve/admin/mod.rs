//! The admin listener: its pages over real sockets, with the tools that read them, and with clients that misbehave.

mod browser;
mod http;
mod misbehaving;
mod prometheus;
mod usage;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::connect;
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::ports::unused_port;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A daemon with an admin listener on a port that the kernel picks.
#[track_caller]
fn start(extra: &[&str]) -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&[&["--admin", "127.0.0.1:0"], extra].concat());
    let address = admin_address(&daemon);
    (daemon, address)
}

/// The address in the line `admin on http://ADDRESS/`.
#[track_caller]
pub(crate) fn admin_address(daemon: &Daemon) -> SocketAddr {
    let line = daemon.wait_for_line("the admin address", |line| {
        line.contains("admin on http://")
    });
    let (_, address) = line.split_once("http://").unwrap();
    address.trim_end_matches('/').parse().unwrap()
}

/// An address on which nothing listens.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], unused_port("127.0.0.1")))
}

/// Requests a page on a new connection.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    try_get(address, path).unwrap_or_else(|| panic!("no response for {path}"))
}

/// As [`get`]; `None` without a complete response.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Response {
        status: head.get(9..12)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Sends text on a new connection, and reads to FIN.
#[track_caller]
fn converse(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(text).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    received
}

/// The value of a sample, with its labels.
#[track_caller]
pub(crate) fn value(metrics: &str, sample: &str) -> f64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("{sample} is missing: {metrics}"));
    value.parse().unwrap()
}

/// The value of a sample now.
#[track_caller]
pub(crate) fn scrape(address: SocketAddr, sample: &str) -> f64 {
    value(&get(address, "/metrics").body, sample)
}

/// Waits until a sample has this value.
#[track_caller]
pub(crate) fn wait_for(address: SocketAddr, sample: &str, expected: f64) {
    eventually(PATIENCE, &format!("{sample} is {expected}"), || {
        (scrape(address, sample) - expected).abs() < 1e-9
    });
}
