//! The buffer that all connections read into.

/// The size in bytes of the buffer that all connections read into.
pub const SCRATCH_SIZE: usize = 64 * 1024;

/// The buffer that all connections read into, at the start of a cache line: the search for a line end then reads fewer
/// vectors.
#[derive(Debug)]
#[repr(align(64))]
pub struct Scratch(pub [u8; SCRATCH_SIZE]);

/// Allocates a buffer to read into.
#[must_use]
#[expect(
    clippy::large_stack_arrays,
    reason = "called once, on a stack of megabytes"
)]
pub fn scratch() -> Box<Scratch> {
    Box::new(Scratch([0; SCRATCH_SIZE]))
}
