//! The flags that all clients share: the server, and the local address and IP version to connect with.

use super::addresses::{self, TargetAddress};
use super::units;
use super::{Failure, unresolved};
use crate::cli::value::by;
use crate::client::{self, Target};
use crate::doctor::{Limit, hint};
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The server, and how to connect to it.
#[derive(Debug, Args)]
pub(super) struct Connecting {
    /// Connect to this server; all addresses of a name are tried in order
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:8000", value_parser = by(TargetAddress::parse))]
    target: TargetAddress,

    #[command(flatten)]
    addresses: AddressFlags,

    /// Give up connecting to an address after D, and its TLS handshake after D more
    #[arg(long, value_name = "D", default_value = "10s", value_parser = by(units::positive_duration))]
    connect_timeout: Duration,
}

/// Which addresses to connect from and to.
#[derive(Debug, Args)]
pub(super) struct AddressFlags {
    /// Connect from this address of this machine, with or without a port
    #[arg(long, value_name = "ADDR", value_parser = by(addresses::local_address))]
    pub(super) bind: Option<SocketAddr>,

    /// Use IPv4 addresses only
    #[arg(short = '4', conflicts_with = "only_v6")]
    only_v4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6')]
    only_v6: bool,
}

impl Connecting {
    /// Checks the flags together, as far as possible without resolving a name.
    pub(super) fn check(&self) -> Result<(), String> {
        self.addresses.check(&self.target).map(|_| ())
    }

    /// The server, as typed.
    pub(super) fn target(&self) -> &TargetAddress {
        &self.target
    }

    /// Resolves the name, which blocks.
    pub(super) fn resolve(&self) -> Result<Target, Failure> {
        self.addresses.resolve(&self.target, self.connect_timeout)
    }
}

impl AddressFlags {
    /// Checks the flags together; returns the usable addresses of `target` unless it is a name.
    pub(super) fn check(&self, target: &TargetAddress) -> Result<Option<Vec<SocketAddr>>, String> {
        let conflicting = match self.bind {
            Some(SocketAddr::V6(_)) if self.only_v4 => "-4",
            Some(SocketAddr::V4(_)) if self.only_v6 => "-6",
            _ => "",
        };
        if let (Some(bind), "-4" | "-6") = (self.bind, conflicting) {
            let bind = bind.ip();
            return Err(format!(
                "{conflicting} and --bind {bind} are of different IP versions: leave one of them out"
            ));
        }
        let literal = target.literal_addresses();
        literal
            .map(|all| self.usable(target.as_str(), &all))
            .transpose()
    }

    /// Resolves `target`, which blocks, to the addresses that these flags allow.
    pub(super) fn resolve(
        &self,
        target: &TargetAddress,
        connect_timeout: Duration,
    ) -> Result<Target, Failure> {
        let name = target.as_str();
        let addresses = target
            .resolve()
            .map_err(|error| unresolved("connect to", name, error))?;
        Ok(Target {
            name: name.to_owned(),
            addresses: self.usable(name, &addresses).map_err(Failure)?,
            local: self.bind,
            connect_timeout: Some(connect_timeout),
        })
    }

    fn usable(&self, name: &str, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let is_usable = |address: &SocketAddr| {
            (address.is_ipv4() || !self.only_v4)
                && (address.is_ipv6() || !self.only_v6)
                && self
                    .bind
                    .is_none_or(|bind| bind.is_ipv4() == address.is_ipv4())
        };
        let mut usable = Vec::new();
        for address in addresses.iter().copied().filter(is_usable) {
            // A resolver may return an address once for each socket type.
            if !usable.contains(&address) {
                usable.push(address);
            }
        }
        if usable.is_empty() {
            let remedy = match (self.only_v4, self.only_v6) {
                (true, _) => "with -4: leave it out",
                (_, true) => "with -6: leave it out",
                _ => "with the IP version of --bind: choose another local address, or leave it out",
            };
            return Err(format!(
                "cannot connect to {name}: no address is usable {remedy}"
            ));
        }
        Ok(usable)
    }
}

/// The event loop could not be created.
pub(super) fn cannot_start(error: &io::Error) -> Failure {
    let remedy = hint(Limit::behind(error).unwrap_or(Limit::Memory));
    Failure::new("cannot start the event loop", error, remedy)
}

impl From<client::Failure> for Failure {
    fn from(failure: client::Failure) -> Failure {
        Failure(failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        addresses: AddressFlags,
    }

    fn usable(flags: &[&str]) -> Result<Vec<SocketAddr>, String> {
        let arguments = ["x"].iter().chain(flags);
        let addresses = ["[::1]:1", "127.0.0.1:1", "[::1]:1", "127.0.0.2:1"];
        let addresses = addresses.map(|address| address.parse().unwrap());
        let flags = Cli::try_parse_from(arguments).unwrap().addresses;
        flags.usable("name:1", &addresses)
    }

    #[test]
    fn usable_addresses_match_the_flags_once_each_in_order() {
        let of = |flags: &[&str]| {
            let addresses = usable(flags).unwrap();
            addresses
                .iter()
                .map(SocketAddr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        assert_eq!(of(&["-4"]), ["127.0.0.1:1", "127.0.0.2:1"]);
        assert_eq!(of(&["-6"]), ["[::1]:1"]);
        assert_eq!(of(&["--bind", "::1"]), ["[::1]:1"]);
        let none = usable(&["-4", "--bind", "::1"]).unwrap_err();
        assert!(none.contains("-4"), "{none}");
    }
}
