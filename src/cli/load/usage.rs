//! Checks the flags of a load against each other, before any connection is opened.

use super::Flags;
use crate::cli::units::TargetAddress;
use crate::load::CONNECTION_BITS;
use std::net::SocketAddr;

/// The most connections of a load, idle and active together.
const MAX_CONNECTIONS: usize = (1 << CONNECTION_BITS) - 1;

impl Flags {
    /// Checks the flags against each other.
    pub(in crate::cli) fn check(&self) -> Result<(), String> {
        let connections = self.idle.saturating_add(self.active());
        if connections == 0 || connections > MAX_CONNECTIONS {
            return Err(format!(
                "--idle and --active come to {connections} connections: ask for 1 to {MAX_CONNECTIONS}"
            ));
        }
        if self.churn.is_some() && self.pipeline > 1 {
            return Err("--churn has one echo per connection: leave --pipeline out".to_owned());
        }
        if let Some(bind) = self.addresses.bind
            && bind.port() != 0
            && connections > 1
        {
            return Err(format!(
                "--bind {bind} allows one connection, because of its port: leave the port out"
            ));
        }
        let own = TargetAddress::own_server();
        let literal = self.addresses.check(self.target.as_ref().unwrap_or(&own))?;
        literal.map_or(Ok(()), |all| self.reachable(all).map(drop))
    }

    /// A flag for active connections, if one is given and there are none.
    pub(super) fn without_effect(&self) -> Option<&'static str> {
        let for_active = [
            ("--rate", self.rate.is_some()),
            ("--pipeline", self.pipeline > 1),
            ("--churn", self.churn.is_some()),
        ];
        let given = for_active.into_iter().find(|(_, is_given)| *is_given);
        given.filter(|_| self.active() == 0).map(|(flag, _)| flag)
    }

    /// Those of the addresses that can be connected to from `--sources`.
    pub(super) fn reachable(&self, mut all: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        if let Some(network) = self.sources {
            all.retain(|address| address.is_ipv4() == network.addr().is_ipv4());
            if all.is_empty() {
                return Err(format!(
                    "--sources {network} cannot reach the target: give addresses of the same family"
                ));
            }
        }
        Ok(all)
    }
}
