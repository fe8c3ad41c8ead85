//! TLS of the clients: the flags that `load`, `send` and `ping` share.

use super::Failure;
use super::addresses::TargetAddress;
use crate::tls::{ClientSettings, Identity, Pem, SettingsError, Trust};
use clap::Args;
use std::path::{Path, PathBuf};

/// How to connect over TLS.
#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// Connect over TLS 1.2 or 1.3, and verify the server's certificate
    #[arg(long)]
    tls: bool,

    /// Trust the authorities in F (PEM) instead of those of this system
    #[arg(long, value_name = "F")]
    ca: Option<PathBuf>,

    /// Accept any certificate: the server is not authenticated
    #[arg(long)]
    insecure: bool,

    /// Request and verify the server name NAME [default: the host as typed]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// Offer the application protocol P (ALPN; repeatable)
    #[arg(long, value_name = "P")]
    alpn: Vec<String>,

    /// Send the certificate chain in F (PEM) if the server requests one
    #[arg(long, value_name = "F")]
    cert: Option<PathBuf>,

    /// Use the private key in F (PEM) for --cert
    #[arg(long, value_name = "F")]
    key: Option<PathBuf>,
}

/// The flags of `load`, whose connections can share sessions.
#[derive(Debug, Args)]
pub(super) struct LoadTlsArgs {
    #[command(flatten)]
    pub(super) tls: TlsArgs,

    /// With --tls, resume the sessions of earlier connections
    #[arg(long)]
    resume: bool,
}

impl TlsArgs {
    /// Whether to connect over TLS.
    pub(super) fn is_on(&self) -> bool {
        self.tls
    }

    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let of_tls = [
            ("--ca", self.ca.is_some()),
            ("--insecure", self.insecure),
            ("--sni", self.sni.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
        ];
        let given = of_tls.into_iter().find(|(_, is_given)| *is_given);
        match (given, &self.cert, &self.key) {
            (Some((flag, _)), ..) if !self.tls => Err(format!("{flag} is for TLS: add --tls")),
            (_, Some(_), None) => Err("--cert needs the private key: add --key F".to_owned()),
            (_, None, Some(_)) => Err("--key needs the certificate: add --cert F".to_owned()),
            _ if self.insecure && self.ca.is_some() => {
                Err("--insecure verifies nothing: leave it out, or leave --ca out".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The settings for this server, if TLS is on; sessions are resumed if `resumes` is true.
    pub(super) fn settings(
        &self,
        target: &TargetAddress,
        resumes: bool,
    ) -> Result<Option<ClientSettings>, Failure> {
        if !self.tls {
            return Ok(None);
        }
        let name = self.sni.as_deref().unwrap_or(target.host());
        let loaded = self.load(name, resumes);
        loaded.map(Some).map_err(|error| {
            let remedy = match (&self.ca, self.insecure) {
                (None, false) => " (--ca F trusts those of a file)",
                _ => "",
            };
            Failure(format!("cannot use TLS: {error}{remedy}"))
        })
    }

    fn load(&self, name: &str, resumes: bool) -> Result<ClientSettings, SettingsError> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(Pem::read).transpose();
        let ca = read(&self.ca)?;
        let trust = match &ca {
            Some(ca) => Trust::Authorities(ca),
            None if self.insecure => Trust::Any,
            None => Trust::System,
        };
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
            _ => None,
        };
        ClientSettings::new(name, trust, identity.as_ref(), &self.alpn, resumes)
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, SettingsError> {
    Identity::from_pem(&Pem::read(certificate)?, &Pem::read(key)?)
}

impl LoadTlsArgs {
    /// Checks the flags against each other. `load` starts a server without TLS if it `has_target` not.
    pub(super) fn check(&self, has_target: bool) -> Result<(), String> {
        self.tls.check()?;
        if self.resume && !self.tls.is_on() {
            return Err("--resume is for TLS: add --tls".to_owned());
        }
        if self.tls.is_on() && !has_target {
            return Err(
                "--tls needs a server with TLS, and the one that load starts has none: give \
                 HOST:PORT"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The settings for this server, if TLS is on. All connections share the sessions to resume.
    pub(super) fn settings(
        &self,
        target: Option<&TargetAddress>,
    ) -> Result<Option<ClientSettings>, Failure> {
        let settings = target.map(|target| self.tls.settings(target, self.resume));
        Ok(settings.transpose()?.flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        tls: LoadTlsArgs,
    }

    fn error_of(flags: &[&str], has_target: bool) -> Option<String> {
        let arguments = ["x"].iter().chain(flags);
        let flags = Cli::try_parse_from(arguments).unwrap().tls;
        flags.check(has_target).err()
    }

    #[test]
    fn contradictory_flags_are_rejected_with_a_remedy() {
        for (flags, remedy) in [
            (&["--ca", "f"][..], "--ca is for TLS: add --tls"),
            (&["--insecure"], "--insecure is for TLS: add --tls"),
            (&["--sni", "a"], "--sni is for TLS: add --tls"),
            (&["--alpn", "a"], "--alpn is for TLS: add --tls"),
            (&["--resume"], "--resume is for TLS: add --tls"),
            (&["--cert", "f"], "--cert is for TLS: add --tls"),
            (&["--tls", "--cert", "f"], "add --key F"),
            (&["--tls", "--key", "f"], "add --cert F"),
            (&["--tls", "--insecure", "--ca", "f"], "leave --ca out"),
        ] {
            let error = error_of(flags, true).unwrap();
            assert!(error.contains(remedy), "{flags:?}: {error}");
        }
        let error = error_of(&["--tls"], false).unwrap();
        assert!(error.contains("HOST:PORT"), "{error}");
    }

    #[test]
    fn complete_flags_are_accepted() {
        for flags in [
            &[][..],
            &["--tls", "--resume", "--ca", "f", "--sni", "a"],
            &["--tls", "--cert", "f", "--key", "g", "--alpn", "a"],
        ] {
            assert_eq!(error_of(flags, true), None, "{flags:?}");
        }
    }
}
