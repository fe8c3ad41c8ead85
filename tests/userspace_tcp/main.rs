//! The TCP client in user space: its rules, any packets, and an independent TCP server over a network that loses,
//! reorders and duplicates packets.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    missing_docs,
    reason = "a test binary has no public API, and its panics are test failures"
)]

mod any_packet;
mod checked;
mod closing;
mod echo_server;
mod established;
mod model;
mod network;
mod opening;
mod packets;
mod peers;
#[allow(dead_code)]
#[path = "../simulation/rng.rs"]
mod rng;
mod steps;
mod timeouts;
mod wire;
mod world;

/// Whether `smoltcp` accepts all checksums, as it does in fuzz targets.
const IGNORES_CHECKSUMS: bool = false;
