//! Checks the flags of a load against each other, before any connection is opened.

use super::Flags;
use crate::load::CONNECTION_BITS;

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
        match self.sources {
            Some(network) if self.is_ipv4() == Some(network.addr().is_ipv6()) => Err(format!(
                "--sources {network} cannot reach the target: give addresses of the same family"
            )),
            _ => Ok(()),
        }
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

    /// Whether the target is reached by IPv4; `None` for a name, which may have addresses of both families.
    fn is_ipv4(&self) -> Option<bool> {
        let Some(target) = &self.target else {
            return Some(true);
        };
        // An unspecified address is connected to as 127.0.0.1.
        let first = target.literal_addresses()?.first()?.ip();
        Some(first.is_ipv4() || first.is_unspecified())
    }
}
