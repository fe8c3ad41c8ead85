//! Fallible allocation: the error, and a check that a slab can grow; the size of its entries.

use slab::Slab;

/// An allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// The size in bytes of an entry of a slab of `T`.
#[must_use]
pub const fn slab_entry_size<T>() -> usize {
    /// As `slab` has it: the index of the next vacant entry, or a value.
    #[expect(dead_code, reason = "only its size matters")]
    enum Entry<T> {
        Vacant(usize),
        Occupied(T),
    }
    size_of::<Entry<T>>()
}

/// Whether a slab has space for one more entry, or there is memory to double it.
///
/// A slab has no fallible insertion: it doubles its capacity, and aborts the process if that fails. This function
/// allocates the doubled size and frees it again. With one thread, the slab then gets that memory.
#[must_use]
pub fn can_grow<T>(slab: &Slab<T>) -> bool {
    if slab.len() < slab.capacity() {
        return true;
    }
    let doubled = slab.capacity().saturating_mul(2).max(4);
    // An entry is at most a word larger than its value.
    let mut probe = Vec::<(usize, T)>::new();
    let can_grow = probe.try_reserve_exact(doubled).is_ok();
    // Freeing a large allocation raises the size from which the C library returns memory to the kernel immediately
    // (mallopt(3), `M_MMAP_THRESHOLD`), so the probe is shrunk before it is freed.
    probe.shrink_to(1);
    can_grow
}
