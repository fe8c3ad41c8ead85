//! The values of the flags of `load`.

use crate::cli::units;
use clap::ValueEnum;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// Per second, or `None` for no limit. An alias, since clap takes a plain `Option` for a flag that may be absent.
pub(super) type RateArg = std::option::Option<f64>;

/// A network, or `None` for automatic; an alias, see [`RateArg`].
pub(super) type SourcesArg = std::option::Option<IpNet>;

/// A network such as `127.0.0.0/8`, or one address.
pub(super) fn sources(text: &str) -> Result<SourcesArg, String> {
    if text == "auto" {
        return Ok(None);
    }
    let network = text.parse::<IpNet>();
    network
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|network| Some(network.trunc()))
        .map_err(|_| "not a network: write 127.0.0.0/8, 10.1.2.3 or auto".to_owned())
}

/// The number of idle connections to probe.
pub(super) fn probe(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(u32::MAX),
        "off" => Ok(0),
        _ => match units::count(text).map(u32::try_from) {
            Ok(Ok(count)) => Ok(count),
            _ => Err("not a number of probes: write all, off or 500".to_owned()),
        },
    }
}

/// How churn closes a connection.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ChurnArg {
    Fin,
    Reset,
}

/// The default of `--spin`: positive when messages are due so often that a sleep with its wake-up takes longer than the
/// time between two of them.
pub(super) fn default_spin(rate: RateArg) -> Duration {
    let is_often = rate.is_some_and(|per_second| per_second >= 20_000.0);
    Duration::from_micros(if is_often { 100 } else { 0 })
}

/// A count of connections; one that is too large is refused elsewhere.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_network_an_address_or_auto() {
        let parsed = |text| sources(text).unwrap().map(|network| network.to_string());
        assert_eq!(parsed("127.1.2.3/8").unwrap(), "127.0.0.0/8");
        assert_eq!(parsed("10.1.2.3").unwrap(), "10.1.2.3/32");
        assert_eq!(parsed("fd00::7/64").unwrap(), "fd00::/64");
        assert_eq!(parsed("auto"), None);
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(sources(wrong).is_err(), "{wrong}");
        }
    }
}
