//! The parts of the bench.

mod correct;
mod echo;
mod handshakes;
mod idle;
mod latency;
mod memory;

use crate::arguments::Part;
use crate::bench::Bench;

/// All parts, in the order of the table.
pub(crate) const PARTS: [Part<Bench>; 5] = [
    ("correct", correct::run),
    ("memory", memory::run),
    ("handshakes", handshakes::run),
    ("latency", latency::run),
    ("echo", echo::run),
];

/// Checks the parsing that the parts depend on.
pub(crate) fn self_check() {
    idle::self_check();
}
