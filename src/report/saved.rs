//! Reads saved results; the files may contain anything.

use crate::load::{Interval, SAVED_KIND, SCHEMA, Saved, WallTime};
use serde_json::Value;
use std::time::Duration;

/// The longest measured time accepted: a year.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// A saved result with the name of its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    name: String,
    saved: Saved,
    from: WallTime,
    length: Duration,
}

impl Input {
    /// Parses the output of `echoloop load --save` or `echoloop report --save`; `name` is for messages.
    ///
    /// # Errors
    /// The text is not JSON, not a saved result, of another schema version, or inconsistent; one line gives the reason.
    pub fn read(name: &str, text: &[u8]) -> Result<Input, String> {
        let mut value: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is not JSON ({error})"))?;
        let kind = value.get("kind").and_then(Value::as_str);
        if kind != Some(SAVED_KIND) {
            return Err(not_saved(&value));
        }
        let schema = value.pointer("/result/schema").and_then(Value::as_u64);
        if schema != Some(u64::from(SCHEMA)) {
            let schema = schema.map_or("missing".to_owned(), |schema| schema.to_string());
            let writer = value.get("version").and_then(Value::as_str);
            let writer = printable(writer.unwrap_or("of unknown version"));
            return Err(format!(
                "its schema version is {schema}, supported is {SCHEMA}: use the echoloop that wrote it ({writer})"
            ));
        }
        complete(&mut value);
        let saved = crate::json::from_value(value)
            .map_err(|error| format!("it is not a complete saved result ({error})"))?;
        Input::of(name, saved)
    }

    /// Checks a saved result.
    ///
    /// # Errors
    /// The result is inconsistent; one line gives the reason.
    pub fn of(name: &str, saved: Saved) -> Result<Input, String> {
        let result = &saved.result;
        let from = result
            .started
            .parse()
            .map_err(|why| format!("result.started is {why}"))?;
        let seconds = result.seconds;
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(format!("result.seconds is {seconds}, not a valid duration"));
        }
        let (intervals, histograms) = (result.intervals.len(), saved.interval_response_us.len());
        if intervals != histograms {
            return Err(format!(
                "it has {intervals} intervals but histograms of {histograms}"
            ));
        }
        check_intervals(&result.intervals)?;
        check_part(&saved)?;
        Ok(Input {
            name: name.to_owned(),
            saved,
            from,
            length: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        })
    }

    /// The name of the source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The result.
    #[must_use]
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// The result.
    #[must_use]
    pub fn into_saved(self) -> Saved {
        self.saved
    }

    /// When the measured time started.
    #[must_use]
    pub fn from(&self) -> WallTime {
        self.from
    }

    /// When the measured time ended.
    #[must_use]
    pub fn to(&self) -> WallTime {
        self.from + self.length
    }
}

/// Checks that the numbers of parts are possible.
fn check_part(saved: &Saved) -> Result<(), String> {
    let merged = saved.parts.iter().filter_map(|part| part.part);
    let mut all = saved.part.into_iter().chain(merged);
    let wrong = all.find(|part| !(1..=part.of).contains(&part.number));
    wrong.map_or(Ok(()), |part| {
        Err(format!("it is {part}, which does not exist"))
    })
}

/// Checks that the intervals are in order.
fn check_intervals(intervals: &[Interval]) -> Result<(), String> {
    let mut last = 0.0;
    for Interval { at, .. } in intervals {
        if !(last..=MAX_SECONDS).contains(at) {
            return Err(format!(
                "an interval ends at {at} s, after one that ends at {last} s"
            ));
        }
        last = *at;
    }
    Ok(())
}

/// Adds the counts that a result of an older version does not have: there `sent` is what was due, and what was never
/// answered was not distinguished.
fn complete(saved: &mut Value) {
    let add = |result: &mut Value| {
        if let Some(echo) = result.get_mut("echo").and_then(Value::as_object_mut)
            && !echo.contains_key("due")
        {
            for (new, old) in [
                ("due", "sent"),
                ("outstanding", "unanswered"),
                ("missing", "unanswered"),
            ] {
                let count = echo.get(old).cloned().unwrap_or_default();
                echo.insert(new.to_owned(), count);
            }
        }
    };
    if let Some(result) = saved.get_mut("result") {
        add(result);
    }
    let parts = saved.get_mut("parts").and_then(Value::as_array_mut);
    let results = parts.into_iter().flatten();
    results
        .filter_map(|part| part.get_mut("result"))
        .for_each(add);
}

