//! What does not limit how many connections there can be, and yet makes them slow, lost or surprising.

use super::facts::Facts;
use super::remedy::{Remedy, sysctl, sysctl_text};
use super::verdict::{Role, Verdict};
use crate::net::DEFAULT_BACKLOG;
use crate::numbers::grouped;
use crate::server::Config;
use serde::Serialize;

/// Something that is good to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about; stable.
    pub about: &'static str,
    /// Whether it does harm as it is; else it is only said.
    pub is_wrong: bool,
    /// What is so, and what comes of it.
    pub text: String,
    /// What changes it.
    pub remedy: Option<Remedy>,
}

/// All there is to say to somebody who wants `goal` connections in this role.
pub(super) fn notices(
    facts: &Facts,
    verdict: &Verdict,
    role: Role,
    asked: Option<u64>,
    goal: u64,
) -> Vec<Notice> {
    let accepts = role != Role::Client;
    let carried = verdict.carries.of(role).connections.unwrap_or(0);
    let of_server = [
        backlog(facts),
        syn_backlog(facts),
        most_by_default(asked.unwrap_or(carried)),
    ];
    let of_all = [
        untracked(facts, goal),
        data_under_way(facts, role, goal),
        soft_limit(facts),
        unread(facts),
    ];
    let of_server = of_server.into_iter().filter(|_| accepts);
    of_server.chain(of_all).flatten().collect()
}

fn backlog(facts: &Facts) -> Option<Notice> {
    let wanted = u64::from(DEFAULT_BACKLOG);
    let somaxconn = facts.somaxconn.filter(|cap| *cap < wanted)?;
    Some(Notice {
        about: "backlog",
        is_wrong: true,
        text: format!(
            "net.core.somaxconn is {}: it caps the backlog of echoloop serve, {}. Of more clients that connect at once, \
             some wait a second and longer, until they send their SYN again.",
            grouped(somaxconn),
            grouped(wanted)
        ),
        remedy: Some(sysctl(facts, "net.core.somaxconn", wanted)),
    })
}

fn syn_backlog(facts: &Facts) -> Option<Notice> {
    let wanted = u64::from(DEFAULT_BACKLOG);
    let most = facts.tcp_max_syn_backlog.filter(|most| *most < wanted)?;
    (facts.tcp_syncookies == Some(0)).then(|| Notice {
        about: "syn_backlog",
        is_wrong: true,
        text: format!(
            "net.ipv4.tcp_syncookies is off, so only {} connections (tcp_max_syn_backlog) can be half open at once; \
             clients past them wait a second and longer.",
            grouped(most)
        ),
        remedy: Some(sysctl(facts, "net.ipv4.tcp_syncookies", 1)),
    })
}

fn most_by_default(connections: u64) -> Option<Notice> {
    let most = u64::try_from(Config::default().max_connections).unwrap_or(u64::MAX);
    (connections > most).then(|| Notice {
        about: "max_connections",
        is_wrong: false,
        text: format!(
            "echoloop serve takes {} connections by default: for more, say so with --max-connections.",
            grouped(most)
        ),
        remedy: None,
    })
}

fn untracked(facts: &Facts, goal: u64) -> Option<Notice> {
    let most = facts.conntrack_max.filter(|most| *most < goal)?;
    (facts.conntrack_count == Some(0)).then(|| Notice {
        about: "conntrack",
        is_wrong: false,
        text: format!(
            "nf_conntrack tracks nothing now and is not counted. If a rule of the firewall made it track connections, it \
             would allow {}.",
            grouped(most)
        ),
        remedy: Some(sysctl(facts, "net.netfilter.nf_conntrack_max", goal)),
    })
}

/// Idle connections take none of `tcp_mem`; one with data under way takes a page at least.
fn data_under_way(facts: &Facts, role: Role, goal: u64) -> Option<Notice> {
    let [_, _, most] = facts.tcp_mem_pages?;
    let ends = if role == Role::Both { 2 } else { 1 };
    let pages = goal.saturating_mul(ends);
    (pages > most).then(|| Notice {
        about: "tcp_mem",
        is_wrong: false,
        text: format!(
            "net.ipv4.tcp_mem has {} pages for data under way: idle connections need none, but no more ends than that \
             can have any at the same time.",
            grouped(most)
        ),
        // The kernel's own proportions: the second is two thirds of the third, the first is half.
        remedy: Some(Remedy {
            to: pages,
            ..sysctl_text(
                facts,
                "net.ipv4.tcp_mem",
                &format!("{} {} {pages}", pages / 2, pages - pages / 3),
            )
        }),
    })
}

fn soft_limit(facts: &Facts) -> Option<Notice> {
    let (soft, hard) = (facts.descriptors_soft?, facts.descriptors_hard?);
    (soft < hard).then(|| Notice {
        about: "soft_limit",
        is_wrong: false,
        text: format!(
            "The soft limit of descriptors, {}, does not matter: echoloop raises its own to the hard one, {}.",
            grouped(soft),
            grouped(hard)
        ),
        remedy: None,
    })
}

fn unread(facts: &Facts) -> Option<Notice> {
    let known = [
        ("fs.nr_open", facts.nr_open.is_some()),
        ("the limit of descriptors", facts.descriptors_hard.is_some()),
        ("fs.file-max", facts.file_max.is_some()),
        ("fs.epoll.max_user_watches", facts.epoll_watches.is_some()),
        ("ip_local_port_range", facts.port_range.is_some()),
        ("the addresses", facts.addresses.is_some()),
        ("available memory", facts.memory_available_bytes.is_some()),
    ];
    let unread: Vec<&str> = known
        .iter()
        .filter(|(_, known)| !known)
        .map(|(name, _)| *name)
        .collect();
    (!unread.is_empty()).then(|| Notice {
        about: "unread",
        is_wrong: true,
        text: format!(
            "Could not be read here, and is not counted: {}.",
            unread.join(", ")
        ),
        remedy: None,
    })
}
