//! What `echoloop send` and `echoloop ping` promise, asked of the real executable over real sockets.
//!
//! One binary of tests. Each module says at its top what belongs there; [`peers`] are servers good and bad, [`clients`]
//! starts and watches the program under test. Only loopback, every wait with a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod clients;
mod peers;

// As the tests of `serve` have them, which use more of them.
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

mod connecting;
mod failing;
mod foreign;
mod input;
mod names;
mod output;
mod ping;
mod pressure;
mod usage;
