//! TLS of `serve`: its flags, and certificates that are loaded again for SIGHUP.

use crate::cli::{Failure, units};
use crate::protocol::Protocol;
use crate::proxy::Proxied;
use crate::tls::{
    HandshakeStats, Identity, Pem, ServerSettings, Settings, SettingsError, Tls, Transport,
};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct TlsFlags {
    /// Serve over TLS 1.2 and 1.3 with the certificate chain in F (PEM); SIGHUP loads it again
    #[arg(long = "tls-cert", value_name = "F")]
    certificate: Option<PathBuf>,

    /// Use the private key in F (PEM) for --tls-cert
    #[arg(long = "tls-key", value_name = "F")]
    key: Option<PathBuf>,

    /// Require client certificates of the authorities in F (PEM)
    #[arg(long = "tls-client-ca", value_name = "F")]
    client_ca: Option<PathBuf>,

    /// Accept the application protocol P of clients that offer some (ALPN; repeatable)
    #[arg(long = "tls-alpn", value_name = "P")]
    alpn: Vec<String>,

    /// Close a connection whose TLS handshake takes longer than D
    #[arg(long = "tls-handshake-timeout", value_name = "D", default_value = "10s",
        value_parser = units::positive_duration)]
    handshake_timeout: Duration,

    /// Refuse connections while N TLS handshakes are in progress
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = units::count)]
    max_handshakes: usize,
}

impl TlsFlags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err("--tls-cert needs the private key: add --tls-key F".to_owned()),
            (None, Some(_)) => Err("--tls-key needs the certificate: add --tls-cert F".to_owned()),
            (None, None) if self.client_ca.is_some() => {
                Err("--tls-client-ca needs --tls-cert F and --tls-key F".to_owned())
            }
            (None, None) if !self.alpn.is_empty() => {
                Err("--tls-alpn needs --tls-cert F and --tls-key F".to_owned())
            }
            _ if self.max_handshakes == 0 => {
                Err("--max-handshakes 0 would refuse every client: give at least 1".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether the server has certificates.
    pub(super) fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// The time limit of a handshake, with TLS.
    pub(super) fn handshake_timeout(&self) -> Option<Duration> {
        self.is_on().then_some(self.handshake_timeout)
    }

    /// The protocol over TLS.
    pub(super) fn wrap<P: Protocol>(&self, protocol: P) -> Result<Tls<P>, Failure> {
        let settings = self
            .load()
            .map_err(|error| Failure(format!("cannot serve TLS: {error}")))?;
        for path in self.paths() {
            warn_unless_readable_again(path);
        }
        Ok(Tls::new(protocol, settings, self.max_handshakes))
    }

    /// Why a new process could not load the certificates, if so.
    pub(super) fn refusal_to_upgrade(&self) -> Option<String> {
        let path = self.paths().find(|path| is_irregular(path))?;
        let path = path.display();
        Some(format!(
            "{path} is not a regular file, so a new process cannot read it: give --tls-cert and --tls-key files"
        ))
    }

    /// Loads the certificates again, for new connections. If that fails, the old ones stay in use.
    fn reload<P: Protocol>(&self, tls: &mut Tls<P>) {
        // Opening a FIFO would block the event loop.
        if let Some(path) = self.paths().find(|path| is_irregular(path)) {
            let path = path.display();
            log::error!("SIGHUP: {path} is not a regular file; the old certificates stay in use");
            return;
        }
        match self.load() {
            Ok(settings) => {
                tls.replace_settings(settings);
                log::info!("SIGHUP: the certificates were loaded again, for new connections");
            }
            Err(error) => log::error!("SIGHUP: {error}; the old certificates stay in use"),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let paths = [&self.certificate, &self.key, &self.client_ca];
        paths.into_iter().filter_map(|path| path.as_deref())
    }

    fn load(&self) -> Result<Settings, SettingsError> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(Pem::read).transpose();
        let missing = || Pem::new("", "");
        let certificate = read(&self.certificate)?.unwrap_or_else(missing);
        let key = read(&self.key)?.unwrap_or_else(missing);
        let identity = Identity::from_pem(&certificate, &key)?;
        let client_ca = read(&self.client_ca)?;
        let settings = ServerSettings::new(&identity, client_ca.as_ref(), &self.alpn)?;
        Ok(Settings::Server(settings))
    }
}

/// Whether the path is that of a pipe or device, which can be read once.
fn is_irregular(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Warns of a pipe or device, which has been read.
fn warn_unless_readable_again(path: &Path) {
    if is_irregular(path) {
        log::warn!(
            "{} is not a regular file: neither SIGHUP nor a new process can load it again",
            path.display()
        );
    }
}

/// What differs between protocols with and without TLS, beside the sessions.
pub(super) trait Hooks<P> {
    /// Acts on SIGHUP.
    fn reload(&self, protocol: &mut P);

    /// The handshakes, with TLS.
    fn handshakes(&self, protocol: &P) -> Option<HandshakeStats>;
}

/// The hooks of a protocol without TLS.
pub(super) struct NoTls;

impl<P> Hooks<P> for NoTls {
    fn reload(&self, _: &mut P) {
        log::info!("SIGHUP: there is nothing to reload, since the server has no certificates");
    }

    fn handshakes(&self, _: &P) -> Option<HandshakeStats> {
        None
    }
}

/// The hooks of a protocol that may be over TLS, and behind proxies.
pub(super) struct LayerHooks<'a>(pub(super) &'a TlsFlags);

impl<P: Protocol> Hooks<Proxied<Transport<P>>> for LayerHooks<'_> {
    fn reload(&self, protocol: &mut Proxied<Transport<P>>) {
        match protocol.inner_mut() {
            Transport::Tls(tls) => self.0.reload(tls),
            Transport::Plain(plain) => NoTls.reload(plain),
        }
    }

    fn handshakes(&self, protocol: &Proxied<Transport<P>>) -> Option<HandshakeStats> {
        match protocol.inner() {
            Transport::Tls(tls) => Some(tls.handshakes().clone()),
            Transport::Plain(_) => None,
        }
    }
}
