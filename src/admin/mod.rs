//! The admin listener of `serve`: its figures over HTTP, for monitoring and for browsers.
//!
//! It is a second [`Server`] of the same engine, with the protocol [`Http`] and an epoll instance that the first server
//! watches ([`MioNet::watch_net`]). So one thread waits for both in one call, and connections of users have no code or
//! memory for it. The program runs one iteration of it whenever the first server reports [`Source::ADMIN`].
//!
//! | path | content |
//! |---|---|
//! | `/metrics` | the figures in the text format 0.0.4 of Prometheus |
//! | `/status.json` | the same as JSON |
//! | `/healthz` | 200 `ok`, or 503 `draining` |
//! | `/` | a page with the same figures and charts, which are updated every second |
//!
//! [`Snapshot`] has all figures; the program provides one at most every 100 ms.
//!
//! [`Server`]: crate::server::Server
//! [`MioNet::watch_net`]: crate::net::MioNet::watch_net
//! [`Source::ADMIN`]: crate::net::Source::ADMIN

mod http;
mod listener;
mod metrics;
mod page;
mod pages;
mod process;
mod request;
mod respond;
mod snapshot;
mod status;
mod text_format;

pub use http::{Http, HttpSession};
pub use listener::{Admin, MAX_ADMIN_CONNECTIONS};
pub use metrics::metrics;
pub use page::page;
pub use process::{Process, ProcessFigures};
pub use snapshot::{Messages, Snapshot, label};
pub use status::status;
