//! What was read from machines, and would be counted twice if it were simply added: two loads of one host see the same
//! kernel, and may have watched the same server.

use super::total;
use crate::load::{Part, ServerSide};
use crate::report::units::as_f64;
use std::collections::BTreeMap;

/// SYN retransmits of the loads' own connections, added up. An old result has only its machine's figure under this name:
/// of those the highest of each host is taken.
pub(super) fn retransmitted(parts: &[Part]) -> u64 {
    let (old, new): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| is_old(part));
    let own = total(&new, |part| part.result.connect.retransmitted);
    own.saturating_add(highest_of_each_host(&old))
}

/// SYN retransmits of the machines: two loads of one host see the same kernel, so that of each host the highest is taken.
/// None if all results are old.
pub(super) fn machine_retransmitted(parts: &[Part]) -> Option<u64> {
    let all: Vec<&Part> = parts.iter().collect();
    let is_known = !parts.iter().all(is_old);
    is_known.then(|| highest_of_each_host(&all))
}

/// Whether a result was saved before the two figures were kept apart.
fn is_old(part: &Part) -> bool {
    part.result.connect.machine_retransmitted.is_none()
}

fn highest_of_each_host(parts: &[&Part]) -> u64 {
    let mut hosts: BTreeMap<&str, u64> = BTreeMap::new();
    for part in parts {
        let connect = &part.result.connect;
        let counted = connect
            .machine_retransmitted
            .unwrap_or(connect.retransmitted);
        let highest = hosts.entry(&part.host).or_default();
        *highest = (*highest).max(counted);
    }
    hosts.into_values().fold(0, u64::saturating_add)
}

/// The servers as one: one process on one host is one server, however many loads have watched it; several are added up, and
/// have no id.
pub(super) fn servers(parts: &[Part]) -> Option<ServerSide> {
    let mut watched: BTreeMap<(&str, u32), Vec<&Part>> = BTreeMap::new();
    for part in parts {
        if let Some(server) = &part.result.server {
            watched
                .entry((&part.host, server.pid))
                .or_default()
                .push(part);
        }
    }
    let servers: Vec<ServerSide> = watched.values().map(|parts| one(parts)).collect();
    let several = ServerSide {
        pid: 0,
        cpu_percent: servers.iter().map(|server| server.cpu_percent).sum(),
        rss_bytes: total(&servers, |server| server.rss_bytes),
        rss_bytes_per_connection: 0.0,
        rss_before_bytes: total(&servers, |server| server.rss_before_bytes),
        rss_after_bytes: total(&servers, |server| server.rss_after_bytes),
    };
    let mut sum = match servers.as_slice() {
        [] => return None,
        [only] => only.clone(),
        _ => several,
    };
    sum.rss_bytes_per_connection = per_connection(&sum, parts);
    Some(sum)
}

/// What all have seen of one process: before the first connection it was smallest, with all of them largest. Its
/// processor time is the mean of what they saw.
fn one(parts: &[&Part]) -> ServerSide {
    let seen: Vec<&ServerSide> = parts
        .iter()
        .filter_map(|part| part.result.server.as_ref())
        .collect();
    let busy: f64 = seen.iter().map(|server| server.cpu_percent).sum();
    // The last to end sees it without connections, and it had ended if one of them did not find it any more.
    let after = seen.iter().map(|server| server.rss_after_bytes).min();
    let before = seen.iter().map(|server| server.rss_before_bytes).min();
    let during = seen.iter().map(|server| server.rss_bytes).max();
    ServerSide {
        pid: seen.first().map_or(0, |server| server.pid),
        cpu_percent: busy / as_f64(seen.len().max(1) as u64),
        rss_bytes: during.unwrap_or(0),
        rss_bytes_per_connection: 0.0,
        rss_before_bytes: before.unwrap_or(0),
        rss_after_bytes: after.unwrap_or(0),
    }
}

/// What each connection has added to the servers: those of every load on a target that was watched, since one of several
/// loads on a server may be all that could watch it.
fn per_connection(servers: &ServerSide, parts: &[Part]) -> f64 {
    let is_watched = |target: &str| {
        parts
            .iter()
            .any(|part| part.result.server.is_some() && part.result.target == target)
    };
    let held = total(parts, |part| {
        let connections = &part.result.connections;
        let held = connections.opened.saturating_sub(connections.lost);
        if is_watched(&part.result.target) {
            held
        } else {
            0
        }
    });
    let grown = servers.rss_bytes.saturating_sub(servers.rss_before_bytes);
    super::ratio(as_f64(grown), as_f64(held))
}
