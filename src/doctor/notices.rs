//! Settings that limit no number of connections, and yet make connections slow, lost or surprising.

use super::Role;
use super::default_max_connections;
use super::facts::Facts;
use super::remedy::{Remedy, sysctl, sysctl_text};
use crate::net::DEFAULT_BACKLOG;
use crate::numbers::grouped;
use serde::Serialize;

/// A setting worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// A stable name.
    pub about: &'static str,
    /// Whether it does harm; otherwise it is information only.
    pub is_wrong: bool,
    /// The value and its effect.
    pub text: String,
    /// How to change it.
    pub remedy: Option<Remedy>,
}

impl Notice {
    pub(super) fn problem(about: &'static str, text: String, remedy: Option<Remedy>) -> Notice {
        Notice {
            about,
            is_wrong: true,
            text,
            remedy,
        }
    }

    pub(super) fn information(about: &'static str, text: String, remedy: Option<Remedy>) -> Notice {
        Notice {
            is_wrong: false,
            ..Notice::problem(about, text, remedy)
        }
    }
}

/// The notices for `connections` now and `goal` connections after the remedies, in this role.
pub(super) fn notices(facts: &Facts, role: Role, connections: u64, goal: u64) -> Vec<Notice> {
    let of_server = [
        backlog(facts),
        syn_backlog(facts),
        max_connections(connections),
    ];
    let of_all = [
        untracked(facts, goal),
        tcp_memory(facts, role, goal),
        soft_limit(facts),
        unread(facts),
    ];
    let of_server = of_server.into_iter().filter(|_| role != Role::Client);
    of_server.chain(of_all).flatten().collect()
}

fn backlog(facts: &Facts) -> Option<Notice> {
    let wanted = u64::from(DEFAULT_BACKLOG);
    let somaxconn = facts.somaxconn.filter(|cap| *cap < wanted)?;
    let text = format!(
        "net.core.somaxconn is {}: it caps the backlog of echoloop serve, {}. When more clients connect at once, some \
         wait a second or longer for a SYN retransmit.",
        grouped(somaxconn),
        grouped(wanted)
    );
    let remedy = sysctl(facts, "net.core.somaxconn", wanted);
    Some(Notice::problem("backlog", text, Some(remedy)))
}

fn syn_backlog(facts: &Facts) -> Option<Notice> {
    let wanted = u64::from(DEFAULT_BACKLOG);
    let most = facts.tcp_max_syn_backlog.filter(|most| *most < wanted)?;
    if facts.tcp_syncookies != Some(0) {
        return None;
    }
    let text = format!(
        "net.ipv4.tcp_syncookies is off, so at most {} connections (tcp_max_syn_backlog) can be half open; further \
         clients wait a second or longer.",
        grouped(most)
    );
    let remedy = sysctl(facts, "net.ipv4.tcp_syncookies", 1);
    Some(Notice::problem("syn_backlog", text, Some(remedy)))
}

fn max_connections(connections: u64) -> Option<Notice> {
    let most = default_max_connections();
    let text = format!(
        "echoloop serve accepts {} connections by default: raise it with --max-connections.",
        grouped(most)
    );
    (connections > most).then(|| Notice::information("max_connections", text, None))
}

fn untracked(facts: &Facts, goal: u64) -> Option<Notice> {
    let most = facts.conntrack_max.filter(|most| *most < goal)?;
    let text = format!(
        "nf_conntrack tracks nothing now and is not counted. With a firewall rule that tracks connections it would allow \
         {}.",
        grouped(most)
    );
    let remedy = sysctl(facts, "net.netfilter.nf_conntrack_max", goal);
    (facts.conntrack_count == Some(0)).then(|| Notice::information("conntrack", text, Some(remedy)))
}

/// An idle connection takes no page of `tcp_mem`; one with data in flight takes at least one.
fn tcp_memory(facts: &Facts, role: Role, goal: u64) -> Option<Notice> {
    let [_, _, most] = facts.tcp_mem_pages?;
    let ends = if role == Role::Both { 2 } else { 1 };
    let pages = goal.saturating_mul(ends);
    let text = format!(
        "net.ipv4.tcp_mem has {} pages for data in flight: idle connections need none, but at most that many ends can \
         have data in flight at the same time.",
        grouped(most)
    );
    // The kernel's own proportions: the second is two thirds of the third, the first is half.
    let value = format!("{} {} {pages}", pages / 2, pages - pages / 3);
    let remedy = sysctl_text(facts, "net.ipv4.tcp_mem", &value, pages);
    (pages > most).then(|| Notice::information("tcp_mem", text, Some(remedy)))
}

fn soft_limit(facts: &Facts) -> Option<Notice> {
    let (soft, hard) = (facts.descriptors_soft?, facts.descriptors_hard?);
    let text = format!(
        "The soft limit of open files, {}, does not apply: echoloop raises its own to the hard limit, {}.",
        grouped(soft),
        grouped(hard)
    );
    (soft < hard).then(|| Notice::information("soft_limit", text, None))
}

fn unread(facts: &Facts) -> Option<Notice> {
    let known = [
        ("fs.nr_open", facts.nr_open.is_some()),
        ("the limit of open files", facts.descriptors_hard.is_some()),
        ("fs.file-max", facts.file_max.is_some()),
        ("fs.epoll.max_user_watches", facts.epoll_watches.is_some()),
        ("ip_local_port_range", facts.port_range.is_some()),
        ("the addresses", facts.addresses.is_some()),
        ("available memory", facts.memory_available_bytes.is_some()),
    ];
    let unread = known.iter().filter(|(_, known)| !known);
    let unread: Vec<&str> = unread.map(|(name, _)| *name).collect();
    let text = format!(
        "Could not be read and is not counted: {}.",
        unread.join(", ")
    );
    (!unread.is_empty()).then(|| Notice::problem("unread", text, None))
}
