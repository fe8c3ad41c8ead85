//! The settings of a server: certificate, key, authority of client certificates, application protocols.

use super::client::{alpn_list, provider};
use super::pem::{authorities, certificates, private_key};
use crate::tls::error::SettingsError;
use crate::tls::pem::Pem;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads the chain, the certificate of this side first, and its key: PKCS#8, PKCS#1 or SEC 1, not encrypted.
    ///
    /// # Errors
    ///
    /// A file is not valid, or the key is not that of the certificate.
    pub fn from_pem(certificate: &Pem, key: &Pem) -> Result<Identity, SettingsError> {
        let chain = certificates(certificate)?;
        let key_der = private_key(key)?;
        let (certificate, key) = (certificate.name(), key.name());
        match CertifiedKey::from_der(chain, key_der, &provider()) {
            Ok(certified) => Ok(Identity {
                key: Arc::new(certified),
            }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(SettingsError::new(format!(
                    "{key} is not the key of the first certificate in {certificate}: compare \
                     openssl pkey -pubout -in KEY with openssl x509 -noout -pubkey -in CERT"
                )))
            }
            Err(Error::InvalidCertificate(_)) => Err(SettingsError::new(format!(
                "{certificate}: the first certificate is not valid X.509"
            ))),
            Err(_) => Err(SettingsError::new(format!(
                "{key}: the key is not valid, or of no supported type (ECDSA P-256 or P-384, \
                 Ed25519, RSA of 2048 bits or more): see openssl pkey -noout -text -in KEY"
            ))),
        }
    }

    fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == rustls::SignatureAlgorithm::RSA
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// The name that a client has requested in the handshake that is processed, shared by all sessions of the settings.
pub(super) type RequestedName = Arc<Mutex<Option<Box<str>>>>;

/// Passes the requested name on, since an unbuffered connection does not report it, and always takes the one key.
struct OneIdentity {
    key: Arc<CertifiedKey>,
    requested: RequestedName,
}

impl fmt::Debug for OneIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneIdentity")
    }
}

impl ResolvesServerCert for OneIdentity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(Box::from);
        *self
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = name;
        Some(Arc::clone(&self.key))
    }
}

/// The settings of a server, shared by its sessions. A session keeps those with which it began.
#[derive(Clone)]
pub struct ServerSettings {
    config: Arc<ServerConfig>,
    requested: RequestedName,
    is_rsa: bool,
    requires_client_certificate: bool,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings").finish_non_exhaustive()
    }
}

/// One ticket for each handshake: a client that resumes gets the next one then.
const TICKETS: usize = 1;

impl ServerSettings {
    /// TLS 1.2 and 1.3 with one identity. With `client_ca`, clients must have a certificate of one of its authorities.
    /// With `alpn`, a client that offers application protocols must offer one of them; the first in common is used.
    ///
    /// Sessions are resumed with tickets that the client keeps, so a server holds none.
    ///
    /// # Errors
    ///
    /// `client_ca` holds no authority, a protocol's name is not valid, or the random number generator has failed.
    pub fn new(
        identity: &Identity,
        client_ca: Option<&Pem>,
        alpn: &[String],
    ) -> Result<ServerSettings, SettingsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| internal(&error))?;
        let verifier = match client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(authorities(pem)?);
                WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| SettingsError::new(format!("{}: {error}", pem.name())))?
            }
        };
        let requested = RequestedName::default();
        let resolver = OneIdentity {
            key: identity.certified_key(),
            requested: Arc::clone(&requested),
        };
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = alpn_list(alpn)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = super::client::ticketer().map_err(|error| internal(&error))?;
        config.send_tls13_tickets = TICKETS;
        config.max_early_data_size = 0;
        Ok(ServerSettings {
            config: Arc::new(config),
            requested,
            is_rsa: identity.is_rsa(),
            requires_client_certificate: client_ca.is_some(),
        })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn requested_name(&self) -> RequestedName {
        Arc::clone(&self.requested)
    }

    /// Whether the key is RSA, whose handshakes cost several times those of ECDSA.
    #[must_use]
    pub fn is_rsa(&self) -> bool {
        self.is_rsa
    }

    /// Whether clients must have a certificate.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        self.requires_client_certificate
    }
}

pub(super) fn internal(error: &Error) -> SettingsError {
    SettingsError::new(format!("TLS cannot be set up: {error}"))
}
