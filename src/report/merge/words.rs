//! What several loads say in words, said once.

use crate::load::{Expectation, Part, Warning};
use crate::numbers::whole as milliseconds;
use std::collections::BTreeSet;

/// The part of the whole time in which all must have been measured, or it is said.
const SHARED: f64 = 0.9;

/// The distinct items in alphabetical order, separated by commas.
pub(super) fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> String {
    // An input that was merged before already contains a list.
    let all: BTreeSet<&str> = all.flat_map(|text| text.split(", ")).collect();
    let all: Vec<&str> = all.into_iter().collect();
    all.join(", ")
}

/// The warnings of the parts by type, with their texts: equal warnings are merged, with the number of loads that have
/// them. The first warning of a part precedes the second of another, and wrong replies precede everything.
pub(super) fn warnings(parts: &[Part], shared: f64, whole: f64) -> (Vec<String>, Vec<Warning>) {
    let of_parts: Vec<Vec<Warning>> = parts
        .iter()
        .map(|part| part.result.typed_warnings().collect())
        .collect();
    let mut found: Vec<(Warning, Vec<&str>)> = Vec::new();
    for depth in 0..of_parts.iter().map(Vec::len).max().unwrap_or(0) {
        for (part, warnings) in parts.iter().zip(&of_parts) {
            let Some(warning) = warnings.get(depth) else {
                continue;
            };
            match found
                .iter_mut()
                .find_map(|(known, hosts)| known.merge(warning).then_some(hosts))
            {
                Some(hosts) => hosts.push(&part.host),
                None => found.push((warning.clone(), vec![&part.host])),
            }
        }
    }
    found.sort_by_key(|(warning, _)| !warning.is_wrong_reply());
    let mut all: Vec<(String, Warning)> = found
        .into_iter()
        .map(|(warning, hosts)| {
            let (loads, hosts) = (hosts.len(), distinct(hosts.into_iter()));
            let text = format!("{loads} of {} loads ({hosts}): {warning}", parts.len());
            (text, warning)
        })
        .collect();
    if shared < whole * SHARED {
        let [shared, whole] = [shared, whole].map(|seconds| milliseconds(seconds * 1e3));
        let overlap = Warning::PartialOverlap(shared, whole);
        all.push((overlap.to_string(), overlap));
    }
    all.into_iter().unzip()
}

/// The expectations of all parts. An expectation is met if all parts that have it met it; otherwise it has the value of
/// a part that missed it.
pub(super) fn expectations(parts: &[Part]) -> Vec<Expectation> {
    let mut all: Vec<Expectation> = Vec::new();
    for expectation in parts.iter().flat_map(|part| &part.result.expect) {
        match all.iter_mut().find(|known| known.expr == expectation.expr) {
            None => all.push(expectation.clone()),
            Some(known) if known.met && !expectation.met => *known = expectation.clone(),
            Some(_) => {}
        }
    }
    all
}
