//! The files of the servers: certificate, key and configurations, in a directory that ends with the bench.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// What all servers use.
pub(crate) struct Files {
    pub(super) directory: TempDir,
    /// The self-signed certificate of an ECDSA P-256 key (PEM).
    pub(super) certificate: PathBuf,
    /// Its key (PKCS #8, PEM).
    pub(super) key: PathBuf,
    /// The connections that each server must carry.
    pub(super) max_connections: usize,
}

impl Files {
    pub(crate) fn create(max_connections: usize) -> Files {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let files = Files {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
            directory,
            max_connections,
        };
        files.write("cert.pem", &certificate);
        files.write("key.pem", &key);
        // HAProxy reads both from one file.
        files.write("server.pem", &(certificate + &key));
        files
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}
