//! How to raise a limit: until the next reboot or login, permanently, and with which privilege.
//!
//! Commands are complete, as this user must type them: with `sudo` unless the user is root.

use super::capacity::{Bound, Role, ports_per_address, sources};
use super::facts::{Facts, PortRange};
use super::figures::bytes;
use super::limit::Limit;
use crate::net::PORTS_PER_SOURCE;
use crate::numbers::grouped;
use serde::Serialize;

/// The ports for outgoing connections; the lower ones are for servers (RFC 6335, section 6).
const WIDEST_RANGE: PortRange = PortRange {
    first: 1024,
    last: 65_535,
};

/// The maximum of `fs.nr_open` on 64 bits (`sysctl_nr_open_max` in the kernel's fs/file.c).
const MAX_NR_OPEN: u64 = 2_147_483_584;

/// How to raise one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The value to raise it to.
    pub to: u64,
    /// Commands that raise it until the machine or the shell ends.
    pub now: Vec<String>,
    /// Commands that raise it permanently, from the next boot or login.
    #[serde(rename = "for_good")]
    pub permanent: Vec<String>,
    /// A line for the `[Service]` section of a systemd unit.
    pub unit: Option<String>,
    /// What the commands require, or what is needed in their place.
    pub needs: Option<String>,
}

impl Remedy {
    /// A remedy without commands.
    fn needs(to: u64, needs: String) -> Remedy {
        Remedy {
            to,
            needs: Some(needs),
            ..Remedy::default()
        }
    }
}

/// How to raise `limit`, for the end of an error message.
#[must_use]
pub fn hint(limit: Limit) -> String {
    let action = match limit {
        Limit::NrOpen => "raise it: sysctl -w fs.nr_open=1048576",
        Limit::Fds => "raise it: ulimit -n 1048576",
        Limit::FileMax => "raise it: sysctl -w fs.file-max=4194304",
        Limit::EpollWatches => "raise it: sysctl -w fs.epoll.max_user_watches=4194304",
        Limit::Conntrack => "raise it: sysctl -w net.netfilter.nf_conntrack_max=2097152",
        Limit::Ports | Limit::LoopbackPorts => {
            "connect from more addresses, or: sysctl -w net.ipv4.ip_local_port_range='1024 65535'"
        }
        Limit::PrefixPorts => "give a larger network with --prefix",
        Limit::Memory | Limit::CgroupMemory => "free some memory, or allow more",
    };
    format!("{action} (echoloop doctor shows all limits)")
}

/// How to raise `bound` so that it allows `connections`; `None` if it does already.
#[must_use]
pub fn remedy(facts: &Facts, bound: &Bound, role: Role, connections: u64) -> Option<Remedy> {
    if bound.is_enough(role, connections) {
        return None;
    }
    let to = bound.needed(role, connections);
    Some(match bound.limit {
        Limit::NrOpen | Limit::Fds if to > MAX_NR_OPEN => {
            let most = grouped(MAX_NR_OPEN);
            let needs = "several processes (--reuse-port): the kernel allows one process at most";
            Remedy::needs(to, format!("{needs} {most} file descriptors"))
        }
        Limit::NrOpen => sysctl(facts, "fs.nr_open", to),
        Limit::Fds => fd_limit(facts, to),
        Limit::FileMax => sysctl(facts, "fs.file-max", to),
        Limit::EpollWatches => sysctl(facts, "fs.epoll.max_user_watches", to),
        Limit::Conntrack => conntrack(facts, to),
        Limit::Ports => ports(facts, to),
        Limit::LoopbackPorts => widest_range(facts, to),
        Limit::PrefixPorts => {
            let addresses = to.div_ceil(PORTS_PER_SOURCE.into());
            let needs = format!("a --prefix of {} addresses", grouped(addresses + 3));
            Remedy::needs(to, needs)
        }
        Limit::Memory => {
            let missing = bytes(to.saturating_sub(bound.value));
            Remedy::needs(
                to,
                format!("{missing} more memory, or fewer other programs"),
            )
        }
        Limit::CgroupMemory => cgroup_memory(facts, to),
    })
}

/// A kernel setting with one number.
pub(super) fn sysctl(facts: &Facts, name: &str, to: u64) -> Remedy {
    sysctl_text(facts, name, &to.to_string(), to)
}

