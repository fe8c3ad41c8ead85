//! A report as JSON. The keys are stable: scripts rely on them.

use super::Report;
use super::facts::Facts;
use super::figures;
use super::notices::Notice;
use super::remedy::Remedy;
use super::verdict::{Bound, PerRole, Role, ports_per_address, sources};
use serde::Serialize;

/// The version of the keys: raised when one is taken away or means something else.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    role: Role,
    asked: Option<u64>,
    fits: Option<bool>,
    carries: PerRole<Carries>,
    /// For how many connections each `raise` is.
    raise_for: u64,
    limits: Vec<Row<'a>>,
    notices: &'a [Notice],
    facts: &'a Facts,
    ports_per_address: Option<u64>,
    source_addresses: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
struct Carries {
    connections: Option<u64>,
    limited_by: Option<&'static str>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'static str,
    setting: &'static str,
    limits: &'static str,
    value: u64,
    taken: u64,
    allows: PerRole<Option<u64>>,
    /// For what was asked, in the role that was asked for.
    enough: Option<bool>,
    raise: Option<&'a Remedy>,
}

/// The report as one JSON object, over several lines.
///
/// # Errors
/// None that is known: every part of a report has a form in JSON.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let carries = PerRole::from_each(|role| {
        let carried = report.verdict.carries.of(role);
        Carries {
            connections: carried.connections,
            limited_by: carried.limited_by.map(figures::key),
        }
    });
    serde_json::to_string_pretty(&Document {
        schema: SCHEMA,
        role: report.role,
        asked: report.asked,
        fits: report.fits(),
        carries,
        raise_for: report.goal,
        limits: report
            .verdict
            .bounds
            .iter()
            .map(|bound| row(report, bound))
            .collect(),
        notices: &report.notices,
        facts: &report.facts,
        ports_per_address: ports_per_address(&report.facts),
        source_addresses: sources(&report.facts),
    })
}

fn row<'a>(report: &'a Report, bound: &Bound) -> Row<'a> {
    Row {
        name: figures::key(bound.limit),
        setting: figures::setting(bound.limit),
        limits: figures::meaning(bound.limit),
        value: bound.value,
        taken: bound.taken,
        allows: PerRole::from_each(|role| bound.allows(role)),
        enough: report
            .asked
            .map(|asked| bound.is_enough(report.role, asked)),
        raise: report.remedy_for(bound.limit),
    }
}
