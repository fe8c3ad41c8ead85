//! The parts of one load (`load --part I/N`): all must be present, each once, before their sum is that load.

use crate::load::{PartNumber, Saved, Warning};
use crate::report::saved::Input;
use crate::sorting;
use std::collections::BTreeMap;

/// Checks the parts among saved results; `expected` is the number of parts if all results are to be parts of one load.
/// Returns a warning about those that are missing. Results that are no part are not checked unless `expected` is given.
///
/// # Errors
/// A part is there twice, or results are parts of different numbers, or one is none where parts are expected; one line
/// names the results.
pub fn check_parts(inputs: &[Input], expected: Option<u32>) -> Result<Option<Warning>, String> {
    let mut of = expected.map(|count| (count, None));
    let mut found: BTreeMap<u32, &str> = BTreeMap::new();
    for input in inputs {
        let name = input.name();
        for part in parts_of(input, expected)? {
            let (count, first) = *of.get_or_insert((part.of, Some(input)));
            if part.of != count {
                return Err(match first {
                    Some(first) => format!(
                        "{} and {name} cannot be merged: the first is part of {count}, the second {part}",
                        first.name()
                    ),
                    None => format!("{name} cannot be merged: it is {part}, and not of {count}"),
                });
            }
            if let Some(other) = found.insert(part.number, name) {
                return Err(format!(
                    "{other} and {name} cannot be merged: both are {part}, which would count twice"
                ));
            }
        }
    }
    Ok(of.and_then(|(count, _)| {
        let missing = missing(found.keys().copied(), count);
        (!missing.is_empty()).then_some(Warning::PartsMissing(missing, count))
    }))
}

/// The parts of a result: one, or several if it was merged.
fn parts_of(input: &Input, expected: Option<u32>) -> Result<Vec<PartNumber>, String> {
    let saved = input.saved();
    let merged = saved.parts.iter().map(|part| part.part);
    let mut all: Vec<_> = match saved.part {
        None if !saved.parts.is_empty() => merged.collect(),
        own => vec![own],
    };
    // The processes of `--jobs` are of the same part.
    sorting::sort(&mut all);
    all.dedup();
    if let Some(count) = expected
        && all.contains(&None)
    {
        let name = input.name();
        return Err(format!(
            "{name} is no part of {count}: write it with `echoloop load --part 1/{count}` to {count}/{count}"
        ));
    }
    Ok(all.into_iter().flatten().collect())
}

/// The numbers from 1 to `count` that are not `found`, which is in order: `2, 5-7`.
fn missing(found: impl Iterator<Item = u32>, count: u32) -> String {
    let mut gaps = Vec::new();
    let mut next = 1;
    let end = u64::from(count) + 1;
    for number in found.map(u64::from).chain([end]) {
        match number - next {
            0 => {}
            1 => gaps.push(next.to_string()),
            _ => gaps.push(format!("{next}-{}", number - 1)),
        }
        next = number + 1;
    }
    gaps.join(", ")
}

