//! How a limit is raised: for now, for good, and what that needs.
//!
//! Commands are complete, and as the user who asks would type them: with `sudo` where that is not root.

use super::facts::{Facts, PortRange};
use super::figures::bytes;
use super::verdict::{Bound, Role, ports_per_address, sources};
use crate::net::Limit;
use crate::numbers::grouped;
use serde::Serialize;

/// The ports that may be used for connections; the lower ones are for servers (RFC 6335, section 6).
const WIDEST_RANGE: PortRange = PortRange {
    first: 1024,
    last: 65_535,
};

/// The most that `fs.nr_open` can be set to on 64 bits (`sysctl_nr_open_max` in the kernel's fs/file.c).
const MOST_DESCRIPTORS: u64 = 2_147_483_584;

/// What raises one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The value that it then has.
    pub to: u64,
    /// Commands that raise it until the machine or the shell ends.
    pub now: Vec<String>,
    /// Commands that raise it from the next start or login on.
    pub for_good: Vec<String>,
    /// A line for the `[Service]` section of a systemd unit.
    pub unit: Option<String>,
    /// What it takes beside these commands.
    pub needs: Option<String>,
}

/// How to raise `limit`, for the end of an error message.
#[must_use]
pub fn hint(limit: Limit) -> String {
    let action = match limit {
        Limit::NrOpen => "raise it: sysctl -w fs.nr_open=1048576",
        Limit::Descriptors => "raise it: ulimit -n 1048576",
        Limit::FileMax => "raise it: sysctl -w fs.file-max=4194304",
        Limit::EpollWatches => "raise it: sysctl -w fs.epoll.max_user_watches=4194304",
        Limit::Conntrack => "raise it: sysctl -w net.netfilter.nf_conntrack_max=2097152",
        Limit::Ports | Limit::LoopbackPorts => {
            "connect from more addresses, or: sysctl -w net.ipv4.ip_local_port_range='1024 65535'"
        }
        Limit::Memory | Limit::CgroupMemory => "free some memory, or allow more",
    };
    format!("{action} (echoloop doctor shows all limits)")
}

/// What makes `bound` carry so many connections; `None` where it does already.
#[must_use]
pub fn remedy(facts: &Facts, bound: &Bound, role: Role, connections: u64) -> Option<Remedy> {
    if bound.is_enough(role, connections) {
        return None;
    }
    let to = bound.needed(role, connections);
    let of_one_process = matches!(bound.limit, Limit::NrOpen | Limit::Descriptors);
    if of_one_process && to > MOST_DESCRIPTORS {
        return Some(beyond_the_kernel(to));
    }
    Some(match bound.limit {
        Limit::NrOpen => sysctl(facts, "fs.nr_open", to),
        Limit::Descriptors => descriptors(facts, to),
        Limit::FileMax => sysctl(facts, "fs.file-max", to),
        Limit::EpollWatches => sysctl(facts, "fs.epoll.max_user_watches", to),
        Limit::Conntrack => conntrack(facts, to),
        Limit::Ports => ports(facts, to),
        Limit::LoopbackPorts => Remedy {
            to,
            ..widest_range(facts)
        },
        Limit::Memory => Remedy {
            to,
            needs: Some(format!(
                "{} more memory, or fewer programs beside this one",
                bytes(to.saturating_sub(bound.value))
            )),
            ..Remedy::default()
        },
        Limit::CgroupMemory => cgroup_memory(facts, to),
    })
}

fn beyond_the_kernel(to: u64) -> Remedy {
    let most = grouped(MOST_DESCRIPTORS);
    Remedy {
        to,
        needs: Some(format!(
            "several processes (--reuse-port): the kernel grants one of them {most} descriptors at most"
        )),
        ..Remedy::default()
    }
}

/// A setting of the kernel that is one number.
pub(super) fn sysctl(facts: &Facts, name: &str, to: u64) -> Remedy {
    Remedy {
        to,
        ..sysctl_text(facts, name, &to.to_string())
    }
}

