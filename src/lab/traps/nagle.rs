//! Nagle's algorithm holds back a small segment until the previous one is acknowledged, and the receiver delays its
//! acknowledgement by 40 ms.

use std::io::{self, Write};
use std::net::TcpStream;

/// Sends a request in two writes. The kernel sends the second when the first is acknowledged.
pub(super) fn wrong(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"length: 5\n")?;
    stream.write_all(b"hello")
}

/// Disables Nagle's algorithm: the kernel sends each write at once. One write for both is better still.
pub(super) fn right(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"length: 5\n")?;
    stream.write_all(b"hello")
}
