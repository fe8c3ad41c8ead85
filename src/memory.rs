//! Memory that may be refused: the error, and a check that a slab can grow.

use slab::Slab;

/// The allocator refused memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Whether a slab has space for one more entry, or there is memory for it to grow.
///
/// A slab grows by doubling and aborts the process when it cannot. It gets the memory that a probe has found, because
/// there is one thread.
#[must_use]
pub fn can_grow<T>(slab: &Slab<T>) -> bool {
    if slab.len() < slab.capacity() {
        return true;
    }
    let doubled = slab.capacity().saturating_mul(2).max(4);
    // An entry is at most a word larger than its value.
    let mut probe = Vec::<(usize, T)>::new();
    let found = probe.try_reserve_exact(doubled).is_ok();
    // Freeing a large allocation raises the size from which the C library returns memory to the kernel at once
    // (mallopt(3), `M_MMAP_THRESHOLD`), so only a small one is freed.
    probe.shrink_to(1);
    found
}
