//! Figures of machines and server processes, which several loads may have measured: each counts once.

use super::ratio;
use crate::load::{HostId, Memory, Part, ServerSide};
use crate::report::units::{as_f64, total};
use std::collections::{BTreeMap, BTreeSet};

/// A namespace of a host: the host's boot id and an inode, or its name alone in an older result.
type Namespace<'a> = (&'a str, Option<u64>);

fn namespace<'a>(part: &'a Part, parts: &'a [Part], inode: fn(&HostId) -> u64) -> Namespace<'a> {
    let same_name = || parts.iter().filter(|other| other.host == part.host);
    let id = part.host_id.as_ref();
    // An older result has the identity of a newer one with its host name.
    let id = id.or_else(|| same_name().find_map(|other| other.host_id.as_ref()));
    match id {
        Some(id) => (&id.boot_id, Some(inode(id))),
        None => (&part.host, None),
    }
}

/// What has the counters of TCP that a load has read.
fn network_of<'a>(part: &'a Part, parts: &'a [Part]) -> Namespace<'a> {
    namespace(part, parts, |id| id.network_namespace)
}

/// That in which the process id of the server of a load is unique: containers may each have a process 1.
fn processes_of<'a>(part: &'a Part, parts: &'a [Part]) -> Namespace<'a> {
    namespace(part, parts, |id| id.pid_namespace)
}

/// The number of hosts, each with a network of its own, whatever their names.
#[must_use]
pub fn host_count(parts: &[Part]) -> usize {
    let mut all = BTreeSet::new();
    all.extend(parts.iter().map(|part| network_of(part, parts)));
    all.len()
}

/// SYN retransmits of the loads' own connections, in total. An old result has only the figure of its machine in this
/// field: of those the highest of each host counts.
pub(super) fn retransmitted(parts: &[Part]) -> u64 {
    let (old, new): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| is_old(part));
    let own = total(&new, |part| part.result.connect.retransmitted);
    own.saturating_add(highest_of_each_host(&old, parts))
}

/// SYN retransmits of the machines: loads on one host read the same counter, so the highest of each host counts.
/// None if all results are old.
pub(super) fn machine_retransmitted(parts: &[Part]) -> Option<u64> {
    let all: Vec<&Part> = parts.iter().collect();
    let is_known = !parts.iter().all(is_old);
    is_known.then(|| highest_of_each_host(&all, parts))
}

/// Whether a result was saved before the two figures were separate.
fn is_old(part: &Part) -> bool {
    part.result.connect.machine_retransmitted.is_none()
}

fn highest_of_each_host(some: &[&Part], parts: &[Part]) -> u64 {
    let mut hosts: BTreeMap<Namespace<'_>, u64> = BTreeMap::new();
    for part in some {
        let connect = &part.result.connect;
        let own = connect.retransmitted;
        let highest = hosts.entry(network_of(part, parts)).or_default();
        *highest = connect.machine_retransmitted.unwrap_or(own).max(*highest);
    }
    hosts.into_values().fold(0, u64::saturating_add)
}

/// The sum of all server processes. A process that several loads on its host have measured counts once; the sum of
/// several processes has the id 0.
pub(super) fn servers(parts: &[Part]) -> Option<ServerSide> {
    let mut processes: BTreeMap<(Namespace<'_>, u32), Vec<&ServerSide>> = BTreeMap::new();
    let mut targets: BTreeSet<&str> = BTreeSet::new();
    for part in parts {
        if let Some(server) = &part.result.server {
            let key = (processes_of(part, parts), server.pid);
            processes.entry(key).or_default().push(server);
            targets.insert(&part.result.target);
        }
    }
    let servers: Vec<ServerSide> = processes.values().map(|all| one(all)).collect();
    let mut sum = match servers.as_slice() {
        [] => return None,
        [only] => only.clone(),
        several => ServerSide {
            processes: several.iter().map(|server| server.processes.max(1)).sum(),
            memory: one_kind(several.iter()),
            cpu_percent: several.iter().map(|server| server.cpu_percent).sum(),
            rss_bytes: total(several, |server| server.rss_bytes),
            rss_before_bytes: total(several, |server| server.rss_before_bytes),
            rss_after_bytes: total(several, |server| server.rss_after_bytes),
            ..ServerSide::default()
        },
    };
    // Loads without `--server-pid` have added connections to it, too, if their target is the same.
    let on_servers = parts.iter().map(|part| &part.result);
    let on_servers = on_servers.filter(|result| targets.contains(result.target.as_str()));
    let connections: Vec<_> = on_servers.map(|result| &result.connections).collect();
    let held = total(&connections, |all| all.opened.saturating_sub(all.lost));
    let growth = sum.rss_bytes.saturating_sub(sum.rss_before_bytes);
    sum.rss_bytes_per_connection = ratio(as_f64(growth), as_f64(held));
    Some(sum)
}

/// How the memory of several was measured: proportionally if that of one was.
fn one_kind<'a>(mut servers: impl Iterator<Item = &'a ServerSide>) -> Memory {
    if servers.any(|server| server.memory == Memory::Pss) {
        return Memory::Pss;
    }
    Memory::Rss
}

/// One process as measured by several loads: its memory was smallest before the first connection and largest with all
/// connections. The CPU time is the mean.
fn one(measured: &[&ServerSide]) -> ServerSide {
    let cpu: f64 = measured.iter().map(|server| server.cpu_percent).sum();
    // The load that ended last measured the server without connections; zero if the server had ended before.
    let after = measured.iter().map(|server| server.rss_after_bytes).min();
    let before = measured.iter().map(|server| server.rss_before_bytes).min();
    let during = measured.iter().map(|server| server.rss_bytes).max();
    ServerSide {
        pid: measured.first().map_or(0, |server| server.pid),
        processes: measured.iter().map(|one| one.processes).max().unwrap_or(0),
        memory: one_kind(measured.iter().copied()),
        cpu_percent: cpu / as_f64(measured.len().max(1) as u64),
        rss_bytes: during.unwrap_or(0),
        rss_bytes_per_connection: 0.0,
        rss_before_bytes: before.unwrap_or(0),
        rss_after_bytes: after.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
