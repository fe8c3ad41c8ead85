//! JSON in and out.
//!
//! The types of results are large, and so is the code that reads and writes them. Here all input takes one way, and all
//! output another, so that the program has that code once.

mod objects;

pub use objects::Objects;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Result, Value};

/// Reads a value. By way of a [`Value`]: reading from text would be a second way.
///
/// # Errors
/// The text is not JSON, or not of that type.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).and_then(from_value)
}

/// Reads a value from parsed JSON.
///
/// # Errors
/// The JSON is not of that type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(Objects(value))
}

/// A value as indented JSON, as [`serde_json::to_string_pretty`] writes it: that would be a second way.
///
/// # Errors
/// The value has no JSON form.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map(|compact| indented(&compact))
}

/// Indents JSON that has no white space.
fn indented(compact: &str) -> String {
    let mut text = String::with_capacity(2 * compact.len());
    let new_line = |text: &mut String, depth| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    let mut depth = 0;
    let (mut is_in_string, mut is_escaped) = (false, false);
    let mut rest = compact.chars().peekable();
    while let Some(character) = rest.next() {
        if is_in_string {
            is_in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            text.push(character);
            continue;
        }
        if matches!(character, ']' | '}') {
            depth -= 1;
            new_line(&mut text, depth);
        }
        text.push(character);
        match character {
            '"' => is_in_string = true,
            ':' => text.push(' '),
            ',' => new_line(&mut text, depth),
            '[' | '{' => {
                if let Some(end) = rest.next_if(|next| matches!(next, ']' | '}')) {
                    text.push(end);
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pretty_is_as_serde_json_writes_it() {
        for value in [
            json!(null),
            json!(-1.5e300),
            json!("\\\"[{,:\u{1f600}\n"),
            json!([]),
            json!({}),
            json!([[], {}, [[1]], {"a": {}}]),
            json!({"a\"": [1, "\\", {"b, c": "}", "d": [true, null]}], "\\": {"e": []}}),
        ] {
            let expected = serde_json::to_string_pretty(&value).unwrap();
            assert_eq!(pretty(&value).unwrap(), expected);
        }
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Any {
        Unit,
        New(Box<Fields>),
        Pair(u64, String),
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    struct Fields {
        #[serde(default)]
        number: f64,
        list: Vec<(u8, bool)>,
        option: Option<Box<Fields>>,
    }

    #[test]
    fn types_of_all_kinds_are_read() {
        let text = br#"["Unit", {"Pair": [7, "a"]}, {"New": {"number": 1, "list": [[2, true]],
            "option": {"number": -0.5, "list": [], "further": {"a": [null]}, "option": null}}}]"#;
        let inner = Fields {
            number: -0.5,
            ..Fields::default()
        };
        let outer = Fields {
            number: 1.0,
            list: vec![(2, true)],
            option: Some(Box::new(inner)),
        };
        let expected = [
            Any::Unit,
            Any::Pair(7, "a".to_owned()),
            Any::New(Box::new(outer)),
        ];
        assert_eq!(parse::<Vec<Any>>(text).unwrap(), expected);
    }

    #[test]
    fn wrong_structures_are_rejected() {
        for text in [
            r#"{"Unit": 1}"#,
            r#""New""#,
            r#""Other""#,
            r#"{"Pair": [7, "a", 8]}"#,
            r#"{"Pair": [7]}"#,
            r#"{"Unit": null, "Pair": [7, "a"]}"#,
            r#"{"New": [1, [], null]}"#,
            r#"{"New": {"number": 1}}"#,
            "7",
        ] {
            assert!(parse::<Any>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn value_of_another_type_is_rejected() {
        assert_eq!(parse::<Vec<u64>>(b"[1, 2]").unwrap(), [1, 2]);
        assert!(parse::<Vec<u64>>(b"[1, -2]").is_err());
        assert!(parse::<Vec<u64>>(b"[1, 2").is_err());
    }
}
