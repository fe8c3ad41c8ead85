//! The parts of the bench.

mod accept;
mod churn;
mod correct;
mod echo;
mod idle_crowd;
mod instructions;
mod memory;
mod reuse_port;
mod spin;
mod start;

use crate::bench::Bench;

/// A part: its name and its function.
pub(crate) type Part = (&'static str, fn(&mut Bench));

/// All parts, in the order of the table.
pub(crate) const PARTS: [Part; 12] = [
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
    ("start", start::run),
];
