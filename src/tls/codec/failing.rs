//! The errors of a session, after which it holds no memory for data.

use super::pump::Failure;
use super::{Codec, Side, errors};
use crate::tls::error::{TlsError, TlsErrorKind};

impl Codec {
    pub(super) fn peer(&self) -> &'static str {
        match self.side {
            Side::Server(_) => "client",
            Side::Client(_) => "server",
        }
    }

    pub(super) fn refuse(&mut self, kind: TlsErrorKind, what: &str) -> TlsError {
        self.release();
        TlsError::new(kind, format!("the {} {what}", self.peer()))
    }

    /// The error of a failure; `shown` is the ciphertext that led to it.
    pub(super) fn fail(&mut self, failure: Failure, shown: &[u8]) -> TlsError {
        self.release();
        match failure {
            Failure::Library(error) => {
                let first = (!self.flags.has_record).then_some(shown);
                errors::session_error(&error, self.peer(), first)
            }
            Failure::OutOfMemory => {
                let text = "no memory for the data of a TLS session";
                TlsError::new(TlsErrorKind::OutOfMemory, text)
            }
            Failure::KeysUsedUp => {
                let text = "the keys of this TLS 1.2 session have encrypted 16 million records";
                TlsError::new(TlsErrorKind::Exhausted, text)
            }
            Failure::Unexpected(what) => {
                let text = format!("the TLS library is in an unexpected state: {what}");
                TlsError::new(TlsErrorKind::Internal, text)
            }
        }
    }

    fn release(&mut self) {
        self.flags.failed = true;
        self.held = Vec::new();
        self.early = Vec::new();
        self.seen = 0;
    }
}

pub(super) fn failed_before() -> TlsError {
    TlsError::new(TlsErrorKind::Internal, "the TLS session has failed before")
}
