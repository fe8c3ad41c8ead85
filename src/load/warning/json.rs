//! Warnings in JSON: `{"kind": ..., "figures": ...}`.
//!
//! serde has a form of enums with two keys, which costs 40 kB: it reads the figures before the kind, too. In the form that
//! is derived here, the kind is the only key.

use super::Warning;
use crate::json::Objects;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::{Map, Value};

#[derive(serde::Serialize, serde::Deserialize)]
struct Typed {
    kind: String,
    figures: Value,
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Warning::Other(value) = self {
            return value.serialize(serializer);
        }
        let derived = Warning::serialize(self, serde_json::value::Serializer);
        let Value::Object(derived) = derived.map_err(S::Error::custom)? else {
            return Err(S::Error::custom("a warning without figures"));
        };
        let mut typed = derived.into_iter();
        let typed = typed.next().map(|(kind, figures)| Typed { kind, figures });
        typed.serialize(serializer)
    }
}

/// What is not known is kept as it is.
impl<'de> Deserialize<'de> for Warning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Warning, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(known(&value).unwrap_or(Warning::Other(value)))
    }
}

fn known(value: &Value) -> Option<Warning> {
    let Typed { kind, figures } = crate::json::from_value(value.clone()).ok()?;
    let mut derived = Map::new();
    derived.insert(kind, figures);
    Warning::deserialize(Objects(Value::Object(derived))).ok()
}
