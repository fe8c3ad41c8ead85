//! Reads a script from TOML. Each fault is reported with its line and column.

use super::check::{Check, Relation};
use super::error::{Fault, ScriptError};
use super::exchange::{Exchange, Expect, Framing, Send};
use super::reply_end::ReplyEnd;
use super::template::Template;
use super::{Keepalive, Script};
use std::io;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file, or a table of it.
type Value<'i> = Spanned<DeValue<'i>>;

type Result<T> = std::result::Result<T, ScriptError>;

const EXCHANGE_KEYS: &[&str] = &["send", "expect"];
const KEEPALIVE_KEYS: &[&str] = &["every", "send", "expect"];
const SEND_KEYS: &[&str] = &["text", "file", "frame", "websocket"];
const CHECK_KEYS: &[&str] = &["equals", "starts_with", "ends_with", "matches"];
const END_KEYS: &[&str] = &[
    "until",
    "length",
    "line",
    "frame",
    "http",
    "resp",
    "mqtt",
    "websocket",
];

/// The largest frame or reply length that a script may name.
const MAX_LENGTH: u64 = 1 << 30;

/// The longest interval of keepalives, in seconds.
const MAX_INTERVAL: f64 = 1e9;

/// Compiles the script in `source`, which was read from `file`; `read` reads further files.
pub(super) fn parse(
    file: &str,
    source: &str,
    mut read: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Script> {
    let read = &mut read;
    Reader { file, source, read }.script()
}

/// A file being read.
struct Reader<'s, 'r> {
    file: &'s str,
    source: &'s str,
    read: &'r mut dyn FnMut(&str) -> io::Result<Vec<u8>>,
}

impl<'s> Reader<'s, '_> {
    fn script(&mut self) -> Result<Script> {
        let table = DeTable::parse(self.source).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            let remedy = "a script is TOML: see https://toml.io";
            self.fail(&span.clone(), Fault::new(what, remedy))
        })?;
        let table = table.get_ref();
        self.check_keys(table, &["hello", "message", "keepalive"], "a script")?;
        let mut script = Script {
            name: self.file.to_owned(),
            hello: Vec::new(),
            message: None,
            keepalive: None,
        };
        if let Some(value) = table.get("hello") {
            script.hello = match value.get_ref() {
                DeValue::Array(steps) => {
                    let steps = steps.iter();
                    steps
                        .map(|step| self.exchange(step, "hello"))
                        .collect::<Result<_>>()?
                }
                _ => vec![self.exchange(value, "hello")?],
            };
        }
        if let Some(value) = table.get("message") {
            let message = self.exchange(value, "message")?;
            if message.send.is_none() || message.expect.is_none() {
                let what = "[message] needs both `send` and `expect`";
                let remedy =
                    "the reply ends the time that is measured; without one, use [keepalive]";
                return Err(self.fail(&value.span(), Fault::new(what, remedy)));
            }
            script.message = Some(message);
        }
        if let Some(value) = table.get("keepalive") {
            script.keepalive = Some(self.keepalive(value)?);
        }
        Ok(script)
    }

    fn keepalive(&mut self, value: &Value<'s>) -> Result<Keepalive> {
        let table = self.table(value, "[keepalive]")?;
        self.check_keys(table, KEEPALIVE_KEYS, "[keepalive]")?;
        let every = table.get("every").ok_or_else(|| {
            self.fail(
                &value.span(),
                Fault::new("[keepalive] without `every`", "add every = \"30s\""),
            )
        })?;
        let interval = match every.get_ref() {
            DeValue::String(text) => interval(text),
            _ => None,
        };
        let interval = interval.ok_or_else(|| {
            let what = "`every` is not a duration";
            self.fail(
                &every.span(),
                Fault::new(what, "write \"500ms\", \"30s\" or \"5m\""),
            )
        })?;
        let exchange = self.exchange_of(table)?;
        if exchange.send.is_none() {
            let fault = Fault::new(
                "[keepalive] without `send`",
                "add what idle connections send",
            );
            return Err(self.fail(&value.span(), fault));
        }
        Ok(Keepalive {
            every: interval,
            exchange,
        })
    }

    /// An exchange with `send`, `expect`, or both.
    fn exchange(&mut self, value: &Value<'s>, part: &str) -> Result<Exchange> {
        let part = format!("[{part}]");
        let table = self.table(value, &part)?;
        self.check_keys(table, EXCHANGE_KEYS, &part)?;
        let exchange = self.exchange_of(table)?;
        if exchange.send.is_none() && exchange.expect.is_none() {
            let what = format!("{part} has neither `send` nor `expect`");
            return Err(self.fail(
                &value.span(),
                Fault::new(what, "add one, or leave the part out"),
            ));
        }
        Ok(exchange)
    }

    fn exchange_of(&mut self, table: &DeTable<'s>) -> Result<Exchange> {
        Ok(Exchange {
            send: table
                .get("send")
                .map(|value| self.send(value))
                .transpose()?,
            expect: table
                .get("expect")
                .map(|value| self.expect(value))
                .transpose()?,
        })
    }

    /// A text, or a table with a text or a file and what precedes it.
    fn send(&mut self, value: &Value<'s>) -> Result<Send> {
        if matches!(value.get_ref(), DeValue::String(_)) {
            return Ok(Send {
                template: self.template(value, "send")?,
                framing: Framing::None,
            });
        }
        let table = self.table(value, "`send`")?;
        self.check_keys(table, SEND_KEYS, "`send`")?;
        let template = match (table.get("text"), table.get("file")) {
            (Some(text), None) => self.template(text, "text")?,
            (None, Some(path)) => self.file_bytes(path)?,
            _ => {
                let fault = Fault::new("`send` needs `text` or `file`", "give one of them");
                return Err(self.fail(&value.span(), fault));
            }
        };
        let framing = match (table.get("frame"), table.get("websocket")) {
            (None, None) => Framing::None,
            (Some(width), None) => Framing::Length(self.width(width)?),
            (None, Some(on)) => {
                self.is_true(on, "websocket")?;
                Framing::WebSocket
            }
            (Some(_), Some(second)) => {
                let fault = Fault::new("both `frame` and `websocket`", "leave one of them out");
                return Err(self.fail(&second.span(), fault));
            }
        };
        Ok(Send { template, framing })
    }

    fn file_bytes(&mut self, value: &Value<'s>) -> Result<Template> {
        let path = self.string(value, "file")?;
        match (self.read)(path) {
            Ok(bytes) => Ok(Template::of_bytes(bytes)),
            Err(error) => {
                let what = format!("cannot read {path}: {error}");
                let remedy = "give a path relative to the script";
                Err(self.fail(&value.span(), Fault::new(what, remedy)))
            }
        }
    }

    fn expect(&mut self, value: &Value<'s>) -> Result<Expect> {
        let table = self.table(value, "`expect`")?;
        let known = [END_KEYS, CHECK_KEYS].concat();
        self.check_keys(table, &known, "`expect`")?;
        let mut end = None;
        for key in END_KEYS {
            let Some(value) = table.get(*key) else {
                continue;
            };
            if end.is_some() {
                let what = format!("a second end of the reply, `{key}`");
                return Err(self.fail(&value.span(), Fault::new(what, "leave one of them out")));
            }
            end = Some(self.reply_end(key, value)?);
        }
        let end = end.ok_or_else(|| {
            let remedy = format!("add one of {}", quoted(END_KEYS));
            self.fail(
                &value.span(),
                Fault::new("`expect` without the end of the reply", remedy),
            )
        })?;
        let mut checks = Vec::new();
        for (key, relation) in [
            ("equals", Relation::Equals),
            ("starts_with", Relation::StartsWith),
            ("ends_with", Relation::EndsWith),
        ] {
            if let Some(value) = table.get(key) {
                checks.push(Check::text(relation, self.template(value, key)?));
            }
        }
        if let Some(value) = table.get("matches") {
            let text = self.string(value, "matches")?;
            let check = Check::pattern(text);
            checks.push(check.map_err(|fault| self.fail(&value.span(), fault))?);
        }
        Ok(Expect { end, checks })
    }

    fn reply_end(&self, key: &str, value: &Value<'s>) -> Result<ReplyEnd> {
        if !matches!(key, "until" | "length" | "frame") {
            self.is_true(value, key)?;
        }
        Ok(match key {
            "until" => {
                let template = self.template(value, key)?;
                if !template.is_constant() || template.is_empty() {
                    let what = "`until` is empty or has a placeholder";
                    let fault = Fault::new(what, "give the bytes that end every reply");
                    return Err(self.fail(&value.span(), fault));
                }
                ReplyEnd::Until(template.prefix().to_vec())
            }
            "length" => {
                let length = integer(value).filter(|length| (1..=MAX_LENGTH).contains(length));
                let length = length.and_then(|length| usize::try_from(length).ok());
                ReplyEnd::Length(length.ok_or_else(|| {
                    let fault =
                        Fault::new("`length` is not a number of bytes", "write length = 128");
                    self.fail(&value.span(), fault)
                })?)
            }
            "frame" => ReplyEnd::Frame(self.width(value)?),
            "line" => ReplyEnd::Line,
            "resp" => ReplyEnd::Resp,
            "mqtt" => ReplyEnd::Mqtt,
            "websocket" => ReplyEnd::WebSocket,
            _ => ReplyEnd::Http { is_head: false },
        })
    }

    fn width(&self, value: &Value<'s>) -> Result<usize> {
        match integer(value) {
            Some(1) => Ok(1),
            Some(2) => Ok(2),
            Some(4) => Ok(4),
            _ => {
                let what = "`frame` is the number of bytes of the length: 1, 2 or 4";
                Err(self.fail(&value.span(), Fault::new(what, "write frame = 4")))
            }
        }
    }

    fn is_true(&self, value: &Value<'s>, key: &str) -> Result<()> {
        if matches!(value.get_ref(), DeValue::Boolean(true)) {
            return Ok(());
        }
        let remedy = format!("write {key} = true, or leave it out");
        let what = format!("`{key}` is not true");
        Err(self.fail(&value.span(), Fault::new(what, remedy)))
    }

    fn template(&self, value: &Value<'s>, key: &str) -> Result<Template> {
        let text = self.string(value, key)?;
        let template = Template::parse(text);
        template.map_err(|fault| self.fail(&value.span(), fault))
    }

    fn string<'v>(&self, value: &'v Value<'s>, key: &str) -> Result<&'v str> {
        if let DeValue::String(text) = value.get_ref() {
            return Ok(text);
        }
        let what = format!("`{key}` is not text");
        let remedy = "write it between quotation marks";
        Err(self.fail(&value.span(), Fault::new(what, remedy)))
    }

    fn table<'v>(&self, value: &'v Value<'s>, what: &str) -> Result<&'v DeTable<'s>> {
        if let DeValue::Table(table) = value.get_ref() {
            return Ok(table);
        }
        let fault = Fault::new(format!("{what} is not a table"), "write { ... }");
        Err(self.fail(&value.span(), fault))
    }

    /// Fails at the first key that is not known.
    fn check_keys(&self, table: &DeTable<'s>, known: &[&str], of: &str) -> Result<()> {
        let keys = table.keys();
        let unknown = keys.filter(|key| !known.contains(&&**key.get_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let what = format!("unknown key `{}` in {of}", key.get_ref());
        let remedy = format!("known are {}", quoted(known));
        Err(self.fail(&key.span(), Fault::new(what, remedy)))
    }

    fn fail(&self, span: &Range<usize>, fault: Fault) -> ScriptError {
        ScriptError::at(self.file, self.source, span, fault)
    }
}

fn quoted(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

fn integer(value: &Value<'_>) -> Option<u64> {
    match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// A duration such as `500ms`, `30s`, `5m` or `1h`, more than zero.
fn interval(text: &str) -> Option<Duration> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let number = |(unit, seconds): (&str, f64)| Some((text.strip_suffix(unit)?, seconds));
    let (number, seconds) = units.into_iter().find_map(number)?;
    let is_plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| is_plain)? * seconds;
    (0.001..MAX_INTERVAL)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}