fn not_saved(value: &Value) -> String {
    let is_result = value.get("schema").is_some() && value.get("target").is_some();
    let reason = if is_result {
        "it is a result without histograms: write it with --save FILE.json, not with -o json"
    } else {
        "it is not a saved result: write one with `echoloop load --save FILE.json`"
    };
    reason.to_owned()
}

/// Replaces characters that could move a terminal's cursor or change the direction of text.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' => '\n',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn rejection(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(sample::load()).unwrap();
        change(&mut value);
        Input::read("x", value.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn saved_result_is_read_back_unchanged() {
        let saved = sample::load();
        let text = serde_json::to_vec(&saved).unwrap();
        let input = Input::read("x", &text).unwrap();
        assert_eq!(input.saved(), &saved);
        assert_eq!(input.to().since(input.from()), Duration::from_secs(3));
    }

    #[test]
    fn result_of_an_older_version_gets_the_counts_it_lacks() {
        let mut saved = sample::load();
        saved.result.echo.unanswered = 2;
        saved.parts = saved.to_parts();
        let mut value = serde_json::to_value(&saved).unwrap();
        for result in ["/result/echo", "/parts/0/result/echo"] {
            let echo = value.pointer_mut(result).unwrap().as_object_mut().unwrap();
            for key in [
                "due",
                "outstanding",
                "missing",
                "response_time_lower_bounds",
            ] {
                echo.remove(key).unwrap();
            }
        }
        let histograms = value["histograms"].as_object_mut().unwrap();
        histograms.remove("lower_bounds_us").unwrap();
        let input = Input::read("x", value.to_string().as_bytes()).unwrap();
        let part = &input.saved().parts[0].result.echo;
        for echo in [&input.saved().result.echo, part] {
            assert_eq!((echo.due, echo.sent, echo.received), (6, 6, 6));
            assert_eq!((echo.outstanding, echo.missing), (2, 2));
            assert_eq!(echo.response_time_lower_bounds.count, 0);
        }
    }

    #[test]
    fn other_input_is_rejected_with_a_remedy() {
        assert!(
            Input::read("x", b"{")
                .unwrap_err()
                .starts_with("it is not JSON")
        );
        assert!(Input::read("x", b"[]").unwrap_err().contains("--save"));
        let result = serde_json::to_vec(&sample::load().result).unwrap();
        let rejected = Input::read("x", &result).unwrap_err();
        assert!(rejected.contains("not with -o json"), "{rejected}");
    }

    #[test]
    fn other_schema_is_rejected_with_the_version_of_its_writer() {
        let rejected = rejection(|value| {
            value["result"]["schema"] = 2.into();
            value["version"] = "7.0\u{1b}[2J".into();
        });
        assert!(
            rejected.contains("version is 2") && rejected.contains("7.0"),
            "{rejected}"
        );
        assert!(!rejected.contains('\u{1b}'), "{rejected:?}");
    }

    #[test]
    fn inconsistent_result_is_rejected() {
        let rejected = rejection(|value| value["result"]["started"] = "yesterday".into());
        assert!(rejected.contains("not an RFC 3339 time"), "{rejected}");
        let rejected = rejection(|value| value["result"]["seconds"] = (-1.0).into());
        assert!(rejected.contains("-1"), "{rejected}");
        let rejected = rejection(|value| value["result"]["seconds"] = 1e300.into());
        assert!(rejected.contains("seconds"), "{rejected}");
        let rejected = rejection(|value| value["part"] = serde_json::json!({"number": 5, "of": 4}));
        assert!(rejected.contains("part 5 of 4"), "{rejected}");
        let rejected = rejection(|value| value["interval_response_us"] = Value::Array(Vec::new()));
        assert!(rejected.contains("3 intervals"), "{rejected}");
        let rejected = rejection(|value| value["result"]["intervals"][1]["at"] = 0.5.into());
        assert!(rejected.contains("0.5 s"), "{rejected}");
        let rejected = rejection(|value| value["result"]["echo"] = Value::Null);
        assert!(
            rejected.contains("not a complete saved result"),
            "{rejected}"
        );
    }

    #[test]
    fn control_and_direction_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\r"), "a\u{fffd}[2Jb\nc\u{fffd}");
        assert_eq!(printable("a\u{202e}b"), "a\u{fffd}b");
    }
}
