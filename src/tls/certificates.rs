//! Certificates for tests.

use super::pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// An authority that issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::new("ca.pem", self.0.pem())
    }

    /// The authority's own certificate and key.
    pub(crate) fn itself(&self) -> (Pem, Pem) {
        let key = self.0.key().serialize_pem();
        (self.pem(), Pem::new("ca.key", key))
    }

    /// A certificate for `names`, and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (Pem, Pem) {
        self.sign(&params(names))
    }

    /// A certificate that was valid until 2020.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> (Pem, Pem) {
        let mut params = params(names);
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> (Pem, Pem) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (
            Pem::new("cert.pem", certificate.pem()),
            Pem::new("key.pem", key.serialize_pem()),
        )
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).unwrap()
}
