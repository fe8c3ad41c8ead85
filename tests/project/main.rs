//! The structure of the project: the order of its modules, the library's dependencies, and the examples.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod dependencies;
mod example;
mod modules;
