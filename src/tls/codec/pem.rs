//! Certificates and private keys from PEM (RFC 7468).

use crate::tls::error::SettingsError;
use crate::tls::pem::Pem;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn error(pem: &Pem, what: &str) -> SettingsError {
    SettingsError::new(format!("{}: {what}", pem.name()))
}

fn syntax(pem: &Pem, cause: &PemError) -> SettingsError {
    match cause {
        PemError::MissingSectionEnd { .. } => error(pem, "an END line is missing: copy it again"),
        PemError::IllegalSectionStart { .. } => error(pem, "a BEGIN line is not valid PEM"),
        PemError::Base64Decode(_) => error(pem, "a section is not valid base64: copy it again"),
        other => error(pem, &format!("not valid PEM: {other}")),
    }
}

/// The certificates of a file, in their order.
pub(super) fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.text()) {
        found.push(certificate.map_err(|cause| syntax(pem, &cause))?);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let what = if pem.contains("PRIVATE KEY-----") {
        "holds a private key, not a certificate: are the two files exchanged?"
    } else if pem.text().first() == Some(&0x30) {
        "is DER: convert it with openssl x509 -inform DER -in FILE -out FILE.pem"
    } else {
        "holds no certificate (-----BEGIN CERTIFICATE-----)"
    };
    Err(error(pem, what))
}

/// The private key of a file: PKCS#8, PKCS#1 or SEC 1.
pub(super) fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, SettingsError> {
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || pem.contains("Proc-Type: 4,ENCRYPTED")
    {
        let what = "the private key is encrypted: decrypt it with openssl pkey -in FILE -out NEW";
        return Err(error(pem, what));
    }
    let cause = match PrivateKeyDer::from_pem_slice(pem.text()) {
        Ok(key) => return Ok(key),
        Err(PemError::NoItemsFound) => None,
        Err(cause) => Some(cause),
    };
    if let Some(cause) = cause {
        return Err(syntax(pem, &cause));
    }
    let what = if pem.contains("-----BEGIN CERTIFICATE-----") {
        "holds a certificate, not a private key: are the two files exchanged?"
    } else if pem.contains("PUBLIC KEY-----") {
        "holds a public key, not a private key"
    } else if pem.text().first() == Some(&0x30) {
        "is DER: convert it with openssl pkey -inform DER -in FILE -out FILE.pem"
    } else {
        "holds no private key (-----BEGIN PRIVATE KEY-----)"
    };
    Err(error(pem, what))
}

/// The certificates of a file as trusted authorities.
pub(super) fn authorities(pem: &Pem) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(pem)?.into_iter().enumerate() {
        if roots.add(certificate).is_err() {
            let what = format!("certificate {} is not valid X.509", at + 1);
            return Err(error(pem, &what));
        }
    }
    Ok(roots)
}
