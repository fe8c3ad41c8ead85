//! The configuration of the TLS client, and the addresses that its connections come from.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections per source address: beyond some 14,000, the kernel's search for a free port is slow.
const PER_SOURCE: usize = 10_000;

/// What all connections of the generator share.
pub(super) struct Client {
    pub(super) config: Arc<ClientConfig>,
    pub(super) target: SocketAddr,
    /// Connections so far.
    opened: AtomicUsize,
}

impl Client {
    /// TLS 1.3 with one cipher suite, one group and one signature scheme: the same work for every server.
    pub(super) fn new(target: SocketAddr) -> Client {
        let provider = CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Client {
            config: Arc::new(config),
            target,
            opened: AtomicUsize::new(0),
        }
    }

    /// The source of the next connection. Ports in `TIME_WAIT` are those of earlier sources.
    pub(super) fn next_source(&self) -> Ipv4Addr {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let third = u8::try_from(number / PER_SOURCE % 250).unwrap();
        Ipv4Addr::new(127, 0, third, 1)
    }
}

/// Accepts every certificate and every signature of an ECDSA P-256 key.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SelectedUnofferedCipherSuite.into())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme == SignatureScheme::ECDSA_NISTP256_SHA256 {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
