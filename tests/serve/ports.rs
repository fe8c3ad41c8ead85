//! Ports for servers that cannot be started on port 0.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port of all. Those from 32768 on are picked by the kernel for port 0 (ip(7), `ip_local_port_range`).
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port on which nothing listens. No other call returns it, and the kernel does not pick it for another socket.
pub(crate) fn unused_port(ip: &str) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs of the tests at the same time, for example in containers of one network, begin at different ports.
    let begin = process::id() % u32::from(COUNT);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (begin + u32::from(next)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap();
        if TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
}
