//! The JSON conforms to `docs/load.schema.json`, checked by the keywords of JSON Schema that it uses.

use crate::run::{Running, echoloop, load};
use serde_json::Value;
use std::fs;

/// The schema.
fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/load.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The violations of `schema` by `value`. Panics at a keyword that is not implemented.
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
            _ => panic!("{keyword} is not implemented"),
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
pub(crate) fn assert_valid(definition: &str, text: &str) -> Value {
    let root = schema();
    let value: Value = serde_json::from_str(text).unwrap();
    let found = faults(&root, &root["$defs"][definition], &value, definition);
    assert!(found.is_empty(), "{found:#?}");
    assert!(
        faults(&root, &root, &value, "any").is_empty(),
        "it matches one of the definitions"
    );
    value
}

#[test]
fn json_conforms_with_and_without_a_server() {
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
    let refused = load(&["127.0.0.93:1", "--active", "1", "-o", "json"]);
    let value = assert_valid("result", &refused.stdout);
    assert!(value["server"].is_null());
}

#[test]
fn schema_rejects_missing_and_additional_fields() {
    let root = schema();
    let output = load(&[
        "--active",
        "1",
        "--duration",
        "100ms",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    let good: Value = serde_json::from_str(&output.stdout).unwrap();
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
fn jsonl_is_a_start_an_interval_per_second_and_an_end() {
    let output = load(&[
        "--active",
        "1",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "-o",
        "jsonl",
    ]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", output.stdout);
    assert_valid("start", lines[0]);
    assert_valid("interval_record", lines[1]);
    assert_valid("interval_record", lines[2]);
    let end = assert_valid("end", lines[3]);
    assert_eq!(end["intervals"].as_array().unwrap().len(), 2);
}

#[test]
fn saved_file_holds_the_histograms_behind_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let output = load(&[
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
    assert_eq!(output.code, Some(0), "{output:#?}");
    let text = fs::read_to_string(&path).unwrap();
    assert_valid("saved", &text);
    let saved: echoloop::load::Saved = serde_json::from_str(&text).unwrap();
    assert_eq!(saved.result, output.result());
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
fn merged_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.json");
    let of = |name: &str| format!("{}/tests/report/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let (one, other) = (of("together-1"), of("together-2"));
    let merging = ["report", &one, &other, "--save", path.to_str().unwrap()];
    let output = Running::start(echoloop(&merging)).finish();
    assert_eq!(output.code, Some(0), "{output:#?}");
    let value = assert_valid("saved", &fs::read_to_string(&path).unwrap());
    assert_eq!(value["parts"].as_array().unwrap().len(), 2);
}

#[test]
fn comparison_conforms() {
    let of = |name: &str| format!("{}/tests/report/{name}.json", env!("CARGO_MANIFEST_DIR"));
    for (base, new) in [
        ("together-1", "together-2"),
        ("together-1", "idle"),
        ("idle", "together-2"),
    ] {
        let (base, new) = (of(base), of(new));
        let comparing = [
            "report",
            "--compare",
            &base,
            &new,
            "-o",
            "json",
            "--expect",
            "p99<+1000000%",
        ];
        let output = Running::start(echoloop(&comparing)).finish();
        let value = assert_valid("comparison", &output.stdout);
        assert_eq!(
            value["compare"]["rate"]["significant"], false,
            "3 s are too few"
        );
        assert_eq!(value["expect"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn unwritable_file_fails_before_connecting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for flag in ["--save", "--report"] {
        let output = load(&[&target, "--duration", "100ms", flag, "/nonexistent/file"]);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains("cannot save to /nonexistent/file"));
        assert!(listener.accept().is_err(), "it connected");
    }
}