/// Puts a warning in front of all others, in place of an earlier one about missing parts.
pub fn put_first(saved: &mut Saved, warning: &Warning) {
    let result = &mut saved.result;
    let mut warnings: Vec<Warning> = result.typed_warnings().collect();
    let mut texts = std::mem::take(&mut result.warnings);
    let is_old = |warning: &Warning| matches!(warning, Warning::PartsMissing(..));
    let mut kept = warnings.iter().map(|warning| !is_old(warning));
    texts.retain(|_| kept.next().unwrap_or(true));
    warnings.retain(|warning| !is_old(warning));
    texts.insert(0, warning.to_string());
    warnings.insert(0, warning.clone());
    (result.warnings, result.warning_details) = (texts, warnings);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::report::{Targets, merge};

    fn part(number: u32, of: u32) -> Saved {
        let mut saved = sample::load();
        saved.part = Some(PartNumber { number, of });
        saved.host = format!("host{number}");
        saved
    }

    fn inputs(all: Vec<Saved>) -> Vec<Input> {
        let named = all.into_iter().zip(["a", "b", "c", "d"]);
        let read = named.map(|(saved, name)| Input::of(name, saved).unwrap());
        read.collect()
    }

    fn check(all: Vec<Saved>, expected: Option<u32>) -> Result<Option<Warning>, String> {
        check_parts(&inputs(all), expected)
    }

    fn missing_of(numbers: &str, of: u32) -> Warning {
        Warning::PartsMissing(numbers.to_owned(), of)
    }

    #[test]
    fn complete_parts_and_results_without_part_need_no_warning() {
        let all = || vec![part(2, 3), part(1, 3), part(3, 3)];
        assert_eq!(check(all(), None), Ok(None));
        assert_eq!(check(all(), Some(3)), Ok(None));
        assert_eq!(check(vec![sample::load(), sample::load()], None), Ok(None));
        let mut beside = all();
        beside.push(sample::load());
        assert_eq!(check(beside, None), Ok(None));
    }

    #[test]
    fn missing_parts_are_named() {
        let two = || vec![part(2, 4), part(4, 4)];
        assert_eq!(check(two(), None), Ok(Some(missing_of("1, 3", 4))));
        assert_eq!(check(two(), Some(4)), Ok(Some(missing_of("1, 3", 4))));
        assert_eq!(
            check(vec![part(5, 9)], None),
            Ok(Some(missing_of("1-4, 6-9", 9))),
            "ranges"
        );
        assert_eq!(check(Vec::new(), Some(4)), Ok(Some(missing_of("1-4", 4))));
        assert_eq!(
            check(vec![part(1, u32::MAX)], None),
            Ok(Some(missing_of("2-4294967295", u32::MAX)))
        );
    }

    #[test]
    fn parts_that_are_there_twice_or_of_another_load_are_rejected() {
        let rejected = |all, expected| check(all, expected).unwrap_err();
        let twice = rejected(vec![part(1, 2), part(2, 2), part(2, 2)], None);
        assert!(
            twice.starts_with("b and c") && twice.contains("part 2 of 2"),
            "{twice}"
        );
        let mixed = rejected(vec![part(1, 2), part(2, 3)], None);
        assert!(
            mixed.starts_with("a and b") && mixed.contains("part of 2, the second part 2 of 3")
        );
        let other = rejected(vec![part(1, 2), part(2, 2)], Some(3));
        assert!(other.contains("it is part 1 of 2, and not of 3"), "{other}");
        let none = rejected(vec![part(1, 2), sample::load()], Some(2));
        assert!(none.starts_with("b is no part of 2"), "{none}");
    }

    #[test]
    fn merged_result_keeps_the_numbers_of_its_parts() {
        let both = merge(inputs(vec![part(1, 3), part(3, 3)]), Targets::One).unwrap();
        assert_eq!(both.part, None);
        assert_eq!(
            check(vec![both.clone()], None),
            Ok(Some(missing_of("2", 3)))
        );
        assert_eq!(check(vec![both.clone(), part(2, 3)], Some(3)), Ok(None));
        let twice = check(vec![both, part(3, 3)], None).unwrap_err();
        assert!(twice.contains("both are part 3 of 3"), "{twice}");
    }

    #[test]
    fn processes_of_one_part_are_one_part() {
        let mut other = part(1, 2);
        other.host = "other".to_owned();
        let jobs = merge(inputs(vec![part(1, 2), other]), Targets::One).unwrap();
        assert_eq!(jobs.part, Some(PartNumber { number: 1, of: 2 }));
        assert_eq!(check(vec![jobs, part(2, 2)], None), Ok(None));
    }

    #[test]
    fn missing_parts_come_first_and_once_and_are_not_merged() {
        let mut saved = part(1, 3);
        saved.result.warnings = vec!["it burns".to_owned()];
        let missing = check(vec![saved.clone()], None).unwrap().unwrap();
        put_first(&mut saved, &missing);
        put_first(&mut saved, &missing);
        let text = "parts 2-3 of 3 are missing: the figures are those of the other parts only";
        assert_eq!(saved.result.warnings, [text, "it burns"]);
        assert_eq!(saved.result.warning_details[0], missing);
        let both = merge(inputs(vec![saved, part(2, 3)]), Targets::One).unwrap();
        let [burns, clocks] = &both.result.warnings[..] else {
            panic!("{:?}", both.result.warnings);
        };
        assert!(burns.ends_with("it burns"), "{burns}");
        assert_eq!(clocks, &Warning::ClocksNotCompared(2).to_string());
    }
}
