//! What `echoloop serve` promises, asked of the real executable over real sockets, from outside.
//!
//! One binary of tests. Each module says at its top what belongs there; [`harness`] starts and watches
//! the daemon, [`client`] is the other end of the wire, [`attackers`] take the daemon's memory, [`machine`]
//! reads what the kernel knows of both, [`tools`] runs other people's programs.
//! Only loopback, only port 0, every wait with a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod attackers;
mod client;
mod harness;
mod machine;
mod tools;

mod accepting;
mod closing;
mod collecting;
mod deadlines;
mod descriptors;
mod draining;
mod echo;
mod floods;
mod foreign;
mod frames;
mod idle;
mod kernel;
mod limits;
mod lines;
mod log_lines;
mod logging;
mod namespace;
mod queues;
mod resets;
mod scarcity;
mod signals;
mod steady_readers;
mod stops;
mod urgent;
mod usage;
