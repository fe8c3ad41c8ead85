//! The flags of idle connections in user space, for `load` and `doctor`; what they need, and what to do without it.

use super::Failure;
use super::value::by;
use crate::doctor::Userspace;
use crate::net::{PrefixAddresses, PrivateNetworkError, Tun, TunError, enter_private_network};
use crate::numbers::grouped;
use clap::Args;
use ipnet::IpNet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The value without `=private`: the network namespace of this machine.
const HOST: &str = "host";

/// Reserved for tests of networks (RFC 2544), so no route of the internet leads there.
const DEFAULT_PREFIX: &str = "198.18.0.0/15";

/// Settings of the kernel and of Linux distributions that forbid user namespaces, the value that does, and one that
/// permits them.
const FORBIDDING: [(&str, &str, &str); 2] = [
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
];

/// Whether idle connections are in user space, and where.
#[derive(Debug, Args)]
pub(super) struct UserspaceFlags {
    /// Hold the idle connections in user space, 8 bytes each, over a TUN interface, which takes root; private: in a
    /// network namespace with the server, which does not
    #[arg(
        long,
        value_name = "private",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = HOST,
        value_parser = by(is_private)
    )]
    userspace_tcp: Option<bool>,

    /// Connect from the addresses of this network, which is routed to the TUN interface
    #[arg(
        long,
        value_name = "CIDR",
        default_value = DEFAULT_PREFIX,
        value_parser = by(prefix),
        requires = "userspace_tcp"
    )]
    prefix: PrefixArg,
}

/// Always a network. The type is that of another flag, since clap has 3 kB of code for each type.
type PrefixArg = std::option::Option<IpNet>;

/// Whether a value of `--userspace-tcp` is `private`.
fn is_private(text: &str) -> Result<bool, String> {
    match text {
        HOST => Ok(false),
        "private" => Ok(true),
        _ => Err("write --userspace-tcp or --userspace-tcp=private".to_owned()),
    }
}

fn prefix(text: &str) -> Result<PrefixArg, String> {
    let network = text
        .parse::<IpNet>()
        .map_err(|_| "not a network: write 198.18.0.0/15 or fd00:7::/64".to_owned())?;
    let is_usable = match network.network() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_multicast() || v4.is_link_local() || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.is_unspecified())
        }
    };
    if !is_usable {
        return Err("not a network of unicast addresses: write 198.18.0.0/15".to_owned());
    }
    if PrefixAddresses::of(network).is_none() {
        return Err("it has no address for a connection: write at most /30, or /126".to_owned());
    }
    Ok(Some(network.trunc()))
}

impl UserspaceFlags {
    /// Whether idle connections are in user space.
    pub(super) fn is_on(&self) -> bool {
        self.userspace_tcp.is_some()
    }

    /// Whether load and server have a network namespace of their own.
    pub(super) fn is_private(&self) -> bool {
        self.userspace_tcp == Some(true)
    }

    /// The network of the connections.
    pub(super) fn prefix(&self) -> IpNet {
        let any = IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0);
        self.prefix.unwrap_or(any)
    }

    /// The addresses of the network; a prefix without one is refused as a value.
    #[cold]
    pub(super) fn addresses(&self) -> Result<PrefixAddresses, String> {
        let prefix = self.prefix();
        PrefixAddresses::of(prefix).ok_or_else(|| format!("--prefix {prefix} is too small"))
    }

    /// Checks that the prefix has enough addresses.
    pub(super) fn check_capacity(&self, connections: u64) -> Result<(), String> {
        let most = self.addresses()?.connections();
        if connections > most {
            return Err(format!(
                "--prefix {} has addresses for {} connections: give a larger network, such as 198.18.0.0/15",
                self.prefix(),
                grouped(most)
            ));
        }
        Ok(())
    }

    /// Enters the private network if it is wanted. The process must have one thread.
    #[cold]
    pub(super) fn enter(&self) -> Result<(), Failure> {
        if !self.is_private() {
            return Ok(());
        }
        enter_private_network()
            .map_err(|error| failure(&error, "--userspace-tcp=private", private_remedy(&error)))
    }

    /// Opens the TUN interface, in the network namespace in which the process is.
    #[cold]
    pub(super) fn open_tun(&self) -> Result<Tun, Failure> {
        Tun::open(self.prefix()).map_err(|error| self.tun_failure(&error))
    }

    /// Tries out what a load would do. This process may be in another network namespace then.
    #[cold]
    pub(super) fn examine(&self) -> Userspace {
        let queue_length = self
            .enter()
            .and_then(|()| Tun::try_out().map_err(|error| self.tun_failure(&error)));
        Userspace {
            prefix: self.prefix(),
            is_private: self.is_private(),
            queue_length: queue_length.map_err(|failure| failure.to_string()),
        }
    }

    #[cold]
    fn tun_failure(&self, error: &TunError) -> Failure {
        let flag = if self.is_private() {
            "--userspace-tcp=private".to_owned()
        } else if matches!(error, TunError::Overlap(_) | TunError::TooSmall) {
            format!("--prefix {}", self.prefix())
        } else {
            "--userspace-tcp".to_owned()
        };
        failure(error, &flag, tun_remedy(error, self.is_private()))
    }
}

fn failure(error: &dyn std::error::Error, flag: &str, remedy: String) -> Failure {
    Failure::new(format!("cannot use {flag}"), error, remedy)
}

