//! One TLS session: ciphertext to plaintext and back, on both sides. The only module that names the TLS library.
//!
//! The library decrypts in place, and joins the fragments of a handshake message in the buffer that it is given. So
//! the codec owns the ciphertext that the library has not released, and passes it again, unchanged, before further
//! ciphertext. It passes one record at a time, which makes records and handshake steps countable.

mod client;
mod errors;
mod failing;
mod negotiated;
mod pem;
mod pump;
mod receiving;
mod record;
mod sending;
mod server;
#[cfg(test)]
mod tests;
mod tickets;

pub use client::{ClientSettings, Trust};
pub use negotiated::Negotiated;
pub use server::{Identity, ServerSettings};

use super::error::{TlsError, TlsErrorKind};
use failing::failed_before;
use negotiated::Requested;
use pump::{Engine, Failure, Pumped, Write, pump};
use receiving::MAX_CREDIT;
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use std::cell::Cell;

/// What a call of [`Codec::receive`] has led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The handshake has been completed in this call.
    pub established: bool,
    /// The peer has sent `close_notify`, in this call or before. Nothing follows.
    pub peer_closed: bool,
    /// The steps were used up: [`Codec::receive`] is to be called again with further steps, even without ciphertext.
    pub deferred: bool,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Side {
    fn state(&self) -> &CommonState {
        match self {
            Side::Server(server) => server.state(),
            Side::Client(client) => client.state(),
        }
    }

    fn pump(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
        write: Option<Write<'_>>,
    ) -> Result<Pumped, Failure> {
        match self {
            Side::Server(server) => pump(server, ciphertext, plaintext, output, write),
            Side::Client(client) => pump(client, ciphertext, plaintext, output, write),
        }
    }
}

/// A TLS session of either side.
///
/// Ciphertext goes to [`receive`](Codec::receive), plaintext to [`encrypt`](Codec::encrypt); both append what is to be
/// sent to `output`. After an error the output holds the alert that reports it to the peer, and the codec is of no
/// further use.
pub struct Codec {
    side: Side,
    /// Ciphertext that is not released.
    held: Vec<u8>,
    /// The bytes at the front of `held` that the library has processed and still uses.
    seen: usize,
    /// Plaintext that was written before the end of the handshake.
    early: Vec<u8>,
    requested: Requested,
    credit: u32,
    flags: Flags,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Copy, Default)]
struct Flags {
    /// A valid record was received.
    has_record: bool,
    /// Records with application data cost a step before the end of the handshake: they hold the peer's certificate.
    encrypted_steps: bool,
    peer_closed: bool,
    /// `close_notify` was sent.
    closed: bool,
    failed: bool,
}

impl Codec {
    /// The session of an accepted connection.
    ///
    /// # Errors
    ///
    /// The random number generator has failed.
    pub fn accept(settings: &ServerSettings) -> Result<Codec, TlsError> {
        let server = UnbufferedServerConnection::new(settings.config());
        let server = server.map_err(|error| errors::session_error(&error, "client", None))?;
        let mut codec = Codec::new(Side::Server(server));
        codec.requested = Requested::At(settings.requested_name());
        codec.flags.encrypted_steps = settings.requires_client_certificate();
        Ok(codec)
    }

    /// The session of a connection to the settings' server, and its first message in `output`.
    ///
    /// # Errors
    ///
    /// The random number generator has failed.
    pub fn connect(settings: &ClientSettings, output: &mut Vec<u8>) -> Result<Codec, TlsError> {
        let client = UnbufferedClientConnection::new(settings.config(), settings.name());
        let client = client.map_err(|error| errors::session_error(&error, "server", None))?;
        let mut codec = Codec::new(Side::Client(client));
        codec.flags.encrypted_steps = true;
        let mut none = Vec::new();
        let started = codec.side.pump(&mut [], &mut none, output, None);
        started.map_err(|failure| codec.fail(failure, &[]))?;
        Ok(codec)
    }

    fn new(side: Side) -> Codec {
        Codec {
            side,
            held: Vec::new(),
            seen: 0,
            early: Vec::new(),
            requested: Requested::Known(Cell::default()),
            credit: MAX_CREDIT,
            flags: Flags::default(),
        }
    }

    /// The peer has sent FIN.
    ///
    /// # Errors
    ///
    /// It has not sent `close_notify` before: its data is not complete, or its handshake is not.
    pub fn end(&self) -> Result<(), TlsError> {
        if self.flags.failed {
            return Err(failed_before());
        }
        if self.flags.peer_closed {
            return Ok(());
        }
        let what = if self.is_handshaking() {
            "closed the connection within the TLS handshake"
        } else {
            "closed the connection without close_notify: data may be missing"
        };
        let text = format!("the {} {what}", self.peer());
        Err(TlsError::new(TlsErrorKind::Truncated, text))
    }

    /// Whether the handshake is not complete.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.side.state().is_handshaking()
    }

    /// Whether the peer has sent `close_notify`.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.flags.peer_closed
    }

    /// The bytes of ciphertext and plaintext that the session holds: 0 for an idle session.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.capacity() + self.early.capacity()
    }
}
