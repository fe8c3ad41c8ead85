//! The other side: programs that connect to a server, on the same loop and the same connections.
//!
//! [`Sender`] is `echoloop send`: standard input to the server, what comes back to standard output. [`Pinger`] is
//! `echoloop ping`: small verified echoes on schedule. In come a [`Net`](crate::net::Net) and a configuration, out comes
//! how it went, or a [`Failure`] in one line.

mod conversation;
mod dialing;
mod echoes;
mod failure;
mod framing;
mod input;
mod mixing;
mod output;
mod ping;
mod send;
mod summary;
mod unframing;
mod verifying;

pub use conversation::{Conversation, Listening};
pub use dialing::{Dialing, Target};
pub use echoes::{Echoes, Finding};
pub use failure::{Awaited, End, Failure};
pub use framing::{Encoder, Framing, TooLong};
pub use input::Input;
pub use output::Output;
pub use ping::{PingConfig, Pinged, Pinger};
pub use send::{SendConfig, Sender, Sent};
pub use summary::{Style, json_of, line_of, text_of};
pub use unframing::{Decoder, Malformed};
pub use verifying::{Echoing, Verifying};
