//! Counts what is allocated.
//!
//! The counts are exact for one thread, which is all that this program has: plain loads and
//! stores cost the engines that allocate much less than locked additions would.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are allocated now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// Allocations so far.
pub fn calls() -> usize {
    CALLS.load(Relaxed)
}

/// The system's allocator, with counts.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn add(calls: usize, bytes: usize, freed: usize) {
    CALLS.store(CALLS.load(Relaxed).wrapping_add(calls), Relaxed);
    LIVE.store(LIVE.load(Relaxed).wrapping_add(bytes).wrapping_sub(freed), Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came, and its answer back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: the caller's promises are the ones that this wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        add(0, 0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(1, size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
