//! The trap that an unknown name may mean.

use super::TRAPS;

/// The name of the trap that is the most similar to `name`, if any is similar.
#[must_use]
pub fn similar(name: &str) -> Option<&'static str> {
    let distances = TRAPS.map(|trap| (distance(name, trap.name), trap.name));
    let (distance, found) = distances.into_iter().min()?;
    let is_part = || TRAPS.iter().find(|trap| trap.name.contains(name));
    if distance <= found.len() / 2 {
        Some(found)
    } else {
        is_part().filter(|_| name.len() > 2).map(|trap| trap.name)
    }
}

/// The number of characters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_and_partial_names_are_found() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        for (name, expected) in [
            ("egde", Some("edge")),
            ("timewait", Some("time-wait")),
            ("half_close", Some("half-close")),
            ("reader", Some("slow-reader")),
            ("pipe", Some("sigpipe")),
            ("q", None),
            ("something-else", None),
        ] {
            assert_eq!(similar(name), expected, "{name}");
        }
    }
}
