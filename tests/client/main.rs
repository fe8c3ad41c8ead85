//! Tests of `echoloop send` and `echoloop ping`: the real executable over real sockets.
//!
//! The first line of each module states what it tests; [`peers`] has the servers, [`clients`] runs the program under test.
//! All tests use loopback only, and every wait has a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod certificates;
mod clients;
mod peers;

// Shared with the tests of `serve`.
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

// Shared with the tests of `load`.
#[allow(dead_code, reason = "the tests of load use the rest")]
#[path = "../load/python.rs"]
mod python;

mod connecting;
mod failing;
mod foreign;
mod hosts_file;
mod input;
mod names;
mod output;
mod ping;
mod pressure;
mod tls;
mod usage;