fn tun_remedy(error: &TunError, is_private: bool) -> String {
    let text = match error {
        TunError::NoDevice(_) => {
            "load the driver with: modprobe tun (a container needs --device /dev/net/tun)"
        }
        TunError::NodeNotPermitted(_) => {
            "run with sudo, or permit it with: chmod 666 /dev/net/tun (a container needs --device /dev/net/tun)"
        }
        TunError::NotPermitted(_) if is_private => return user_namespace_remedy(),
        TunError::NotPermitted(_) => {
            "it needs CAP_NET_ADMIN: run with sudo, give it to the program with setcap cap_net_admin+ep, or use \
             --userspace-tcp=private"
        }
        TunError::TooSmall | TunError::Overlap(_) => "give another network with --prefix",
        TunError::NoIpv6(_) => {
            "give an IPv4 network with --prefix, or: sysctl -w net.ipv6.conf.default.disable_ipv6=0"
        }
        TunError::Step(..) | TunError::NotRunning => {
            "leave it out, so that each idle connection has a kernel socket"
        }
    };
    text.to_owned()
}

fn private_remedy(error: &PrivateNetworkError) -> String {
    match error {
        PrivateNetworkError::NotPermitted(_) => user_namespace_remedy(),
        PrivateNetworkError::TooMany(_) => {
            "run with sudo, or allow more with: sysctl -w user.max_user_namespaces=10000".to_owned()
        }
        PrivateNetworkError::Step(..) => {
            "run with sudo and --userspace-tcp, without =private".to_owned()
        }
    }
}

/// What to do where user namespaces are forbidden, which a setting may name.
fn user_namespace_remedy() -> String {
    let forbids = |(name, forbidding, _): &&(&str, &str, &str)| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(file).is_ok_and(|value| value.trim() == *forbidding)
    };
    let permit = match FORBIDDING.iter().find(forbids) {
        Some((name, _, permitting)) => format!("permit it with: sysctl -w {name}={permitting}"),
        None => "permit user namespaces (a container needs --cap-add NET_ADMIN)".to_owned(),
    };
    format!("run with sudo, or {permit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: UserspaceFlags,
    }

    fn parse(arguments: &[&str]) -> Result<UserspaceFlags, String> {
        let all = ["x"].iter().chain(arguments);
        let parsed = Cli::try_parse_from(all);
        parsed
            .map(|cli| cli.flags)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn place_is_the_host_unless_private_is_given() {
        let flags = parse(&[]).unwrap();
        assert!(!flags.is_on());
        let flags = parse(&["--userspace-tcp"]).unwrap();
        assert!(flags.is_on() && !flags.is_private());
        assert_eq!(flags.prefix().to_string(), "198.18.0.0/15");
        let private = ["--userspace-tcp=private", "--prefix", "10.64.3.7/10"];
        let flags = parse(&private).unwrap();
        assert!(flags.is_on() && flags.is_private());
        assert_eq!(flags.prefix().to_string(), "10.64.0.0/10");
        assert!(parse(&["--userspace-tcp=public"]).is_err());
        assert!(parse(&["--userspace-tcp", "private"]).is_err());
    }

    #[test]
    fn prefix_needs_the_flag_and_unicast_addresses() {
        let error = parse(&["--prefix", "10.0.0.0/8"]).err().unwrap();
        assert!(error.contains("--userspace-tcp"), "{error}");
        for wrong in [
            "",
            "10.0.0.1",
            "10.0.0.0/31",
            "10.0.0.0/33",
            "127.0.0.0/16",
            "224.0.0.0/8",
            "169.254.0.0/16",
            "0.0.0.0/0",
            "::/0",
            "fe80::/64",
            "ff00::/64",
            "fd00::/127",
        ] {
            let flags = ["--userspace-tcp", "--prefix", wrong];
            assert!(parse(&flags).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefix_of_one_source_has_64512_connections() {
        let flags = parse(&["--userspace-tcp", "--prefix", "10.0.0.0/30"]).unwrap();
        assert_eq!(flags.check_capacity(64_512), Ok(()));
        let error = flags.check_capacity(64_513).unwrap_err();
        assert!(error.contains("10.0.0.0/30") && error.contains("64,512"));
    }

    #[test]
    fn each_failure_is_one_line_with_a_remedy() {
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let flags = |arguments: &[&str]| parse(arguments).unwrap();
        let host = flags(&["--userspace-tcp"]);
        let private = flags(&["--userspace-tcp=private"]);
        for (failure, remedy) in [
            (TunError::NoDevice(error()), "modprobe tun"),
            (TunError::NodeNotPermitted(error()), "chmod 666"),
            (TunError::NotPermitted(error()), "setcap cap_net_admin+ep"),
            (
                TunError::Overlap("10.0.0.0/8 dev x".to_owned()),
                "another network",
            ),
            (TunError::NoIpv6(error()), "disable_ipv6=0"),
        ] {
            let text = host.tun_failure(&failure).to_string();
            assert!(text.starts_with("cannot use --"), "{text}");
            assert!(text.contains(remedy) && !text.contains('\n'), "{text}");
        }
        let not_permitted = TunError::NotPermitted(error());
        let text = private.tun_failure(&not_permitted).to_string();
        assert!(
            text.contains("=private: ") && text.contains("user namespaces")
                || text.contains("sysctl -w"),
            "{text}"
        );
        let too_many = private_remedy(&PrivateNetworkError::TooMany(error()));
        assert!(too_many.contains("user.max_user_namespaces"), "{too_many}");
    }
}
