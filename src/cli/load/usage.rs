//! Flags of a load that do not go together. What is wrong is told before anybody is connected to.

use super::Flags;
use crate::cli::units::TargetAddress;
use crate::load::CONNECTION_BITS;
use std::net::SocketAddr;

/// Connections at most, in all.
const MOST: usize = (1 << CONNECTION_BITS) - 1;

impl Flags {
    /// What is wrong with the flags together, if anything is.
    pub(in crate::cli) fn check(&self) -> Result<(), String> {
        let connections = self.idle.saturating_add(self.active());
        if connections == 0 || connections > MOST {
            return Err(format!(
                "--idle and --active come to {connections} connections: ask for 1 to {MOST}"
            ));
        }
        if self.churn.is_some() && self.pipeline > 1 {
            return Err("--churn has one echo per connection: leave --pipeline out".to_owned());
        }
        self.check_addresses(connections)
    }

    /// A flag about connections that echo, where there are none: it is right, but nothing comes of it.
    pub(super) fn without_effect(&self) -> Option<&'static str> {
        let about_active = [
            ("--rate", self.rate.is_some()),
            ("--pipeline", self.pipeline > 1),
            ("--churn", self.churn.is_some()),
        ];
        let given = about_active.into_iter().find(|(_, is_given)| *is_given);
        given.filter(|_| self.active() == 0).map(|(flag, _)| flag)
    }

    /// A name may have addresses of both IP versions, which are known when it is resolved.
    fn check_addresses(&self, connections: usize) -> Result<(), String> {
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
        literal.map_or(Ok(()), |all| self.reachable(all).map(|_| ()))
    }

    /// Those of these addresses that can be connected to from `--sources`.
    pub(super) fn reachable(
        &self,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, String> {
        if let Some(network) = self.sources {
            addresses.retain(|address| address.is_ipv4() == network.addr().is_ipv4());
            if addresses.is_empty() {
                return Err(format!(
                    "from --sources {network} the target cannot be reached: give addresses of the same family"
                ));
            }
        }
        Ok(addresses)
    }
}
