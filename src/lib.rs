//! A TCP echo daemon, a load tester for very many idle connections, and an event loop to study: one thread, one mio
//! selector, every client multiplexed over it.
//!
//! # The way of a byte
//!
//! ```text
//! kernel -> Net::wait -> key -> slot -> Connection::drive
//!                                         read into the loop's one scratch buffer
//!                                         -> Session::receive(input, outbox)
//!                                         -> one write
//!                                         -> owed, only if the peer does not read
//! kernel <- -----------------------------
//! ```
//!
//! A message of raw echo costs one `recv` and one `send`: no copy, no allocation, no other system call.
//!
//! # The rooms
//!
//! Imports run one way; each room may use those above it.
//!
//! | room | what it is for |
//! |---|---|
//! | [`time`] | points in time as plain numbers |
//! | [`numbers`] | numbers as people read them |
//! | [`protocol`] | what is spoken: bytes in, bytes out, and nothing else |
//! | [`net`] | sockets, the clock and signals behind the [`net::Net`] trait; the only room that makes system calls on descriptors |
//! | [`reactor`] | the loop: slots, deadlines, run queue; knows no protocol and no policy |
//! | [`connection`] | one connection: session, what it owes, and where it stands |
//! | [`stdout`] | standard output that never blocks the loop |
//! | [`server`] | listeners, admission, counters, drain |
//! | [`doctor`] | what this machine allows: its limits, what they carry, and how each is raised |
//! | [`echo`] | verified echoes: messages, the verification of replies, the summary of their times |
//! | [`client`] | the other side: standard input to a server and back, and echoes on schedule |
//! | [`load`] | the load tester: idle connections, echoes on schedule, and what was found |
//! | [`report`] | results, as people and programs read them |
//! | [`logging`] | log lines that can neither stop nor end the loop |
//! | [`cli`] | the flags, turned into checked configurations |
//!
//! # A server of your own
//!
//! A [`protocol::Protocol`] and its [`protocol::Session`] are all that a server of another kind needs; see
//! `examples/shout.rs`. Where each request has one reply, a closure is enough: [`protocol::Line`] and
//! [`protocol::Frame`] take it, and `examples/calculator.rs` shows that.

pub mod cli;
pub mod client;
pub mod connection;
pub mod doctor;
pub mod echo;
pub mod load;
pub mod logging;
pub mod memory;
pub mod net;
pub mod numbers;
pub mod protocol;
pub mod reactor;
pub mod report;
pub mod server;
pub mod stdout;
pub mod time;
