//! Why a TLS session failed, and why settings are not valid: one line of text.

use std::fmt;

/// What kind of error ended a TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsErrorKind {
    /// The peer's first bytes are no TLS record.
    NotTls,
    /// The two sides have no version, cipher suite, key exchange or application protocol in common.
    Incompatible,
    /// The peer's certificate is missing, or is not valid.
    Certificate,
    /// The peer has sent a fatal alert.
    Alert,
    /// A record or a message is not valid, or was altered.
    Malformed,
    /// Too many records without data.
    Flood,
    /// The peer has sent FIN without `close_notify`: data may be missing.
    Truncated,
    /// The handshake has taken too long.
    HandshakeTimeout,
    /// Data was to be written after `close_notify`, or more than one set of keys permits.
    Exhausted,
    /// There is no memory for the session's data.
    OutOfMemory,
    /// An error of this program or of its random number generator.
    Internal,
}

impl TlsErrorKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [TlsErrorKind; 11] = [
        TlsErrorKind::NotTls,
        TlsErrorKind::Incompatible,
        TlsErrorKind::Certificate,
        TlsErrorKind::Alert,
        TlsErrorKind::Malformed,
        TlsErrorKind::Flood,
        TlsErrorKind::Truncated,
        TlsErrorKind::HandshakeTimeout,
        TlsErrorKind::Exhausted,
        TlsErrorKind::OutOfMemory,
        TlsErrorKind::Internal,
    ];
}

/// Why a TLS session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    kind: TlsErrorKind,
    text: Box<str>,
}

impl TlsError {
    pub(super) fn new(kind: TlsErrorKind, text: impl Into<String>) -> TlsError {
        TlsError {
            kind,
            text: text.into().into_boxed_str(),
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> TlsErrorKind {
        self.kind
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TlsError {}

/// Why certificates, keys or names are not valid settings: one line that names the file and a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl SettingsError {
    pub(super) fn new(text: impl Into<String>) -> SettingsError {
        SettingsError(text.into())
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}
