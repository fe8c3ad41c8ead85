//! What several loads say in words, said once.

use crate::load::{Expectation, Part, Warning};

/// The distinct items in alphabetical order, separated by commas.
pub(super) fn distinct(all: &mut dyn Iterator<Item = &str>) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for text in all {
        // An input that was merged before already contains a list.
        for item in text.split(", ") {
            if let Err(place) = distinct.binary_search(&item) {
                distinct.insert(place, item);
            }
        }
    }
    distinct.join(", ")
}

/// The warnings of the parts by type, with their texts: equal warnings are merged, with the number of loads that have
/// them, and `further` ones about all parts. The first warning of a part precedes the second of another, and wrong replies precede everything.
pub(super) fn warnings(parts: &[Part], further: Vec<Warning>) -> (Vec<String>, Vec<Warning>) {
    let of_parts: Vec<Vec<Warning>> = parts
        .iter()
        .map(|part| {
            // What was missing may be among these results.
            let warnings = part.result.typed_warnings();
            warnings
                .filter(|warning| !matches!(warning, Warning::PartsMissing(..)))
                .collect()
        })
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
    let (wrong, others): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(warning, _)| warning.is_wrong_reply());
    let mut all: Vec<(String, Warning)> = wrong
        .into_iter()
        .chain(others)
        .map(|(warning, hosts)| {
            let (loads, hosts) = (hosts.len(), distinct(&mut hosts.into_iter()));
            let text = format!("{loads} of {} loads ({hosts}): {warning}", parts.len());
            (text, warning)
        })
        .collect();
    all.extend(
        further
            .into_iter()
            .map(|warning| (warning.to_string(), warning)),
    );
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
