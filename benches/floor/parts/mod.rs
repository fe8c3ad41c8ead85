//! The parts of the bench.

mod accept;
mod admin;
mod churn;
mod correct;
mod echo;
mod idle_crowd;
mod instructions;
mod memory;
mod reuse_port;
mod spin;
mod start;
mod trace;

use crate::arguments::Part;
use crate::bench::Bench;

/// All parts, in the order of the table.
pub(crate) const PARTS: [Part<Bench>; 14] = [
    ("correct", correct::run),
    ("pingpong", echo::ping_pong),
    ("large", echo::large),
    ("pipelined", echo::pipelined),
    ("instructions", instructions::run),
    ("memory", memory::run),
    ("churn", churn::run),
    ("accept", accept::run),
    ("idle_crowd", idle_crowd::run),
    ("spin", spin::run),
    ("reuse_port", reuse_port::run),
    ("admin", admin::run),
    ("trace", trace::run),
    ("start", start::run),
];
