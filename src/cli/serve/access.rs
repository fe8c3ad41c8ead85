//! Which clients `serve` admits, by their addresses and per second, and how slow they may be.

use crate::cli::units;
use crate::cli::value::by;
use crate::sorting;
use clap::Args;
use ipnet::{IpNet, Ipv4Net};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};

#[derive(Debug, Args)]
pub(super) struct AccessFlags {
    /// Admit clients with addresses in CIDR; then others are reset, unless a longer --allow matches (repeatable)
    #[arg(long, value_name = "CIDR", value_parser = by(network))]
    allow: Vec<IpNet>,

    /// Reset clients with addresses in CIDR, unless a longer --allow matches (repeatable)
    #[arg(long, value_name = "CIDR", value_parser = by(network))]
    deny: Vec<IpNet>,

    /// Accept at most N connections per second after a burst of N; others wait in the accept queue [default: unlimited]
    #[arg(long, value_name = "N", value_parser = by(accept_rate))]
    pub(super) accept_rate: Option<NonZeroU32>,

    /// Reset a client with pending output that acknowledges less than SIZE per second over --stall-timeout [default: any
    /// byte is enough]
    #[arg(long, value_name = "SIZE", value_parser = by(min_rate))]
    pub(super) min_rate: Option<NonZeroU64>,
}

impl AccessFlags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        match self
            .allow
            .iter()
            .find(|allowed| self.deny.contains(allowed))
        {
            Some(network) => Err(format!(
                "--allow {network} and --deny {network} contradict each other: leave one of them out"
            )),
            None => Ok(()),
        }
    }

    /// Decides which clients are admitted; `None`: all are.
    pub(super) fn rules(&self) -> Option<Rules> {
        let is_empty = self.allow.is_empty() && self.deny.is_empty();
        (!is_empty).then(|| Rules::new(&self.allow, &self.deny))
    }
}

fn accept_rate(text: &str) -> Result<NonZeroU32, String> {
    let rate = u32::try_from(units::positive_count(text)?).ok();
    let rate = rate.and_then(NonZeroU32::new);
    rate.ok_or_else(|| "at most 4294967295".to_owned())
}

fn min_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = u64::try_from(units::positive_size(text)?).ok();
    rate.and_then(NonZeroU64::new)
        .ok_or_else(|| "at least 1B".to_owned())
}

/// A network, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => Some(network.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let network = network.and_then(canonical);
    network.ok_or_else(|| {
        "give an address or a network, such as 10.0.0.0/8 or 2001:db8::/32".to_owned()
    })
}

/// Clients with mapped addresses are IPv4 clients, so a network of such addresses is one of IPv4. `None` if it contains
/// other addresses, too.
fn canonical(network: IpNet) -> Option<IpNet> {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), length) if network.addr().is_ipv6() => {
            let network = Ipv4Net::new(address, length.checked_sub(96)?);
            network.ok().map(IpNet::V4)
        }
        _ => Some(network),
    }
}

/// The networks with the longest prefixes first, and whether clients in them are admitted.
#[derive(Debug)]
pub(super) struct Rules {
    networks: Vec<(IpNet, bool)>,
    admits_others: bool,
}

impl Rules {
    fn new(allow: &[IpNet], deny: &[IpNet]) -> Rules {
        let allowed = allow.iter().map(|network| (*network, true));
        let denied = deny.iter().map(|network| (*network, false));
        let mut networks: Vec<_> = allowed.chain(denied).collect();
        sorting::sort_by_key(&mut networks, |(network, _)| Reverse(network.prefix_len()));
        Rules {
            networks,
            admits_others: allow.is_empty(),
        }
    }

    /// Whether a client is admitted: the longest network that contains its address decides.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        let longest = networks.find(|(network, _)| network.contains(&address));
        longest.map_or(self.admits_others, |(_, admits)| *admits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| network(text).unwrap()).collect()
    }

    #[track_caller]
    fn assert_admits(allow: &[&str], deny: &[&str], expected: &[(&str, bool)]) {
        let rules = Rules::new(&networks(allow), &networks(deny));
        for (address, admits) in expected {
            assert_eq!(rules.admits(address.parse().unwrap()), *admits, "{address}");
        }
    }

    #[test]
    fn longest_network_decides() {
        assert_admits(
            &["10.0.0.0/8", "10.1.2.3"],
            &["10.1.0.0/16"],
            &[
                ("10.2.0.1", true),
                ("10.1.0.1", false),
                ("10.1.2.3", true),
                ("192.0.2.1", false),
                ("2001:db8::1", false),
            ],
        );
    }

    #[test]
    fn others_are_admitted_if_nothing_is_allowed_explicitly() {
        assert_admits(
            &[],
            &["192.0.2.0/24", "2001:db8::/32"],
            &[
                ("192.0.2.7", false),
                ("192.0.3.7", true),
                ("2001:db8::1", false),
                ("::1", true),
            ],
        );
    }

    #[test]
    fn network_of_length_0_contains_one_family() {
        assert_admits(&["0.0.0.0/0"], &[], &[("192.0.2.1", true), ("::1", false)]);
    }

    #[test]
    fn host_bits_are_ignored_and_mapped_networks_are_ipv4() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            network("::ffff:10.1.2.3/104").unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!(
            network("::ffff:10.1.2.3").unwrap().to_string(),
            "10.1.2.3/32"
        );
        assert_eq!(
            network("2001:db8::1").unwrap().to_string(),
            "2001:db8::1/128"
        );
    }

    #[test]
    fn text_that_is_no_network_is_rejected() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/x",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
