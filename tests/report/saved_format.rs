//! The format of saved results: a file of an earlier version keeps its keys and values.

use echoloop::load::Saved;

/// Of `load --jobs 2 --save`, so with two parts.
const SAVED: &str = include_str!("jobs.json");

/// The same of an earlier version, without the keys that were added since.
const EARLIER: &str = include_str!("jobs-before-userspace-tcp.json");

#[test]
fn saved_result_of_an_earlier_version_is_read_as_the_same() {
    let [earlier, later] =
        [EARLIER, SAVED].map(|text| serde_json::from_str::<Saved>(text).unwrap());
    assert_eq!(earlier, later);
}

#[test]
fn saved_result_is_read_and_written_as_it_is() {
    let saved: Saved = serde_json::from_str(SAVED).unwrap();
    assert_eq!(saved.parts.len(), 2);
    assert_eq!(serde_json::to_string(&saved).unwrap() + "\n", SAVED);
}
