//! The PROXY protocol, with which a proxy reports the addresses of its clients: a header before everything else on a
//! connection, also before TLS.
//!
//! [`parse`] reads a header; [`Proxied`] is a protocol around a protocol, and [`ProxiedSession`] a session around a
//! session, without I/O.

mod header;
mod protocol;
#[cfg(test)]
mod server_tests;

pub use header::{Header, HeaderError, MAX_BINARY, MAX_LINE, parse};
pub use protocol::{Proxied, ProxiedSession};
