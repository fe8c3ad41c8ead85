//! TLS 1.2 and 1.3 on bytes: a [`Codec`] has ciphertext as input and plaintext as output, and the reverse, without
//! sockets or clock. Settings come from PEM files ([`Pem`]), which may be read at any time.
//!
//! On it are [`Tls`], a protocol around a protocol, and [`TlsSession`], a session around a session.
//!
//! Only `codec` names the TLS library.

#[cfg(test)]
mod certificates;
mod client;
mod codec;
mod error;
mod layer;
mod pem;
mod protocol;
mod session;
#[cfg(test)]
mod session_tests;
mod statistics;
mod transport;

pub use client::MaybeTls;
pub use codec::{ClientSettings, Codec, Identity, Negotiated, Progress, ServerSettings, Trust};
pub use error::{SettingsError, TlsError, TlsErrorKind};
pub use pem::Pem;
pub use protocol::{Completed, Settings, Tls};
pub use session::TlsSession;
pub use statistics::HandshakeStats;
pub use transport::{Transport, TransportSession};
