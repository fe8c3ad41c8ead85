//! Whether two runs can be compared, and what distinguishes them apart from the server.

use crate::load::{Configuration, Saved};
use crate::report::saved::{Input, printable};
use crate::report::units::short;
use std::time::Duration;

/// Checks that a comparison has a meaning.
pub(super) fn check(base: &Input, new: &Input) -> Result<(), String> {
    let (one, other) = (base.name(), new.name());
    let (parts, others) = (base.saved().to_parts(), new.saved().to_parts());
    if parts.iter().any(|part| others.contains(part)) {
        return Err(format!(
            "{one} and {other} cannot be compared: both contain the same load; measure twice"
        ));
    }
    for input in [base, new] {
        if input.to().since(input.from()) == Duration::ZERO {
            let name = input.name();
            return Err(format!(
                "{name} cannot be compared: the load ended before the measured time"
            ));
        }
    }
    Ok(())
}

/// What distinguishes the loads, then the warnings of both runs.
pub(super) fn warnings(base: &Saved, new: &Saved) -> Vec<String> {
    // Without messages in both, their settings do not matter.
    let has_messages = base.configuration.active > 0 && new.configuration.active > 0;
    let (one, other) = (settings(base, has_messages), settings(new, has_messages));
    let differing = one
        .into_iter()
        .zip(other)
        .filter(|(one, other)| one != other);
    let mut all: Vec<String> = differing
        .map(|((name, one), (_, other))| {
            printable(&format!("different loads: {name} {one} and {other}"))
        })
        .collect();
    for (side, saved) in [("base", base), ("new", new)] {
        let warnings = saved.result.warnings.iter();
        all.extend(warnings.map(|warning| printable(&format!("{side}: {warning}"))));
    }
    all
}

/// All that should be the same in both runs, by name.
fn settings(saved: &Saved, has_messages: bool) -> Vec<(&'static str, String)> {
    let configuration = &saved.configuration;
    let Configuration {
        idle,
        active,
        size_bytes,
        pipeline,
        ..
    } = configuration;
    let rate = configuration.rate.map_or("max".to_owned(), short);
    let ramp = configuration.ramp.map_or("max".to_owned(), short);
    let mut all = vec![
        ("--idle", idle.to_string()),
        ("--active", active.to_string()),
        ("--ramp", ramp),
        ("loads merged", saved.parts.len().max(1).to_string()),
        ("load host", saved.host.clone()),
        ("echoloop version", saved.version.clone()),
    ];
    if has_messages {
        let churn = configuration.churn.as_deref().unwrap_or("off");
        all.splice(
            2..2,
            [
                ("--rate", rate),
                ("--size", size_bytes.to_string()),
                ("--pipeline", pipeline.to_string()),
                ("--churn", churn.to_owned()),
            ],
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn differing_settings_are_named_with_both_values() {
        let base = sample::load();
        let mut new = base.clone();
        assert_eq!(warnings(&base, &new), [""; 0]);
        new.configuration.size_bytes = 1024;
        new.configuration.rate = None;
        new.host = "there\u{1b}".to_owned();
        new.result.target = "127.0.0.1:9000".to_owned();
        new.result.warnings = vec!["SATURATED".to_owned()];
        let expected = [
            "different loads: --rate 10 and max",
            "different loads: --size 128 and 1024",
            "different loads: load host here and there\u{fffd}",
            "new: SATURATED",
        ];
        assert_eq!(warnings(&base, &new), expected);
    }

    #[test]
    fn idle_run_differs_from_an_active_one_in_its_connections() {
        let base = sample::load();
        let mut new = base.clone();
        new.configuration.active = 0;
        new.configuration.size_bytes = 0;
        assert_eq!(
            warnings(&base, &new)[0],
            "different loads: --active 2 and 0"
        );
    }
}
