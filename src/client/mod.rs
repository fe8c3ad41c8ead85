//! Client programs, on the same event loop and connections as the server.
//!
//! [`Sender`] is `echoloop send`: standard input to a server, replies to standard output. [`Pinger`] is
//! `echoloop ping`: small verified echoes at an interval. Both take a [`Net`](crate::net::Net) and a configuration and
//! return a report, or a [`Failure`] that is printed in one line. [`find_reachable`] chooses among the addresses of a
//! name, [`compare_clocks`] finds the offset of a server's clock.

mod clock;
mod connector;
mod decoder;
mod echo_tracker;
mod failure;
mod framing;
mod handshake;
mod input;
mod ping;
mod ping_session;
mod ping_state;
mod reachable;
mod send;
mod send_session;
mod send_state;
mod summary;

pub use clock::{ClockOffset, compare_clocks};
pub use connector::{Connector, Target};
pub use decoder::{Decoder, Malformed};
pub use echo_tracker::{EchoEvent, EchoTracker};
pub use failure::{Awaited, End, Failure};
pub use framing::{Encoder, Framing, TooLong};
pub use input::Input;
pub use ping::{PingConfig, PingReport, Pinger};
pub use ping_session::{PingProtocol, PingSession};
pub use reachable::find_reachable;
pub use send::{SendConfig, SendReport, Sender};
pub use send_session::{SendProtocol, SendSession};
pub use summary::{Style, json_of, line_of, text_of};
