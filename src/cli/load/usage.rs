//! Flags of a load that do not go together. What is wrong is told before anybody is connected to.

use super::Flags;
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
        self.check_sources()
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

    /// A name may stand for addresses of either family, which is not known yet.
    fn check_sources(&self) -> Result<(), String> {
        let is_ipv4 = match &self.target {
            None => Some(true),
            Some(target) if target.as_str().starts_with(':') => Some(true),
            Some(target) => target.as_str().parse().ok().map(|address: SocketAddr| {
                // All interfaces are connected to by this machine's own IPv4 address.
                address.is_ipv4() || address.ip().is_unspecified()
            }),
        };
        match (self.sources, is_ipv4) {
            (Some(network), Some(is_ipv4)) if network.addr().is_ipv4() != is_ipv4 => Err(format!(
                "from --sources {network} the target cannot be reached: give addresses of the same family"
            )),
            _ => Ok(()),
        }
    }
}
