//! The connection limits of this machine: file descriptors, ports, memory and others, how many connections they allow,
//! which limit is reached first, and how to raise each.
//!
//! [`read_facts`] reads the machine; the rest is pure: [`Report::new`] computes, [`text()`] and [`json()`] format.

mod capacity;
mod facts;
mod fd_limit;
mod figures;
mod interfaces;
mod json;
mod limit;
mod notices;
mod reading;
mod remedy;
#[cfg(test)]
mod tests;
mod text;
mod userspace;

pub use capacity::{Bound, Capacity, PerRole, Role, RoleCapacity, ports_per_address, sources};
pub use facts::{Address, CgroupMemory, Facts, PortRange};
pub use fd_limit::{RESERVED_FDS, raise_fd_limit};
pub use json::json;
pub use limit::Limit;
pub use notices::Notice;
pub use reading::read_facts;
pub use remedy::{Remedy, hint, remedy};
pub use text::text;
pub use userspace::Userspace;

use crate::server::Config;

/// The connections that `echoloop serve` allows by default.
fn default_max_connections() -> u64 {
    Config::default().max_connections as u64
}

/// The limits of a machine, what they allow, and how to raise them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the report was computed from.
    pub facts: Facts,
    /// The role of the machine.
    pub role: Role,
    /// Whether the connections have TLS.
    pub has_tls: bool,
    /// The clients in user space, if they are.
    pub userspace: Option<Userspace>,
    /// The number of connections in question, if one is given.
    pub requested: Option<u64>,
    /// The number of connections that the remedies are for: `requested`, or else more than fit now.
    pub goal: u64,
    /// How many connections fit.
    pub capacity: Capacity,
    /// How to raise each limit that is too low for the goal.
    pub remedies: Vec<(Bound, Remedy)>,
    /// Settings that limit no number of connections but slow or drop some.
    pub notices: Vec<Notice>,
}

impl Report {
    /// Computes how many connections fit, and what to change so that `requested` connections fit.
    #[must_use]
    pub fn new(facts: Facts, role: Role, requested: Option<u64>) -> Report {
        let capacity = Capacity::of(&facts);
        Report::of(facts, role, requested, capacity)
    }

    /// As [`Report::new`], for connections with TLS.
    #[must_use]
    pub fn over_tls(facts: Facts, role: Role, requested: Option<u64>) -> Report {
        let capacity = Capacity::over_tls(&facts);
        let report = Report::of(facts, role, requested, capacity);
        Report {
            has_tls: true,
            ..report
        }
    }

    /// As [`Report::new`], for connections whose clients are in user space.
    #[must_use]
    #[cold]
    pub fn in_userspace(
        facts: Facts,
        role: Role,
        requested: Option<u64>,
        userspace: Userspace,
    ) -> Report {
        let capacity = Capacity::userspace(&facts, userspace.ports());
        let notices = userspace.notices(&facts, role);
        let mut report = Report::of(facts, role, requested, capacity);
        report.notices.extend(notices);
        Report {
            userspace: Some(userspace),
            ..report
        }
    }

    fn of(facts: Facts, role: Role, requested: Option<u64>, capacity: Capacity) -> Report {
        let fit = capacity.by_role.of(role).connections.unwrap_or(0);
        let goal =
            requested.unwrap_or_else(|| default_max_connections().max(fit.saturating_mul(2)));
        let remedies = capacity.bounds.iter().filter_map(|bound| {
            let remedy = remedy(&facts, bound, role, goal)?;
            Some((*bound, remedy))
        });
        Report {
            remedies: remedies.collect(),
            notices: notices::notices(&facts, role, requested.unwrap_or(fit), goal),
            facts,
            role,
            has_tls: false,
            userspace: None,
            requested,
            goal,
            capacity,
        }
    }

    /// Whether the connections in question fit; `None` without a number.
    #[must_use]
    pub fn fits(&self) -> Option<bool> {
        let is_possible = self.obstacle().is_none();
        self.requested
            .map(|requested| is_possible && self.capacity.fits(self.role, requested))
    }

    /// Why no connection is possible.
    fn obstacle(&self) -> Option<&str> {
        let userspace = self.userspace.as_ref()?;
        let load_is_here = self.role != Role::Server;
        userspace.error().filter(|_| load_is_here)
    }

    /// How to raise this limit, if it is too low for the goal.
    fn remedy_for(&self, limit: Limit) -> Option<&Remedy> {
        let mut remedies = self.remedies.iter();
        let found = remedies.find(|(bound, _)| bound.limit == limit);
        found.map(|(_, remedy)| remedy)
    }
}
