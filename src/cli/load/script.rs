//! Scripts on the command line: a built-in one, a file, or the texts of a simple one.

use crate::cli::units;
use crate::cli::value::by;
use crate::load::{Script, TextEnd, Texts};
use clap::Args;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct ScriptFlags {
    /// Follow a script: echo, passive, http, websocket, redis, memcached, mqtt, or a file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "echo", value_parser = by(script))]
    script: ScriptArg,

    /// Send TEXT after connecting, with \r \n \xHH and {connection}; its reply ends like that to --message
    #[arg(long, value_name = "TEXT")]
    hello: Option<String>,

    /// Send TEXT as message, with \r \n \xHH, {connection}, {sequence} and {random:N}
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// A reply ends with TEXT
    #[arg(long, value_name = "TEXT", group = "reply")]
    reply_until: Option<String>,

    /// A reply has N bytes
    #[arg(long, value_name = "N", group = "reply", value_parser = by(units::message_size))]
    reply_length: Option<usize>,

    /// A reply is a line
    #[arg(long, group = "reply")]
    reply_line: bool,

    /// With a script: close on a reply larger than SIZE
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = by(units::positive_size))]
    pub(super) max_message: usize,
}

/// A script, or `None` for echoes; an alias, since clap takes a plain `Option` for a flag that may be absent.
type ScriptArg = std::option::Option<Arc<Script>>;

/// A built-in script, or one in a file.
fn script(text: &str) -> Result<ScriptArg, String> {
    if text == "echo" {
        return Ok(None);
    }
    if let Some(script) = Script::built_in(text) {
        return Ok(Some(Arc::new(script)));
    }
    let path = Path::new(text);
    let source = read(path).map_err(|error| {
        let names = Script::BUILT_IN.join(", ");
        format!("cannot read {text}: {error}; built in are echo, {names}")
    })?;
    let source = String::from_utf8(source)
        .map_err(|_| format!("{text} is not UTF-8; write other bytes as \\xHH"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let script = Script::parse(text, &source, |file| read(&folder.join(file)));
    script
        .map(|script| Some(Arc::new(script)))
        .map_err(|error| error.to_string())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}

impl ScriptFlags {
    /// The script, if it is not the default; not resolved yet.
    fn chosen(&self) -> Result<Option<Arc<Script>>, String> {
        let end = match (&self.reply_until, self.reply_length) {
            (Some(text), _) => TextEnd::Until(text),
            (_, Some(length)) => TextEnd::Length(length),
            _ if self.reply_line => TextEnd::Line,
            _ => TextEnd::None,
        };
        let has_end = !matches!(end, TextEnd::None);
        if self.hello.is_none() && self.message.is_none() {
            return if has_end {
                Err("--reply-... needs --message: add what is answered so".to_owned())
            } else {
                Ok(self.script.clone())
            };
        }
        if self.script.is_some() {
            return Err(
                "--script and --message exclude each other: write both into the file".to_owned(),
            );
        }
        if self.message.is_some() && !has_end {
            return Err(
                "--message needs the end of its reply: add --reply-until, --reply-length or --reply-line"
                    .to_owned(),
            );
        }
        let texts = Texts {
            hello: self.hello.as_deref(),
            message: self.message.as_deref(),
            end,
        };
        let script = Script::of_texts(&texts).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(script)))
    }

    /// Whether there is nothing for active connections to send.
    pub(super) fn is_passive(&self) -> bool {
        let chosen = self.chosen().ok().flatten();
        chosen.is_some_and(|script| !script.has_message())
    }

    /// Checks the flags against each other; `active` is the number of active connections, if it is given.
    pub(super) fn check(&self, active: Option<usize>, has_target: bool) -> Result<(), String> {
        let Some(script) = self.chosen()? else {
            return Ok(());
        };
        let name = script.name();
        if !script.has_message() && active.is_some_and(|active| active > 0) {
            return Err(format!(
                "the script {name} has no message for active connections: leave --active out"
            ));
        }
        let is_own = matches!(name, "passive" | "command line");
        if !has_target && Script::BUILT_IN.contains(&name) && !is_own {
            return Err(format!("--script {name} needs the address of a server"));
        }
        Ok(())
    }

    /// The script for this run, which `run` distinguishes, and for the server as it was given.
    pub(super) fn resolve(&self, run: u64, target: &str) -> Result<Option<Arc<Script>>, String> {
        let Some(script) = self.chosen()? else {
            return Ok(None);
        };
        let resolved = script.resolve(run, target);
        resolved
            .map(|script| Some(Arc::new(script)))
            .map_err(|error| error.to_string())
    }
}

/// A number that differs from run to run, and between runs at the same time.
pub(super) fn run_number(started: std::time::Duration) -> u64 {
    let pid = u64::from(std::process::id());
    (pid << 40) ^ u64::try_from(started.as_nanos()).unwrap_or(u64::MAX)
}
