//! The experiments with the traps: prediction, measurement, explanation.

use super::{Outcome, Place, Source, Trap};

/// The source file of a trap.
macro_rules! source {
    ($file:literal) => {
        super::Source {
            path: concat!("src/lab/traps/", $file),
            text: include_str!(concat!("../", $file)),
        }
    };
}

mod backlog;
mod close;
mod edge;
mod emfile;
mod half_close;
mod herd;
mod nagle;
mod partial_frame;
mod short_write;
mod sigpipe;
mod slow_reader;
mod stale_key;
mod starvation;
mod time_wait;
mod urgent;

pub(super) const ALL: [&Trap; 15] = [
    &partial_frame::TRAP,
    &short_write::TRAP,
    &edge::TRAP,
    &half_close::TRAP,
    &close::TRAP,
    &sigpipe::TRAP,
    &slow_reader::TRAP,
    &starvation::TRAP,
    &stale_key::TRAP,
    &emfile::TRAP,
    &backlog::TRAP,
    &herd::TRAP,
    &nagle::TRAP,
    &urgent::TRAP,
    &time_wait::TRAP,
];
