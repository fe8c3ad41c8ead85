//! The settings of a client: trusted authorities, the server's name, its own certificate, resumption.

use super::pem::authorities;
use super::server::{Identity, internal};
use super::tickets::Tickets;
use crate::tls::error::SettingsError;
use crate::tls::pem::Pem;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ProducesTickets;
use rustls::sign::CertifiedKey;
use rustls::{
    ALL_VERSIONS, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "aws-lc")]
use rustls::crypto::aws_lc_rs as cryptography;
#[cfg(not(feature = "aws-lc"))]
use rustls::crypto::ring as cryptography;

/// The implementation of the cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(cryptography::default_provider())
}

/// Encrypts tickets with a key that changes each 6 hours.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    cryptography::Ticketer::new()
}

/// The names of application protocols, as ALPN carries them (RFC 7301, 3.1).
pub(super) fn alpn_list(names: &[String]) -> Result<Vec<Vec<u8>>, SettingsError> {
    let mut list = Vec::new();
    for name in names {
        if !(1..=255).contains(&name.len()) {
            let length = name.len();
            return Err(SettingsError::new(format!(
                "the name of an application protocol (ALPN) has 1 to 255 bytes, not {length}"
            )));
        }
        list.push(name.clone().into_bytes());
    }
    Ok(list)
}

/// Which certificates of servers a client accepts.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those that an authority of this system has issued.
    System,
    /// Those that an authority of this file has issued.
    Authorities(&'a Pem),
    /// Any: the server is not authenticated.
    Any,
}

/// The settings of a client for one server, shared by its sessions.
#[derive(Clone)]
pub struct ClientSettings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings").finish_non_exhaustive()
    }
}

impl ClientSettings {
    /// TLS 1.2 and 1.3 to the server `name`, a host name or an address, for which its certificate must be valid. A host
    /// name is also sent to the server (SNI). Sessions are resumed if `resume` is true.
    ///
    /// # Errors
    ///
    /// The name or the name of a protocol is not valid, or there is no authority.
    pub fn new(
        name: &str,
        trust: Trust<'_>,
        identity: Option<&Identity>,
        alpn: &[String],
        resume: bool,
    ) -> Result<ClientSettings, SettingsError> {
        ClientSettings::with_versions(ALL_VERSIONS, name, trust, identity, alpn, resume)
    }

    pub(super) fn with_versions(
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        trust: Trust<'_>,
        identity: Option<&Identity>,
        alpn: &[String],
        resume: bool,
    ) -> Result<ClientSettings, SettingsError> {
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
            SettingsError::new(format!("{name:?} is neither a host name nor an address"))
        })?;
        let provider = provider();
        let verifier = verifier(trust, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| internal(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(OneIdentity {
                key: identity.certified_key(),
            })),
        };
        config.alpn_protocols = alpn_list(alpn)?;
        config.resumption = if resume {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Ok(ClientSettings {
            config: Arc::new(config),
            name: server_name,
        })
    }

    /// With another configuration of the library, for tests.
    #[cfg(test)]
    pub(super) fn with_config(self, config: ClientConfig) -> ClientSettings {
        let config = Arc::new(config);
        ClientSettings { config, ..self }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

fn verifier(
    trust: Trust<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    let roots = match trust {
        Trust::Any => {
            return Ok(Arc::new(AcceptAny {
                provider: Arc::clone(provider),
            }));
        }
        Trust::Authorities(pem) => authorities(pem)?,
        Trust::System => system_authorities()?,
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    match verifier {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(SettingsError::new(format!(
            "the trusted authorities are not valid: {error}"
        ))),
    }
}

fn system_authorities() -> Result<RootCertStore, SettingsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old authorities may be encoded in ways that are not valid any more.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let cause = found.errors.first();
    let cause = cause.map_or(String::new(), |error| format!(" ({error})"));
    Err(SettingsError::new(format!(
        "this system has no trusted authorities{cause}: install ca-certificates, or name a file"
    )))
}

/// A client's only certificate, sent to each server that requests one.
struct OneIdentity {
    key: Arc<CertifiedKey>,
}

impl fmt::Debug for OneIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneIdentity")
    }
}

impl ResolvesClientCert for OneIdentity {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts any certificate. The server must still have its key.
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for AcceptAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptAny")
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
