//! Checks the flags of a load against each other, before any connection is opened.

use super::Flags;
use super::output::Output;
use crate::cli::addresses::TargetAddress;
use crate::load::CONNECTION_BITS;
use std::net::SocketAddr;

/// The most connections of a load, idle and active together.
pub(super) const MAX_CONNECTIONS: usize = (1 << CONNECTION_BITS) - 1;

impl Flags {
    /// Checks the flags against each other.
    pub(in crate::cli) fn check(&self) -> Result<(), String> {
        let connections = self.idle.saturating_add(self.active());
        let is_none = connections == 0 && self.find.plan().is_none();
        if is_none || connections > MAX_CONNECTIONS {
            return Err(format!(
                "--idle and --active come to {connections} connections: ask for 1 to {MAX_CONNECTIONS}"
            ));
        }
        // A search has one process, and numbers of connections that are not known yet.
        self.check_part(connections)?;
        self.script.check(self.active, self.target.is_some())?;
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
        self.tls.check(self.target.is_some())?;
        self.check_conditions()?;
        self.check_find()?;
        self.check_save()?;
        self.check_userspace()?;
        self.check_trace(connections)?;
        let own = TargetAddress::own_server();
        let literal = self.addresses.check(self.target.as_ref().unwrap_or(&own))?;
        literal.map_or(Ok(()), |all| self.reachable(all).map(drop))
    }

    /// Checks that conditions on handshakes have some.
    fn check_conditions(&self) -> Result<(), String> {
        let mut all = self.expect.iter().chain(self.find.condition());
        match all.find(|condition| condition.needs_tls()) {
            Some(condition) if !self.tls.tls.is_on() => Err(format!(
                "{} is a condition on TLS handshakes: add --tls",
                condition.figure_name()
            )),
            _ => Ok(()),
        }
    }

    /// Checks that one result only goes to stdout.
    fn check_save(&self) -> Result<(), String> {
        if self.saves_to_stdout() && self.output != Output::Text {
            let other = match self.output {
                Output::Jsonl => "jsonl",
                Output::Text | Output::Json => "json",
            };
            return Err(format!(
                "--save - and -o {other} both write to stdout: leave out one, or save to a file"
            ));
        }
        Ok(())
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

    /// Those of the addresses that can be connected to from `--sources` or `--prefix`.
    pub(super) fn reachable(&self, mut all: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        if let Some(network) = self.sources {
            all.retain(|address| address.is_ipv4() == network.addr().is_ipv4());
            if all.is_empty() {
                return Err(format!(
                    "--sources {network} cannot reach the target: give addresses of the same family"
                ));
            }
        }
        self.routable(all)
    }
}
