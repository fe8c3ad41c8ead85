//! The ring that is current in a thread, by which the streams of a recording network find it.

use super::Ring;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of networks in the process that record.
static RECORDING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The ring of the network that waited last in this thread.
    static CURRENT: RefCell<Option<SharedRing>> = const { RefCell::new(None) };
}

pub(super) type SharedRing = Rc<RefCell<Ring>>;

/// Counts a network that records from now on, with this ring.
pub(super) fn begin(ring: &SharedRing) {
    make_current(ring);
    RECORDING.fetch_add(1, Ordering::Relaxed);
}

/// The network with this ring no longer records.
pub(super) fn end(ring: &SharedRing) {
    RECORDING.fetch_sub(1, Ordering::Relaxed);
    CURRENT.with_borrow_mut(|current| {
        current.take_if(|current| Rc::ptr_eq(current, ring));
    });
}

/// Makes a ring current in this thread.
#[cold]
pub(super) fn make_current(ring: &SharedRing) {
    CURRENT.with_borrow_mut(|current| {
        if !current.as_ref().is_some_and(|now| Rc::ptr_eq(now, ring)) {
            *current = Some(Rc::clone(ring));
        }
    });
}

/// Calls a function with the ring that is current in this thread, if there is one.
#[inline]
pub(super) fn with_current<R>(call: impl FnOnce(Option<&mut Ring>) -> R) -> R {
    CURRENT.with_borrow(|ring| match ring {
        Some(ring) => call(Some(&mut ring.borrow_mut())),
        None => call(None),
    })
}

/// Whether a network in the process records.
#[expect(clippy::inline_always, reason = "on the path of every byte")]
#[inline(always)]
pub(super) fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed) != 0
}
