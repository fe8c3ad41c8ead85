//! The connection limits of this machine: file descriptors, ports, memory and others, how many connections they allow,
//! which limit is reached first, and how to raise each.
//!
//! [`read_facts`] reads the machine; the rest is pure: [`Report::new`] computes, [`text()`] and [`json()`] format.

mod capacity;
mod facts;
mod figures;
mod json;
mod notices;
mod reading;
mod remedy;
#[cfg(test)]
mod tests;
mod text;

pub use crate::net::Limit;
pub use capacity::{Bound, Capacity, PerRole, Role, RoleCapacity, ports_per_address, sources};
pub use facts::{Address, CgroupMemory, Facts, PortRange};
pub use json::json;
pub use notices::Notice;
pub use reading::read_facts;
pub use remedy::{Remedy, hint, remedy};
pub use text::text;

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
            requested,
            goal,
            capacity,
        }
    }

    /// Whether the connections in question fit; `None` without a number.
    #[must_use]
    pub fn fits(&self) -> Option<bool> {
        self.requested
            .map(|requested| self.capacity.fits(self.role, requested))
    }

    /// How to raise this limit, if it is too low for the goal.
    fn remedy_for(&self, limit: Limit) -> Option<&Remedy> {
        let mut remedies = self.remedies.iter();
        let found = remedies.find(|(bound, _)| bound.limit == limit);
        found.map(|(_, remedy)| remedy)
    }
}
