//! What the limits allow: facts in, the number of connections out, and which limit is met first.
//!
//! Every limit is one straight line: so much of it is taken already, and so much goes for each connection.

use super::facts::{Facts, PortRange};
use crate::net::{Limit, RESERVED_DESCRIPTORS};
use serde::Serialize;
use std::net::IpAddr;

/// Kernel memory in bytes of the server's end of an idle connection, measured on Linux 6.18: socket, file, epoll item.
const KERNEL_BYTES_SERVER: u64 = 3_900;

/// Kernel memory in bytes of the client's end, measured likewise.
const KERNEL_BYTES_CLIENT: u64 = 3_800;

/// Memory in bytes of `echoloop serve` for an idle connection (`cargo bench --bench idle`).
const USER_BYTES_SERVER: u64 = 56;

/// Memory in bytes of a client for an idle connection, at most.
const USER_BYTES_CLIENT: u64 = 100;

/// Addresses to connect from to this machine itself: 127.0.0.0/8 (RFC 1122, section 3.2.1.3) without its first and last.
const LOOPBACK_ADDRESSES: u64 = (1 << 24) - 2;

/// What the machine is to carry connections as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// One process that accepts them.
    Server,
    /// One process that opens them, to one port of another machine.
    Client,
    /// A process for either end, on this one machine.
    Both,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Server, Role::Client, Role::Both];

    /// Its name, as it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::Both => "both",
        }
    }
}

/// One thing for each role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PerRole<T> {
    /// For [`Role::Server`].
    pub server: T,
    /// For [`Role::Client`].
    pub client: T,
    /// For [`Role::Both`].
    pub both: T,
}

impl<T: Copy> PerRole<T> {
    /// That of one role.
    #[must_use]
    pub fn of(&self, role: Role) -> T {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
            Role::Both => self.both,
        }
    }

    /// What `ask` says of each role.
    #[must_use]
    pub fn from_each(ask: impl Fn(Role) -> T) -> PerRole<T> {
        PerRole {
            server: ask(Role::Server),
            client: ask(Role::Client),
            both: ask(Role::Both),
        }
    }
}

/// A limit with its value on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Which it is.
    pub limit: Limit,
    /// Its value: descriptors, files, entries, ports or bytes.
    pub value: u64,
    /// How much of it is not for connections, or taken already.
    pub taken: u64,
    /// How much of it a connection takes; 0 where it does not limit that role.
    pub per_connection: PerRole<u64>,
}

impl Bound {
    /// How many connections it allows; `None` where it does not limit that role.
    #[must_use]
    pub fn allows(&self, role: Role) -> Option<u64> {
        self.value
            .saturating_sub(self.taken)
            .checked_div(self.per_connection.of(role))
    }

    /// Whether it allows so many.
    #[must_use]
    pub fn is_enough(&self, role: Role, connections: u64) -> bool {
        self.allows(role)
            .is_none_or(|allowed| allowed >= connections)
    }

    /// The value that it must have for so many.
    #[must_use]
    pub fn needed(&self, role: Role, connections: u64) -> u64 {
        connections
            .saturating_mul(self.per_connection.of(role))
            .saturating_add(self.taken)
    }
}

/// How many connections a machine carries in a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The most that all limits allow; `None` where none could be read.
    pub connections: Option<u64>,
    /// The limit that is met first; of several, the one to raise first.
    pub limited_by: Option<Limit>,
}

/// What a machine carries, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it carries in each role.
    pub carries: PerRole<Carried>,
    /// All limits that could be read, in the order in which they would be raised.
    pub bounds: Vec<Bound>,
}

impl Verdict {
    /// What follows from the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Verdict {
        let bounds = bounds(facts);
        let carries = PerRole::from_each(|role| {
            let allowed = bounds
                .iter()
                .filter_map(|bound| Some((bound.allows(role)?, bound.limit)));
            let tightest = allowed.min_by_key(|(allowed, _)| *allowed);
            Carried {
                connections: tightest.map(|(allowed, _)| allowed),
                limited_by: tightest.map(|(_, limit)| limit),
            }
        });
        Verdict { carries, bounds }
    }

    /// Whether so many fit, as far as is known.
    #[must_use]
    pub fn fits(&self, role: Role, connections: u64) -> bool {
        self.bounds
            .iter()
            .all(|bound| bound.is_enough(role, connections))
    }
}

