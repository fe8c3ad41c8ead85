//! The flags that all clients have: to whom to connect, and from where.

use super::Failure;
use super::units::{self, TargetAddress};
use crate::client::{self, Target};
use crate::doctor::hint;
use crate::net::Limit;
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// To whom to connect, and how.
#[derive(Debug, Args)]
pub(super) struct Connecting {
    /// Connect to this server; all addresses of a name are tried in order
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:8000", value_parser = TargetAddress::parse)]
    target: TargetAddress,

    /// Connect from this address of this machine, with or without a port
    #[arg(long, value_name = "ADDR", value_parser = units::local_address)]
    bind: Option<SocketAddr>,

    /// Use IPv4 addresses only
    #[arg(short = '4', conflicts_with = "only_v6")]
    only_v4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6')]
    only_v6: bool,

    /// How long each address has to answer, from when the name is resolved
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    connect_timeout: Duration,
}

impl Connecting {
    /// What is wrong with the flags together, if that can be said without looking a name up.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(bind) = self.bind {
            let other = match bind {
                SocketAddr::V6(_) if self.only_v4 => "-4",
                SocketAddr::V4(_) if self.only_v6 => "-6",
                _ => "",
            };
            if !other.is_empty() {
                let bind = bind.ip();
                return Err(format!(
                    "{other} and --bind {bind} are of different families: leave one of them out"
                ));
            }
        }
        match self.target.literal_addresses() {
            Some(addresses) => self.usable(&addresses).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Looks the name up, before any loop starts: looking up blocks.
    pub(super) fn resolve(&self) -> Result<Target, Failure> {
        let name = self.target.as_str();
        let addresses = self.target.resolve().map_err(|error| {
            Failure(format!(
                "cannot connect to {name}: the name does not resolve ({error}); \
                 check the spelling, or give an address such as 127.0.0.1:8000"
            ))
        })?;
        Ok(Target {
            name: name.to_owned(),
            addresses: self.usable(&addresses).map_err(Failure)?,
            local: self.bind,
            connect_timeout: Some(self.connect_timeout),
        })
    }

    fn usable(&self, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let name = self.target.as_str();
        let kept = |address: &SocketAddr| {
            (address.is_ipv4() || !self.only_v4)
                && (address.is_ipv6() || !self.only_v6)
                && self
                    .bind
                    .is_none_or(|bind| bind.is_ipv4() == address.is_ipv4())
        };
        let mut usable = Vec::new();
        for address in addresses.iter().copied().filter(kept) {
            // A resolver may say the same twice, once for each kind of socket.
            if !usable.contains(&address) {
                usable.push(address);
            }
        }
        if usable.is_empty() {
            let flag = match (self.only_v4, self.only_v6) {
                (true, _) => "with -4: leave it out",
                (_, true) => "with -6: leave it out",
                _ => "of the family of --bind: choose another, or leave it out",
            };
            return Err(format!(
                "cannot connect to {name}: it has no address that may be used {flag}"
            ));
        }
        Ok(usable)
    }
}

/// What cannot be had at the start of a client.
pub(super) fn cannot_start(error: &io::Error) -> Failure {
    let remedy =
        Limit::behind(error).map_or_else(|| "free some memory, and try again".to_owned(), hint);
    Failure(format!("cannot start the event loop: {error}; {remedy}"))
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
    struct Typed {
        #[command(flatten)]
        connecting: Connecting,
    }

    fn usable(flags: &[&str]) -> Result<Vec<SocketAddr>, String> {
        let typed = ["x", "name:1"].iter().chain(flags);
        let addresses = ["[::1]:1", "127.0.0.1:1", "[::1]:1", "127.0.0.2:1"];
        let addresses = addresses.map(|address| address.parse().unwrap());
        let connecting = Typed::try_parse_from(typed).unwrap().connecting;
        connecting.usable(&addresses)
    }

    #[test]
    fn only_addresses_that_fit_are_tried_each_once_and_in_order() {
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
