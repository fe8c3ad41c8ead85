//! What several loads say in words, said once.

use crate::load::{Expectation, Part};
use crate::report::units::seconds;
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

/// What was wrong with the parts: what is said alike of several is said once, with how many it is true of. What comes
/// first of a part comes before what comes second of another, and wrong replies before everything.
pub(super) fn warnings(parts: &[Part], shared: f64, whole: f64) -> Vec<String> {
    let mut found: Vec<Said> = Vec::new();
    let deepest = parts.iter().map(|part| part.result.warnings.len()).max();
    for depth in 0..deepest.unwrap_or(0) {
        for part in parts {
            let Some(text) = part.result.warnings.get(depth) else {
                continue;
            };
            match found.iter_mut().find(|said| said.is_like(text)) {
                Some(said) => said.times += 1,
                None => found.push(Said::by(part, text)),
            }
        }
    }
    found.sort_by_key(|said| !said.text.starts_with("WRONG"));
    let mut sentences: Vec<String> = found.iter().map(|said| said.sentence(parts)).collect();
    if shared < whole * SHARED {
        sentences.push(format!(
            "only for {} of {} were all of them measured at the same time: figures per second are means over the whole \
             (begin them together with --start-at)",
            seconds(shared),
            seconds(whole)
        ));
    }
    sentences
}

struct Said {
    host: String,
    text: String,
    /// The text without its figures.
    shape: String,
    times: usize,
}

impl Said {
    fn by(part: &Part, text: &str) -> Said {
        Said {
            host: part.host.clone(),
            text: text.to_owned(),
            shape: shape(text),
            times: 1,
        }
    }

    fn is_like(&self, text: &str) -> bool {
        self.shape == shape(text)
    }

    fn sentence(&self, parts: &[Part]) -> String {
        let (host, text, all) = (&self.host, &self.text, parts.len());
        match self.times {
            1 => format!("one of {all} loads, on {host}: {text}"),
            times => format!("{times} of {all} loads, such as one on {host}: {text}"),
        }
    }
}

fn shape(text: &str) -> String {
    let figure = |character: char| character.is_ascii_digit() || matches!(character, '.' | ',');
    text.chars()
        .filter(|character| !figure(*character))
        .collect()
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
