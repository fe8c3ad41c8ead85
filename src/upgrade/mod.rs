//! Hot upgrade: a new program takes over the listeners and every open connection in the middle of its stream.
//!
//! The old process starts the new program as its child. The channel between them is a Unix socket, the standard input of
//! the child, over which file descriptors are passed (`SCM_RIGHTS`, unix(7)):
//!
//! | old process | | new process |
//! |---|---|---|
//! | starts the program | | |
//! | | ← `Hello` | its formats, its protocol, its limit of file descriptors |
//! | `Rehearsal` → | | the state of some connections, without descriptors |
//! | | ← `Rehearsed` | decodes it and encodes it again: the bytes are to be equal |
//! | stops its event loop | | |
//! | `Begin`, `Connections` ... `End` → | | registers listeners and connections for events, uses none |
//! | | ← `Taken` | |
//! | `Commit` → | | |
//! | | ← `Serving` | runs its event loop |
//! | exits | | |
//!
//! Both have all sockets until the old process exits, so neither FIN nor RST is sent. After any error or timeout before
//! `Serving`, the old process kills the child and continues: its selector still has all events that came meanwhile.

mod any_server;
mod attempt;
mod channel;
mod companion;
mod handover;
mod pid_file;
mod program;
mod state;
mod successor;
mod take_over;

pub use any_server::AnyServer;
pub use companion::{Companion, UpgradeCounts};
pub use handover::{Handover, Progress};
pub use pid_file::{PidFile, report_path};
pub use program::Program;
pub use state::{decode_connections, encode_connections};
pub use take_over::{Begun, TakeOver};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The oldest and the newest format of the state that this program reads. It writes the newest that both read.
const FORMATS: (u32, u32) = (1, 1);

/// What the new process sends first.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hello {
    magic: String,
    oldest_format: u32,
    newest_format: u32,
    build: String,
    protocol: String,
    max_fds: u64,
}

/// Identifies the channel.
const MAGIC: &str = "echoloop upgrade";

/// What the old process sends when its event loop has stopped. Its listeners are passed with it, and after them the
/// socket for queries, if there is one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Begin {
    format: u32,
    pid: u32,
    /// The origin of the clock of the old process.
    origin: u64,
    listeners: u16,
    server: crate::server::SavedServer,
    /// The upgrades before this one; missing in messages of version 0.1.0.
    #[serde(default)]
    upgrades: UpgradeCounts,
}

/// The number of connections that were passed, and a checksum of their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Total {
    connections: u32,
    digest: u32,
}

/// Why an upgrade failed.
type Failure = String;

/// Parses a message in JSON.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    crate::json::parse(bytes).map_err(|error| format!("a message is invalid: {error}"))
}

/// A message as JSON.
fn json(message: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(message).map_err(|error| error.to_string())
}

/// A number with its noun.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