/// A setting of the kernel that is more than one number.
pub(super) fn sysctl_text(facts: &Facts, name: &str, value: &str) -> Remedy {
    let sudo = sudo(facts);
    let quote = if value.contains(' ') { "'" } else { "" };
    let read_only = facts.sysctl_is_read_only == Some(true);
    Remedy {
        to: 0,
        now: vec![format!("{sudo}sysctl -w {name}={quote}{value}{quote}")],
        for_good: vec![append(
            facts,
            &format!("{name} = {value}"),
            "/etc/sysctl.d/60-echoloop.conf",
        )],
        unit: None,
        needs: read_only.then(|| {
            "run these on the host: /proc/sys is read-only here (a container?)".to_owned()
        }),
    }
}

fn descriptors(facts: &Facts, to: u64) -> Remedy {
    // The star stands for everybody but root (limits.conf(5)).
    let who = if facts.is_root == Some(true) {
        "root"
    } else {
        "*"
    };
    let (now, needs) = match (facts.may_raise_hard_limit, facts.is_root) {
        (Some(true), _) => (vec![format!("ulimit -n {to}")], None),
        (_, Some(true)) => (
            vec![format!("prlimit --pid PID --nofile={to}:{to}")],
            Some(format!(
                "CAP_SYS_RESOURCE, which this process lacks although it is root (in a container?): \
                 run this outside, PID being this shell's number there, or start the container with \
                 --ulimit=nofile={to}:{to}"
            )),
        ),
        _ => (
            vec![format!("sudo prlimit --pid $$ --nofile={to}:{to}")],
            Some("root: nobody else may raise a hard limit (CAP_SYS_RESOURCE)".to_owned()),
        ),
    };
    Remedy {
        to,
        now,
        for_good: vec![append(
            facts,
            &format!("{who} - nofile {to}"),
            "/etc/security/limits.d/echoloop.conf",
        )],
        unit: Some(format!("LimitNOFILE={to}")),
        needs,
    }
}

fn conntrack(facts: &Facts, to: u64) -> Remedy {
    let mut remedy = sysctl(facts, "net.netfilter.nf_conntrack_max", to);
    // The setting exists only once the module is loaded, and settings are made early in a start.
    remedy.for_good.push(append(
        facts,
        "nf_conntrack",
        "/etc/modules-load.d/echoloop.conf",
    ));
    remedy
}

/// `to` ports in all, to one port of another machine.
fn ports(facts: &Facts, to: u64) -> Remedy {
    let reserved = facts.reserved_ports.as_deref().unwrap_or_default();
    let widest = WIDEST_RANGE.count_without(reserved).max(1);
    let have = sources(facts).unwrap_or(0);
    let more = to.div_ceil(widest).saturating_sub(have);
    let mut remedy = match ports_per_address(facts) {
        Some(ports) if ports < widest => widest_range(facts),
        _ => Remedy::default(),
    };
    if more > 0 {
        let addresses = facts.addresses.iter().flatten();
        let mut outside = addresses.filter(|address| !address.address.is_loopback());
        let interface = outside
            .next()
            .map_or("DEVICE", |address| address.interface.as_str());
        let sudo = sudo(facts);
        remedy.now.push(format!(
            "{sudo}ip address add ADDRESS/PREFIX dev {interface}"
        ));
        let advice = format!(
            "{more} more {} to connect from, or as many more ports to connect to, or more machines",
            if more == 1 { "address" } else { "addresses" }
        );
        remedy.needs = Some(match remedy.needs {
            Some(needs) => format!("{advice}; {needs}"),
            None => advice,
        });
    }
    Remedy { to, ..remedy }
}

fn widest_range(facts: &Facts) -> Remedy {
    let PortRange { first, last } = WIDEST_RANGE;
    sysctl_text(
        facts,
        "net.ipv4.ip_local_port_range",
        &format!("{first} {last}"),
    )
}

fn cgroup_memory(facts: &Facts, to: u64) -> Remedy {
    let file = facts
        .cgroup_memory
        .as_ref()
        .map(|group| group.file.display());
    let now = file.map(|file| match sudo(facts) {
        "" => format!("echo {to} > {file}"),
        sudo => format!("echo {to} | {sudo}tee {file}"),
    });
    Remedy {
        to,
        now: now.into_iter().collect(),
        for_good: Vec::new(),
        unit: Some(format!("MemoryMax={to}")),
        needs: Some(format!(
            "the right to change the control group; in a container: docker run --memory {to}"
        )),
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
