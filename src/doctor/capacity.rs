//! How many connections the limits allow, and which limit is reached first.
//!
//! Every limit is linear: a part of it is taken, and each connection takes a fixed amount of the rest.

use super::facts::Facts;
use super::fd_limit::RESERVED_FDS;
use super::limit::Limit;
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

/// Memory in bytes of an idle connection that is in user space, on the load side.
pub(super) const USERSPACE_BYTES: u64 = 8;

/// Memory in bytes of an idle connection at the server.
pub(super) const SERVER_BYTES: u64 = KERNEL_BYTES_SERVER + USER_BYTES_SERVER;

/// Memory in bytes of the TLS session of an idle connection (TLS 1.3, ring): the growth of `echoloop serve` with 9,000 of
/// them, and of `echoloop load` with 3,000.
pub(super) const TLS_SESSION_BYTES: PerRole<u64> = PerRole::new(3_686, 5_100, 3_686 + 5_100);

/// Addresses of 127.0.0.0/8 (RFC 1122, section 3.2.1.3) to connect from, without the first and the last.
const LOOPBACK_ADDRESSES: u64 = (1 << 24) - 2;

/// The end of its connections that a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// One process that accepts them.
    Server,
    /// One process that opens them, to one port of another machine.
    Client,
    /// One process per end, both on this machine.
    Both,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Server, Role::Client, Role::Both];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "load",
            Role::Both => "both",
        }
    }
}

/// One value per role.
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
    const fn new(server: T, client: T, both: T) -> PerRole<T> {
        PerRole {
            server,
            client,
            both,
        }
    }

    /// The value of one role.
    #[must_use]
    pub fn of(&self, role: Role) -> T {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
            Role::Both => self.both,
        }
    }

    /// The values that `value_of` returns.
    #[must_use]
    pub fn from_each(value_of: impl Fn(Role) -> T) -> PerRole<T> {
        let [server, client, both] = Role::ALL.map(value_of);
        PerRole::new(server, client, both)
    }
}

/// A limit with its value on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The limit.
    pub limit: Limit,
    /// Its value: file descriptors, files, entries, ports or bytes.
    pub value: u64,
    /// The part that is reserved or used already.
    pub taken: u64,
    /// What a connection takes; 0 if the limit does not apply to the role.
    pub per_connection: PerRole<u64>,
}

impl Bound {
    /// How many connections it allows; `None` if it does not apply to the role.
    #[must_use]
    pub fn allows(&self, role: Role) -> Option<u64> {
        self.value
            .saturating_sub(self.taken)
            .checked_div(self.per_connection.of(role))
    }

    /// Whether it allows this many connections.
    #[must_use]
    pub fn is_enough(&self, role: Role, connections: u64) -> bool {
        self.allows(role)
            .is_none_or(|allowed| allowed >= connections)
    }

    /// The value that allows this many connections.
    #[must_use]
    pub fn needed(&self, role: Role, connections: u64) -> u64 {
        connections
            .saturating_mul(self.per_connection.of(role))
            .saturating_add(self.taken)
    }
}

/// How many connections fit in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleCapacity {
    /// The most that all limits allow; `None` if no limit could be read.
    pub connections: Option<u64>,
    /// The limit that is reached first; of several, the one to raise first.
    pub limited_by: Option<Limit>,
}

/// How many connections fit, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In each role.
    pub by_role: PerRole<RoleCapacity>,
    /// All limits that could be read, in the order in which to raise them.
    pub bounds: Vec<Bound>,
}

impl Capacity {
    /// Computes the capacity from the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Capacity {
        Capacity::of_bounds(bounds(facts, PerRole::default()))
    }

    /// As [`Capacity::of`], of connections whose clients are in user space, from a network with this many ports in all.
    #[must_use]
    pub fn userspace(facts: &Facts, ports: u64) -> Capacity {
        let of_server = PerRole::new(1, 0, 1);
        let bytes = PerRole::new(
            SERVER_BYTES,
            USERSPACE_BYTES,
            SERVER_BYTES + USERSPACE_BYTES,
        );
        let mut bounds = bounds(facts, PerRole::default());
        bounds.retain(|bound| !matches!(bound.limit, Limit::Ports | Limit::LoopbackPorts));
        for bound in &mut bounds {
            match bound.limit {
                Limit::Memory | Limit::CgroupMemory => bound.per_connection = bytes,
                Limit::Conntrack => {}
                _ => bound.per_connection = of_server,
            }
        }
        bounds.push(Bound {
            limit: Limit::PrefixPorts,
            value: ports,
            taken: 0,
            per_connection: PerRole::new(0, 1, 1),
        });
        Capacity::of_bounds(bounds)
    }

    /// As [`Capacity::of`], of connections with TLS.
    #[must_use]
    pub fn over_tls(facts: &Facts) -> Capacity {
        Capacity::of_bounds(bounds(facts, TLS_SESSION_BYTES))
    }

    fn of_bounds(bounds: Vec<Bound>) -> Capacity {
        let by_role = PerRole::from_each(|role| {
            let allowed = bounds
                .iter()
                .filter_map(|bound| Some((bound.allows(role)?, bound.limit)));
            let tightest = allowed.min_by_key(|(allowed, _)| *allowed);
            RoleCapacity {
                connections: tightest.map(|(allowed, _)| allowed),
                limited_by: tightest.map(|(_, limit)| limit),
            }
        });
        Capacity { by_role, bounds }
    }

    /// Whether this many connections fit, as far as limits could be read.
    #[must_use]
    pub fn fits(&self, role: Role, connections: u64) -> bool {
        let mut bounds = self.bounds.iter();
        bounds.all(|bound| bound.is_enough(role, connections))
    }
}

