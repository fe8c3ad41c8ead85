//! What the project says of itself: the map of its rooms, and its example.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod example;
mod rooms;
