//! The engine of a TCP server: one thread, one event loop over [mio](https://docs.rs/mio), back-pressure, timeouts,
//! limits on connections and memory, and a drain. A server adds a protocol, which has no access to sockets or clock.
//!
//! # A first server
//!
//! The reply to a line is the line in reverse. The client runs in the same thread: the kernel establishes its
//! connection before the server accepts it, and buffers its input.
//!
//! ```
//! use echoloop::net::{ListenOptions, MioNet};
//! use echoloop::protocol::Line;
//! use echoloop::server::{Config, Server};
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, SocketAddr, TcpStream};
//!
//! fn main() -> std::io::Result<()> {
//!     // A line of more than 1000 bytes closes its connection.
//!     let reverse = Line::new(1000, |line, reply| {
//!         let reversed: Vec<u8> = line.iter().rev().copied().collect();
//!         reply.write(&reversed);
//!     });
//!     let mut server = Server::new(MioNet::new()?, reverse, Config::default());
//!     let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
//!     let address = server.listen(&ListenOptions::new(any_port))?;
//!
//!     let mut client = TcpStream::connect(address)?;
//!     client.write_all(b"stressed\nlive\n")?;
//!     client.shutdown(Shutdown::Write)?;
//!
//!     // A server that runs until SIGTERM has `MioNet::with_signals()`, and calls `run` instead.
//!     while server.counters().closed_in_all() == 0 {
//!         server.run_iteration()?;
//!     }
//!     let mut replies = String::new();
//!     client.read_to_string(&mut replies)?;
//!     assert_eq!(replies, "desserts\nevil\n");
//!     Ok(())
//! }
//! ```
//!
//! A protocol that is more than requests and replies implements [`protocol::Protocol`] and [`protocol::Session`], as
//! `examples/shout.rs` does.
//!
//! # The path of a byte
//!
//! ```text
//! kernel -> Net::wait -> key -> slot -> Connection::drive
//!                                         read into the shared scratch buffer
//!                                         -> Session::receive(input, outbox)
//!                                         -> one write
//!                                         -> output buffer, only for what the kernel does not accept
//! kernel <- -----------------------------
//! ```
//!
//! A raw echo costs one `recv` and one `send`: no copy, no allocation, no other system call.
//!
//! # Modules
//!
//! Imports run in one direction: each module uses only modules above it.
//!
//! | module | subject |
//! |---|---|
//! | [`time`] | points in time as plain numbers |
//! | [`memory`] | allocations that can fail |
//! | [`histogram`] | counts of values by their size |
//! | [`protocol`] | [`Protocol`](protocol::Protocol) and [`Session`](protocol::Session): bytes in, bytes out; the protocols |
//! | [`net`] | sockets, clock and signals behind the [`Net`](net::Net) trait; the only module of the library that makes system calls on file descriptors |
//! | [`reactor`] | the event loop: slots, deadlines, run queue; no protocol, no policy |
//! | [`connection`] | one connection: session, state, pending output |
//! | [`server`] | listeners, admission, counters, drain |
//!
//! # Features
//!
//! The feature `program` is on by default. It adds the program `echoloop`, with its modules, which are not part of the
//! library's interface, and their dependencies; `lab`, also on by default, adds the command `lab` to it.
//! `default-features = false` builds the library alone.

pub mod connection;
pub mod histogram;
pub mod memory;
pub mod net;
pub mod protocol;
pub mod reactor;
pub mod server;
pub mod time;

// The modules of the program. They are public for its binary, tests and benches only. Lints require their documentation.
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod admin;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod cli;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod client;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod doctor;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod echo;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod json;
#[cfg(feature = "lab")]
#[cfg_attr(doc, doc(hidden))]
pub mod lab;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod load;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod logging;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod numbers;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod proxy;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod report;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod sorting;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod stdio;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod stdout;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod tls;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod trace;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod upgrade;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod userspace;
#[cfg(feature = "program")]
#[cfg_attr(doc, doc(hidden))]
pub mod wrap;