/// A kernel setting with any value.
pub(super) fn sysctl_text(facts: &Facts, name: &str, value: &str, to: u64) -> Remedy {
    let sudo = sudo(facts);
    let quote = if value.contains(' ') { "'" } else { "" };
    let line = format!("{name} = {value}");
    let is_read_only = facts.sysctl_is_read_only == Some(true);
    let on_the_host =
        || "to run on the host: /proc/sys is read-only here (a container?)".to_owned();
    Remedy {
        to,
        now: vec![format!("{sudo}sysctl -w {name}={quote}{value}{quote}")],
        permanent: vec![append(facts, &line, "/etc/sysctl.d/60-echoloop.conf")],
        unit: None,
        needs: is_read_only.then(on_the_host),
    }
}

fn fd_limit(facts: &Facts, to: u64) -> Remedy {
    let is_root = facts.is_root == Some(true);
    // `*` applies to all users except root (limits.conf(5)).
    let user = if is_root { "root" } else { "*" };
    let (now, needs) = if facts.may_raise_hard_limit == Some(true) {
        (format!("ulimit -n {to}"), None)
    } else if is_root {
        let needs = format!(
            "CAP_SYS_RESOURCE, which this process lacks although it is root (in a container?): \
             run this outside, with the PID of this shell there, or start the container with \
             --ulimit=nofile={to}:{to}"
        );
        (format!("prlimit --pid PID --nofile={to}:{to}"), Some(needs))
    } else {
        let needs = "root: raising a hard limit takes CAP_SYS_RESOURCE".to_owned();
        (
            format!("sudo prlimit --pid $$ --nofile={to}:{to}"),
            Some(needs),
        )
    };
    let line = format!("{user} - nofile {to}");
    Remedy {
        to,
        now: vec![now],
        permanent: vec![append(facts, &line, "/etc/security/limits.d/echoloop.conf")],
        unit: Some(format!("LimitNOFILE={to}")),
        needs,
    }
}

fn conntrack(facts: &Facts, to: u64) -> Remedy {
    let mut remedy = sysctl(facts, "net.netfilter.nf_conntrack_max", to);
    // The setting exists only while the module is loaded, and sysctl.d is applied early at boot.
    let load_module = append(facts, "nf_conntrack", "/etc/modules-load.d/echoloop.conf");
    remedy.permanent.push(load_module);
    remedy
}

/// `to` ports over all addresses, to one port of another machine.
fn ports(facts: &Facts, to: u64) -> Remedy {
    let reserved = facts.reserved_ports.as_deref().unwrap_or_default();
    let widest = WIDEST_RANGE.count_without(reserved).max(1);
    let more = to
        .div_ceil(widest)
        .saturating_sub(sources(facts).unwrap_or(0));
    let mut remedy = match ports_per_address(facts) {
        Some(ports) if ports < widest => widest_range(facts, to),
        _ => Remedy {
            to,
            ..Remedy::default()
        },
    };
    if more > 0 {
        let mut addresses = facts.addresses.iter().flatten();
        let outside = addresses.find(|address| !address.address.is_loopback());
        let interface = outside.map_or("DEVICE", |address| address.interface.as_str());
        let sudo = sudo(facts);
        let command = format!("{sudo}ip address add ADDRESS/PREFIX dev {interface}");
        remedy.now.push(command);
        let addresses = if more == 1 { "address" } else { "addresses" };
        let also = remedy
            .needs
            .map_or_else(String::new, |needs| format!("; {needs}"));
        remedy.needs = Some(format!(
            "{more} more {addresses} to connect from, as many more ports to connect to, or more machines{also}"
        ));
    }
    remedy
}

fn widest_range(facts: &Facts, to: u64) -> Remedy {
    let PortRange { first, last } = WIDEST_RANGE;
    let name = "net.ipv4.ip_local_port_range";
    sysctl_text(facts, name, &format!("{first} {last}"), to)
}

fn cgroup_memory(facts: &Facts, to: u64) -> Remedy {
    let now = facts.cgroup_memory.iter().map(|group| {
        let file = group.file.display();
        match sudo(facts) {
            "" => format!("echo {to} > {file}"),
            sudo => format!("echo {to} | {sudo}tee {file}"),
        }
    });
    let needs = "the right to change the cgroup; in a container: docker run --memory";
    Remedy {
        now: now.collect(),
        unit: Some(format!("MemoryMax={to}")),
        ..Remedy::needs(to, format!("{needs} {to}"))
    }
}

/// A command that adds a line to a file.
fn append(facts: &Facts, line: &str, file: &str) -> String {
    match sudo(facts) {
        "" => format!("echo '{line}' >> {file}"),
        sudo => format!("echo '{line}' | {sudo}tee -a {file}"),
    }
}

fn sudo(facts: &Facts) -> &'static str {
    if facts.is_root == Some(true) {
        ""
    } else {
        "sudo "
    }
}
