//! End-to-end tests of `echoloop serve`: the real executable over real sockets.
//!
//! One test binary. [`harness`] starts and observes the daemon, [`client`] holds test clients, [`attackers`] are
//! clients that fill the daemon's memory, [`machine`] reads process and socket state from the kernel, [`tools`] runs
//! third-party programs, [`chromium`] loads pages. The tests use loopback addresses and port 0; every wait has a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test reports a failure by a panic with a message"
)]

mod attackers;
mod chromium;
mod client;
mod harness;
mod machine;
mod ports;
mod tools;

mod accept_queues;
mod accepting;
mod access;
mod admin;
mod clocks;
mod closing;
mod collecting;
mod deadlines;
mod draining;
mod echo;
mod environment;
mod fd_exhaustion;
mod floods;
mod foreign;
mod frames;
mod kernel;
mod limits;
mod lines;
mod log_lines;
mod logging;
mod memory_exhaustion;
mod namespace;
mod proxy;
mod reporting;
mod resets;
mod signals;
mod steady_readers;
mod suspension;
mod syscalls;
mod tls;
mod trace;
mod trace_file;
#[cfg(feature = "lab")]
mod trace_of;
mod upgrade;
mod urgent;
mod usage;
