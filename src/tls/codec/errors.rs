//! Errors of the TLS library as text in the terms of the field.

use crate::tls::error::{TlsError, TlsErrorKind};
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};
use std::fmt::{Debug, Write as _};

/// The error of a session. `peer` is `client` or `server`; `first` are the peer's first bytes if no record of it was
/// valid yet.
pub(super) fn session_error(error: &Error, peer: &str, first: Option<&[u8]>) -> TlsError {
    if let (Error::InvalidMessage(_), Some(first)) = (error, first)
        && !looks_like_tls(first)
    {
        return TlsError::new(TlsErrorKind::NotTls, not_tls(peer, first));
    }
    let (kind, text) = describe(error, peer);
    TlsError::new(kind, text)
}

/// Whether bytes begin as a TLS record does: its type, and the major version 3.
fn looks_like_tls(first: &[u8]) -> bool {
    matches!(first, [20..=24]) || matches!(first, [20..=24, 3, ..])
}

fn not_tls(peer: &str, first: &[u8]) -> String {
    let mut text = format!("the {peer}'s first bytes are no TLS record:");
    for byte in first.iter().take(4) {
        let _ = write!(text, " {byte:02x}");
    }
    let methods: [&[u8]; 7] = [
        b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN", b"HTTP",
    ];
    if methods.iter().any(|method| first.starts_with(method)) {
        text.push_str(" (plain HTTP)");
    } else if first.starts_with(b"SSH-") {
        text.push_str(" (SSH)");
    } else if matches!(first, [0x80..=0xff, _, 1, ..]) {
        text.push_str(" (SSL 2)");
    } else {
        text.push_str(" (a connection without TLS?)");
    }
    text
}

fn describe(error: &Error, peer: &str) -> (TlsErrorKind, String) {
    use TlsErrorKind as Kind;
    match error {
        Error::AlertReceived(alert) => (Kind::Alert, alert_text(*alert, peer)),
        Error::InvalidCertificate(error) => (Kind::Certificate, certificate_text(error, peer)),
        Error::NoCertificatesPresented => (
            Kind::Certificate,
            format!("the {peer} sent no certificate, and one is required"),
        ),
        Error::PeerIncompatible(why) => (Kind::Incompatible, incompatible_text(why, peer)),
        Error::NoApplicationProtocol => (
            Kind::Incompatible,
            format!("the {peer} offers no application protocol (ALPN) of this side"),
        ),
        Error::PeerMisbehaved(why) => misbehaved(why, peer),
        Error::DecryptError => (
            Kind::Malformed,
            format!("a record of the {peer} cannot be decrypted: it was altered"),
        ),
        Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
            (
                Kind::Malformed,
                format!("a record of the {peer} is longer than 16 KiB"),
            )
        }
        Error::InvalidMessage(why) => (
            Kind::Malformed,
            format!("a message of the {peer} is not valid: {}", words(why)),
        ),
        Error::InappropriateMessage { got_type, .. } => (
            Kind::Malformed,
            format!("the {peer} sent an unexpected {} record", words(got_type)),
        ),
        Error::InappropriateHandshakeMessage { got_type, .. } => (
            Kind::Malformed,
            format!(
                "the {peer} sent an unexpected {} message in the handshake",
                words(got_type)
            ),
        ),
        other => (Kind::Internal, format!("TLS failed: {other}")),
    }
}

fn misbehaved(why: &PeerMisbehaved, peer: &str) -> (TlsErrorKind, String) {
    use PeerMisbehaved as Why;
    match why {
        Why::TooManyEmptyFragments
        | Why::TooManyKeyUpdateRequests
        | Why::TooManyRenegotiationRequests
        | Why::TooManyWarningAlertsReceived => (
            TlsErrorKind::Flood,
            format!("the {peer} sends records without data: {}", words(why)),
        ),
        why => (
            TlsErrorKind::Malformed,
            format!("the {peer} violates TLS: {}", words(why)),
        ),
    }
}

