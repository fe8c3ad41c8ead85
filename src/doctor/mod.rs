//! What this machine allows: descriptors, ports, memory and the rest, how many connections they carry, which limit is
//! met first, and how each is raised.
//!
//! [`read_facts`] looks at the machine; all else is pure: [`Report::new`] concludes, [`text()`] and [`json()`] show.

mod facts;
mod figures;
mod json;
mod notices;
mod reading;
mod remedy;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

pub use crate::net::Limit;
pub use facts::{Address, CgroupMemory, Facts, PortRange};
pub use json::json;
pub use notices::Notice;
pub use reading::read_facts;
pub use remedy::{Remedy, hint, remedy};
pub use text::text;
pub use verdict::{Bound, Carried, PerRole, Role, Verdict, ports_per_address, sources};

use crate::server::Config;

/// What there is to say of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it was concluded from.
    pub facts: Facts,
    /// As what the machine is to carry connections.
    pub role: Role,
    /// How many were asked about.
    pub asked: Option<u64>,
    /// For how many the remedies are: those asked about, or else more than the machine carries now.
    pub goal: u64,
    /// What it carries, and why.
    pub verdict: Verdict,
    /// What raises each limit that is too low for the goal.
    pub remedies: Vec<(Bound, Remedy)>,
    /// What limits nothing, and yet is good to know.
    pub notices: Vec<Notice>,
}

impl Report {
    /// Concludes from the facts what the machine carries, and what would have to change to carry what was `asked`.
    #[must_use]
    pub fn new(facts: Facts, role: Role, asked: Option<u64>) -> Report {
        let verdict = Verdict::of(&facts);
        let carried = verdict.carries.of(role).connections.unwrap_or(0);
        let most_by_default = u64::try_from(Config::default().max_connections).unwrap_or(u64::MAX);
        let goal = asked.unwrap_or_else(|| most_by_default.max(carried.saturating_mul(2)));
        let remedies = verdict.bounds.iter().filter_map(|bound| {
            let remedy = remedy(&facts, bound, role, goal)?;
            Some((*bound, remedy))
        });
        Report {
            remedies: remedies.collect(),
            notices: notices::notices(&facts, &verdict, role, asked, goal),
            facts,
            role,
            asked,
            goal,
            verdict,
        }
    }

    /// Whether as many as were asked about fit; `None` if nothing was asked.
    #[must_use]
    pub fn fits(&self) -> Option<bool> {
        self.asked.map(|asked| self.verdict.fits(self.role, asked))
    }

    /// What raises this limit, if it is too low for the goal.
    fn remedy_for(&self, limit: Limit) -> Option<&Remedy> {
        let mut remedies = self.remedies.iter();
        let found = remedies.find(|(bound, _)| bound.limit == limit);
        found.map(|(_, remedy)| remedy)
    }
}