/// All limits that could be read, for connections with sessions of this size.
fn bounds(facts: &Facts, session_bytes: PerRole<u64>) -> Vec<Bound> {
    // The two ends are two processes with a limit each, but share the limits of a user and of the machine.
    const EACH_PROCESS: PerRole<u64> = PerRole::new(1, 1, 1);
    const EACH_END: PerRole<u64> = PerRole::new(1, 1, 2);
    const TRACKED: PerRole<u64> = PerRole::new(1, 1, 1);
    const CLIENT_BYTES: u64 = KERNEL_BYTES_CLIENT + USER_BYTES_CLIENT;
    const BYTES: PerRole<u64> =
        PerRole::new(SERVER_BYTES, CLIENT_BYTES, SERVER_BYTES + CLIENT_BYTES);
    // The listener takes one more.
    const RESERVED: u64 = RESERVED_FDS as u64 + 1;

    let bytes = PerRole::from_each(|role| BYTES.of(role) + session_bytes.of(role));
    let files_taken = facts.files_open.unwrap_or(0).saturating_add(RESERVED);
    let ports_over = |addresses: Option<u64>| ports_per_address(facts)?.checked_mul(addresses?);
    // The kernel module may be loaded without a firewall rule that makes it track connections.
    let is_tracking = facts.conntrack_count != Some(0);
    let tracked = facts.conntrack_max.filter(|_| is_tracking);
    let tracked_now = facts.conntrack_count.unwrap_or(0);
    let cgroup = facts.cgroup_memory.as_ref();
    let cgroup_limit = cgroup.map(|group| group.limit_bytes);
    let cgroup_used = cgroup.map_or(0, |group| group.used_bytes);
    let (remote, loopback) = (sources(facts), Some(LOOPBACK_ADDRESSES));
    let (client, both) = (PerRole::new(0, 1, 0), PerRole::new(0, 0, 1));
    let hard_limit = facts.descriptors_hard;
    let memory = facts.memory_available_bytes;
    [
        (Limit::NrOpen, facts.nr_open, RESERVED, EACH_PROCESS),
        (Limit::Fds, hard_limit, RESERVED, EACH_PROCESS),
        (Limit::FileMax, facts.file_max, files_taken, EACH_END),
        (Limit::EpollWatches, facts.epoll_watches, RESERVED, EACH_END),
        (Limit::Ports, ports_over(remote), 0, client),
        (Limit::LoopbackPorts, ports_over(loopback), 0, both),
        (Limit::Conntrack, tracked, tracked_now, TRACKED),
        (Limit::Memory, memory, 0, bytes),
        (Limit::CgroupMemory, cgroup_limit, cgroup_used, bytes),
    ]
    .into_iter()
    .filter_map(|(limit, value, taken, per_connection)| {
        Some(Bound {
            limit,
            value: value?,
            taken,
            per_connection,
        })
    })
    .collect()
}

/// The ports that one address can connect from, to the same port.
#[must_use]
pub fn ports_per_address(facts: &Facts) -> Option<u64> {
    let reserved = facts.reserved_ports.as_deref().unwrap_or_default();
    Some(facts.port_range?.count_without(reserved))
}

/// The addresses that this machine can connect to another from: its IPv4 addresses, or without any, its IPv6 addresses.
#[must_use]
pub fn sources(facts: &Facts) -> Option<u64> {
    let addresses = facts.addresses.as_ref()?.iter();
    let routable = addresses.filter(|address| match address.address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    let (v4, v6): (Vec<_>, Vec<_>) = routable.partition(|address| address.address.is_ipv4());
    Some(if v4.is_empty() { v6.len() } else { v4.len() } as u64)
}
