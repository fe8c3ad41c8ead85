//! The PROXY protocol of `serve`: its flags.

use super::access::network;
use crate::cli::value::by;
use crate::protocol::Proxies;
use clap::Args;
use ipnet::IpNet;
use std::time::Duration;

/// The time limit of a header without TLS. A proxy sends it at once, so this is that of several retransmissions.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct ProxyFlags {
    /// Read the client's address from the PROXY header, version 1 or 2, with which each connection begins (with
    /// --proxy-from)
    #[arg(long)]
    proxy_protocol: bool,

    /// Expect proxies with addresses in CIDR; reset connections from others (repeatable; with --proxy-protocol)
    #[arg(long, value_name = "CIDR", value_parser = by(network))]
    proxy_from: Vec<IpNet>,
}

impl ProxyFlags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.proxy_protocol, self.proxy_from.is_empty()) {
            (true, true) => Err(
                "--proxy-protocol needs the addresses of the proxies, since any client could send a header: add \
                 --proxy-from CIDR"
                    .to_owned(),
            ),
            (false, false) => {
                Err("--proxy-from needs --proxy-protocol: add it, or leave --proxy-from out".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether connections come from proxies.
    pub(super) fn is_on(&self) -> bool {
        self.proxy_protocol
    }

    /// The proxies, if connections come from them.
    pub(super) fn proxies(&self) -> Option<Proxies> {
        let networks = self.proxy_from.clone();
        self.is_on()
            .then(|| Proxies::new(move |peer| networks.iter().any(|from| from.contains(&peer))))
    }

    /// The time limit of a header without TLS; with TLS, that of the handshake includes the header.
    pub(super) fn header_timeout(&self) -> Option<Duration> {
        self.is_on().then_some(HEADER_TIMEOUT)
    }
}
