//! The JSON is as the schema says: `docs/load.schema.json`, as far as that uses JSON Schema.

use crate::run::{Running, echoloop, load};
use serde_json::Value;
use std::fs;

/// The definition of this name in the schema.
fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/load.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What is wrong with `value`, by the keywords that the schema uses; an unknown keyword is a mistake in this test.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                found.extend(faults(root, &root["$defs"][name], value, at));
                true
            }
            "type" => is_of_type(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| Some(number) >= rule.as_f64()),
            "anyOf" => {
                let rules = rule.as_array().unwrap();
                rules
                    .iter()
                    .any(|rule| faults(root, rule, value, at).is_empty())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, item, &format!("{at}[{index}]")));
                }
                true
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        found.extend(faults(root, rule, member, &format!("{at}.{name}")));
                    }
                }
                true
            }
            "required" => {
                let names = rule.as_array().unwrap();
                names
                    .iter()
                    .all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let members = value.as_object().into_iter().flatten();
                members
                    .into_iter()
                    .all(|(name, _)| known.get(name).is_some())
            }
            _ => panic!("{keyword} is not understood here"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {rule} does not hold"));
        }
    }
    found
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    rule.as_array()
        .map_or_else(|| is(rule), |names| names.iter().any(is))
}

#[track_caller]
fn assert_valid(definition: &str, text: &str) -> Value {
    let root = schema();
    let value: Value = serde_json::from_str(text).unwrap();
    let found = faults(&root, &root["$defs"][definition], &value, definition);
    assert!(found.is_empty(), "{found:#?}");
    assert!(
        faults(&root, &root, &value, "any").is_empty(),
        "it is one of those listed"
    );
    value
}

#[test]
fn json_is_as_the_schema_says_with_a_server_and_without() {
    let own = load(&[
        "--active",
        "1",
        "--idle",
        "1",
        "--rate",
        "50",
        "--duration",
        "200ms",
        "--warmup",
        "0",
        "-o",
        "json",
        "--expect",
        "p99<5s",
    ]);
    let value = assert_valid("result", &own.stdout);
    assert!(value["server"].is_object());
    assert_eq!(value["expect"][0]["met"], true);
    let nobody = load(&["127.0.0.93:1", "--active", "1", "-o", "json"]);
    let value = assert_valid("result", &nobody.stdout);
    assert!(value["server"].is_null());
}

#[test]
fn the_schema_finds_what_is_missing_and_what_is_too_much() {
    let root = schema();
    let said = load(&[
        "--active",
        "1",
        "--duration",
        "100ms",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    let good: Value = serde_json::from_str(&said.stdout).unwrap();
    let mut missing = good.clone();
    missing["echo"].as_object_mut().unwrap().remove("sent");
    let mut surplus = good.clone();
    surplus["echo"]["new"] = 1.into();
    let mut wrong = good;
    wrong["connections"]["failed"]["refused"] = "none".into();
    for broken in [missing, surplus, wrong] {
        let found = faults(&root, &root["$defs"]["result"], &broken, "result");
        assert_eq!(found.len(), 1, "{found:#?}");
    }
}

#[test]
fn jsonl_is_a_start_a_line_for_each_second_and_an_end() {
    let said = load(&[
        "--active",
        "1",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "-o",
        "jsonl",
    ]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.stdout);
    assert_valid("start", lines[0]);
    assert_valid("interval_record", lines[1]);
    assert_valid("interval_record", lines[2]);
    let end = assert_valid("end", lines[3]);
    assert_eq!(end["intervals"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_saved_holds_what_is_needed_to_add_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let said = load(&[
        "--active",
        "2",
        "--rate",
        "100",
        "--duration",
        "1500ms",
        "--warmup",
        "0",
        "-o",
        "json",
        "--save",
        path.to_str().unwrap(),
    ]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let text = fs::read_to_string(&path).unwrap();
    assert_valid("saved", &text);
    let saved: echoloop::load::Saved = serde_json::from_str(&text).unwrap();
    assert_eq!(saved.result, said.result());
    assert_eq!(saved.configuration.rate, Some(100.0));
    assert_eq!(saved.command[1], "load");
    let response = echoloop::load::Distribution::of_counts(&saved.histograms.response_us);
    let summary = &saved.result.echo.response_time_us;
    assert_eq!(
        (response.count(), response.percentile(99.0)),
        (150, summary.p99)
    );
    assert_eq!(
        saved.interval_response_us.len(),
        saved.result.intervals.len()
    );
    let second = echoloop::load::Distribution::of_counts(&saved.interval_response_us[0]);
    assert_eq!(second.count(), saved.result.intervals[0].echoes);
}

#[test]
fn what_is_merged_is_saved_as_the_schema_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.json");
    let of = |name: &str| format!("{}/tests/report/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let (one, other) = (of("together-1"), of("together-2"));
    let merging = ["report", &one, &other, "--save", path.to_str().unwrap()];
    let said = Running::start(echoloop(&merging)).finish();
    assert_eq!(said.code, Some(0), "{said:#?}");
    let value = assert_valid("saved", &fs::read_to_string(&path).unwrap());
    assert_eq!(value["parts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_result_that_cannot_be_saved_is_told_before_anything_is_measured() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for flag in ["--save", "--report"] {
        let said = load(&[&target, "--duration", "100ms", flag, "/nonexistent/file"]);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.stderr.contains("cannot save to /nonexistent/file"));
        assert!(listener.accept().is_err(), "nobody was connected to");
    }
}