fn alert_text(alert: AlertDescription, peer: &str) -> String {
    use AlertDescription as Alert;
    let name = match alert {
        Alert::UnknownCA => "unknown CA".to_owned(),
        alert => words(&alert),
    };
    let cause = match alert {
        Alert::UnknownCA => ": it does not trust the issuer of this side's certificate",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked => ": it does not accept this side's certificate",
        Alert::CertificateRequired | Alert::NoCertificate => ": it requires a client certificate",
        Alert::NoApplicationProtocol => ": it speaks none of the offered protocols (ALPN)",
        Alert::ProtocolVersion => ": it supports neither TLS 1.2 nor TLS 1.3",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            ": it has no cipher suite in common, or requires a client certificate"
        }
        Alert::UnrecognisedName => ": it serves no host of the requested name",
        _ => "",
    };
    format!("the {peer} sent the alert \"{name}\"{cause}")
}

fn incompatible_text(why: &PeerIncompatible, peer: &str) -> String {
    use PeerIncompatible as Why;
    match why {
        // The extension came with TLS 1.2.
        Why::ServerDoesNotSupportTls12Or13
        | Why::ServerTlsVersionIsDisabledByOurConfig
        | Why::SignatureAlgorithmsExtensionRequired
        | Why::SupportedVersionsExtensionRequired
        | Why::Tls12NotOffered
        | Why::Tls12NotOfferedOrEnabled => {
            format!("the {peer} supports neither TLS 1.2 nor TLS 1.3")
        }
        Why::NoCipherSuitesInCommon => format!(
            "the {peer} has no cipher suite in common: required is ECDHE with AES-GCM or ChaCha20"
        ),
        why => format!("the {peer} is not compatible: {}", words(why)),
    }
}

const DAY_S: u64 = 24 * 60 * 60;

fn certificate_text(error: &CertificateError, peer: &str) -> String {
    use CertificateError as Why;
    let subject = format!("the {peer}'s certificate");
    match error {
        Why::Expired => format!("{subject} has expired"),
        Why::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / DAY_S;
            format!("{subject} has expired {days} days ago")
        }
        Why::NotValidYet => format!("{subject} is not valid yet: compare the clocks"),
        Why::NotValidYetContext { time, not_before } => {
            let days = not_before.as_secs().saturating_sub(time.as_secs()) / DAY_S;
            format!("{subject} is valid in {days} days only: compare the clocks")
        }
        Why::UnknownIssuer => format!("{subject} is signed by no trusted authority"),
        Why::NotValidForName => format!("{subject} is not valid for the requested name"),
        Why::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            let names: Vec<&str> = presented.iter().map(|name| name_text(name)).collect();
            match names.as_slice() {
                [] => format!(
                    "{subject} has no subjectAltName, so it is not valid for {expected}: create \
                     it with -addext subjectAltName=..."
                ),
                names => format!(
                    "{subject} is not valid for {expected}, only for {}",
                    names.join(", ")
                ),
            }
        }
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => {
            format!("{subject} is not for this use (extendedKeyUsage)")
        }
        Why::BadSignature => format!("the signature of {subject} is wrong"),
        Why::BadEncoding => format!("{subject} is not valid DER"),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => format!(
            "{subject} is the certificate of an authority: create it with -addext \
             basicConstraints=critical,CA:FALSE"
        ),
        other => format!("{subject} is not valid: {other}"),
    }
}

/// A name of a certificate as it is written elsewhere: `DnsName("a")` is `a`.
fn name_text(presented: &str) -> &str {
    let inner = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// A name such as `TooManyEmptyFragments` as words: `too many empty fragments`.
fn words(name: &impl Debug) -> String {
    let name = format!("{name:?}");
    let mut text = String::with_capacity(name.len() + 8);
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && after_lower {
            text.push(' ');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        text.push(c.to_ascii_lowercase());
    }
    text
}
