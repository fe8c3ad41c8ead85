//! A report as JSON, with stable keys.

use super::Report;
use super::capacity::{Bound, PerRole, Role, TLS_SESSION_BYTES, ports_per_address, sources};
use super::facts::Facts;
use super::figures;
use super::notices::Notice;
use super::remedy::Remedy;
use super::userspace::{Userspace, UserspaceView};
use serde::Serialize;

/// The version of the keys: raised when a key is removed or changes its meaning.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    role: Role,
    #[serde(rename = "asked")]
    requested: Option<u64>,
    fits: Option<bool>,
    carries: PerRole<Carries>,
    /// The number of connections that each `raise` is for.
    raise_for: u64,
    limits: Vec<Row<'a>>,
    notices: &'a [Notice],
    facts: &'a Facts,
    ports_per_address: Option<u64>,
    source_addresses: Option<u64>,
    /// Only for connections with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_session_bytes: Option<PerRole<u64>>,
    /// Only for clients in user space.
    #[serde(skip_serializing_if = "Option::is_none")]
    userspace_tcp: Option<UserspaceView<'a>>,
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
    /// For the connections and the role of the report.
    enough: Option<bool>,
    raise: Option<&'a Remedy>,
}

/// The report as one JSON object, over several lines.
///
/// # Errors
/// None is known: every part of a report has a JSON form.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let carries = PerRole::from_each(|role| {
        let capacity = report.capacity.by_role.of(role);
        Carries {
            connections: capacity.connections,
            limited_by: capacity.limited_by.map(figures::key),
        }
    });
    let bounds = report.capacity.bounds.iter();
    crate::json::pretty(&Document {
        schema: SCHEMA,
        role: report.role,
        requested: report.requested,
        fits: report.fits(),
        carries,
        raise_for: report.goal,
        limits: bounds.map(|bound| row(report, bound)).collect(),
        notices: &report.notices,
        facts: &report.facts,
        ports_per_address: ports_per_address(&report.facts),
        source_addresses: sources(&report.facts),
        tls_session_bytes: report.has_tls.then_some(TLS_SESSION_BYTES),
        userspace_tcp: report.userspace.as_ref().map(Userspace::view),
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
            .requested
            .map(|count| bound.is_enough(report.role, count)),
        raise: report.remedy_for(bound.limit),
    }
}