/// All limits that could be read.
fn bounds(facts: &Facts) -> Vec<Bound> {
    // The ends are two processes with as many descriptors each, but share what is counted for the machine or a user.
    const EACH_PROCESS: PerRole<u64> = PerRole {
        server: 1,
        client: 1,
        both: 1,
    };
    const EACH_END: PerRole<u64> = PerRole {
        server: 1,
        client: 1,
        both: 2,
    };
    const TRACKED: PerRole<u64> = EACH_PROCESS;
    // One listener is one more.
    const RESERVED: u64 = RESERVED_DESCRIPTORS as u64 + 1;

    let bound = |limit, value: Option<u64>, taken, per_connection| {
        value.map(|value| Bound {
            limit,
            value,
            taken,
            per_connection,
        })
    };
    let files_taken = facts.files_open.unwrap_or(0).saturating_add(RESERVED);
    let cgroup = facts.cgroup_memory.as_ref();
    let all = [
        bound(Limit::NrOpen, facts.nr_open, RESERVED, EACH_PROCESS),
        bound(
            Limit::Descriptors,
            facts.descriptors_hard,
            RESERVED,
            EACH_PROCESS,
        ),
        bound(Limit::FileMax, facts.file_max, files_taken, EACH_END),
        bound(Limit::EpollWatches, facts.epoll_watches, RESERVED, EACH_END),
        ports_elsewhere(facts),
        ports_over_loopback(facts),
        bound(
            Limit::Conntrack,
            tracked(facts),
            facts.conntrack_count.unwrap_or(0),
            TRACKED,
        ),
        bound(
            Limit::Memory,
            facts.memory_available_bytes,
            0,
            memory_per_connection(),
        ),
        bound(
            Limit::CgroupMemory,
            cgroup.map(|group| group.limit_bytes),
            cgroup.map_or(0, |group| group.used_bytes),
            memory_per_connection(),
        ),
    ];
    all.into_iter().flatten().collect()
}

const fn memory_per_connection() -> PerRole<u64> {
    let server = KERNEL_BYTES_SERVER + USER_BYTES_SERVER;
    let client = KERNEL_BYTES_CLIENT + USER_BYTES_CLIENT;
    PerRole {
        server,
        client,
        both: server + client,
    }
}

/// The size of the firewall's table, where it has anything in it.
///
/// The kernel's module may be loaded and yet track nothing, because no rule of the firewall asks for it.
fn tracked(facts: &Facts) -> Option<u64> {
    facts
        .conntrack_max
        .filter(|_| facts.conntrack_count != Some(0))
}

fn ports_elsewhere(facts: &Facts) -> Option<Bound> {
    Some(Bound {
        limit: Limit::Ports,
        value: ports_per_address(facts)?.checked_mul(sources(facts)?)?,
        taken: 0,
        per_connection: PerRole {
            server: 0,
            client: 1,
            both: 0,
        },
    })
}

fn ports_over_loopback(facts: &Facts) -> Option<Bound> {
    Some(Bound {
        limit: Limit::LoopbackPorts,
        value: ports_per_address(facts)?.checked_mul(LOOPBACK_ADDRESSES)?,
        taken: 0,
        per_connection: PerRole {
            server: 0,
            client: 0,
            both: 1,
        },
    })
}

/// Ports that one address can connect from to one and the same port.
#[must_use]
pub fn ports_per_address(facts: &Facts) -> Option<u64> {
    let reserved: &[PortRange] = facts.reserved_ports.as_deref().unwrap_or_default();
    Some(facts.port_range?.count_without(reserved))
}

/// How many addresses this machine can connect from to another: those of IPv4, or where it has none, those of IPv6.
#[must_use]
pub fn sources(facts: &Facts) -> Option<u64> {
    let addresses = facts.addresses.as_ref()?;
    let count = |fits: fn(&IpAddr) -> bool| {
        let fitting = addresses.iter().filter(|address| fits(&address.address));
        fitting.map(|_| 1).sum()
    };
    let v4 = count(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(_) => false,
    });
    let v6 = count(|address| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    Some(if v4 > 0 { v4 } else { v6 })
}
