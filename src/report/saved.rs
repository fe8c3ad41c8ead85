//! Saved results, read from files that may hold anything.

use crate::load::{Interval, SAVED_KIND, SCHEMA, Saved, WallTime};
use serde_json::Value;
use std::time::Duration;

/// The longest measured part that is believed: a year.
const LONGEST_SECONDS: f64 = 366.0 * 86_400.0;

/// A saved result, with the name of where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    name: String,
    saved: Saved,
    from: WallTime,
    length: Duration,
}

impl Input {
    /// Reads what `echoloop load --save` or `echoloop report --save` has written; `name` is for messages.
    ///
    /// # Errors
    /// It is not JSON, is something else, of another version, or contradicts itself: why, in one line.
    pub fn read(name: &str, text: &[u8]) -> Result<Input, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is not JSON ({error})"))?;
        let kind = value.get("kind").and_then(Value::as_str);
        if kind != Some(SAVED_KIND) {
            return Err(not_saved(&value));
        }
        let schema = value.pointer("/result/schema").and_then(Value::as_u64);
        if schema != Some(u64::from(SCHEMA)) {
            let schema = schema.map_or("no version".to_owned(), |found| format!("version {found}"));
            let writer = value.get("version").and_then(Value::as_str);
            return Err(format!(
                "its form is of {schema} and this program reads version {SCHEMA}: use the echoloop that wrote it ({})",
                printable(writer.unwrap_or("unknown"))
            ));
        }
        let saved = serde_json::from_value(value)
            .map_err(|error| format!("it is no whole saved load ({error})"))?;
        Input::of(name, saved)
    }

    /// What was saved, checked.
    ///
    /// # Errors
    /// It contradicts itself: why, in one line.
    pub fn of(name: &str, saved: Saved) -> Result<Input, String> {
        let result = &saved.result;
        let from = result
            .started
            .parse()
            .map_err(|why| format!("result.started is {why}"))?;
        if !(0.0..=LONGEST_SECONDS).contains(&result.seconds) {
            return Err(format!(
                "result.seconds is {}, which no measured part lasts",
                result.seconds
            ));
        }
        if result.intervals.len() != saved.interval_response_us.len() {
            return Err(format!(
                "it has {} intervals and the times of {}",
                result.intervals.len(),
                saved.interval_response_us.len()
            ));
        }
        check_intervals(&result.intervals)?;
        let length = Duration::try_from_secs_f64(result.seconds).unwrap_or_default();
        let name = name.to_owned();
        Ok(Input {
            name,
            saved,
            from,
            length,
        })
    }

    /// Where it came from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was saved.
    #[must_use]
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// What was saved.
    #[must_use]
    pub fn into_saved(self) -> Saved {
        self.saved
    }

    /// When the measured part began.
    #[must_use]
    pub fn from(&self) -> WallTime {
        self.from
    }

    /// When the measured part ended.
    #[must_use]
    pub fn to(&self) -> WallTime {
        self.from + self.length
    }
}

/// Each ends after the one before it.
fn check_intervals(intervals: &[Interval]) -> Result<(), String> {
    let mut last = 0.0;
    for interval in intervals {
        let is_later = interval.at >= last && interval.at <= LONGEST_SECONDS;
        if !is_later {
            return Err(format!(
                "an interval ends at {} s, after one that ends at {last} s",
                interval.at
            ));
        }
        last = interval.at;
    }
    Ok(())
}

fn not_saved(value: &Value) -> String {
    if value.get("schema").is_some() && value.get("target").is_some() {
        return "it is the result without its histograms: \
                write it with --save FILE.json, not with -o json"
            .to_owned();
    }
    "it is no saved load: write one with `echoloop load --save FILE.json`".to_owned()
}

/// Without what could move the cursor of a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' => '\n',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(sample::load()).unwrap();
        change(&mut value);
        Input::read("x", value.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn what_was_saved_is_read_as_it_was() {
        let saved = sample::load();
        let text = serde_json::to_vec(&saved).unwrap();
        let input = Input::read("x", &text).unwrap();
        assert_eq!(input.saved(), &saved);
        assert_eq!(input.to().since(input.from()), Duration::from_secs(3));
    }

    #[test]
    fn what_is_no_saved_load_is_refused_with_what_to_do() {
        assert!(
            Input::read("x", b"{")
                .unwrap_err()
                .starts_with("it is not JSON")
        );
        assert!(Input::read("x", b"[]").unwrap_err().contains("--save"));
        let result = serde_json::to_vec(&sample::load().result).unwrap();
        let refused = Input::read("x", &result).unwrap_err();
        assert!(refused.contains("not with -o json"), "{refused}");
    }

    #[test]
    fn another_version_is_refused_with_the_one_that_wrote_it() {
        let refused = refusal(|value| {
            value["result"]["schema"] = 2.into();
            value["version"] = "7.0\u{1b}[2J".into();
        });
        assert!(
            refused.contains("version 2") && refused.contains("7.0"),
            "{refused}"
        );
        assert!(!refused.contains('\u{1b}'), "{refused:?}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = refusal(|value| value["result"]["started"] = "yesterday".into());
        assert!(refused.contains("RFC 3339"), "{refused}");
        let refused = refusal(|value| value["result"]["seconds"] = (-1.0).into());
        assert!(refused.contains("-1"), "{refused}");
        let refused = refusal(|value| value["result"]["seconds"] = 1e300.into());
        assert!(refused.contains("seconds"), "{refused}");
        let refused = refusal(|value| value["interval_response_us"] = Value::Array(Vec::new()));
        assert!(refused.contains("3 intervals"), "{refused}");
        let refused = refusal(|value| value["result"]["intervals"][1]["at"] = 0.5.into());
        assert!(refused.contains("0.5 s"), "{refused}");
        let refused = refusal(|value| value["result"]["echo"] = Value::Null);
        assert!(refused.contains("no whole saved load"), "{refused}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\r"), "a\u{fffd}[2Jb\nc\u{fffd}");
    }
}
