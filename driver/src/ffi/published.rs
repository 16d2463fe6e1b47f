//! One value that any number of readers use without ever waiting, and one writer swaps whole.
//!
//! Two slots, each with rundown protection, and a generation whose parity names the current one.
//! A reader takes a reference to the current slot and uses it; a writer fills the other slot, moves
//! the generation on, and waits until the last reader of the old slot has left before it frees the
//! old value. A reader that meets a slot being run down finds that the generation has moved, and
//! tries again; the number of tries is bounded.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::bindings as nt;
use super::pool::{PoolBox, Tag};
use super::status::{NtStatus, Result};

/// Swaps a reader may meet in one read before it gives up and goes without.
const READ_TRIES: u32 = 8;

struct Slot<T> {
    rundown: PoolBox<UnsafeCell<nt::EX_RUNDOWN_REF>>,
    value: AtomicPtr<T>,
}

impl<T> Slot<T> {
    /// An empty slot, run down, so that nobody can take a reference.
    fn new() -> Result<Self> {
        let rundown = PoolBox::new(UnsafeCell::new(nt::EX_RUNDOWN_REF::default()), Tag::Sensor)?;
        // SAFETY: the reference block lies in nonpaged pool that nobody else knows yet; <= APC.
        unsafe { nt::ExInitializeRundownProtection(rundown.get()) };
        let slot = Self { rundown, value: AtomicPtr::new(ptr::null_mut()) };
        slot.run_down();
        Ok(slot)
    }

    fn acquire(&self) -> bool {
        // SAFETY: the block is initialised nonpaged memory that lives as long as `self`.
        unsafe { nt::ExAcquireRundownProtection(self.rundown.get()) != 0 }
    }

    /// Only after `acquire` was true.
    fn release(&self) {
        // SAFETY: the one caller acquired the protection before and releases it once.
        unsafe { nt::ExReleaseRundownProtection(self.rundown.get()) };
    }

    /// Waits until the last reader has left; from then on nobody can enter.
    fn run_down(&self) {
        // SAFETY: the block is initialised nonpaged memory that lives as long as `self`;
        // PASSIVE_LEVEL. A reader that published where it reads would wait for itself for ever, but
        // would free nothing.
        unsafe { nt::ExWaitForRundownProtectionRelease(self.rundown.get()) };
        // SAFETY: the rundown has just completed; PASSIVE_LEVEL.
        unsafe { nt::ExRundownCompleted(self.rundown.get()) };
    }

    /// Lets readers in again.
    fn open(&self) {
        // SAFETY: the slot is run down: it was made so, and each swap leaves it so; <= APC.
        unsafe { nt::ExReInitializeRundownProtection(self.rundown.get()) };
    }

    /// Frees the value of a slot that is run down.
    fn clear(&self, tag: Tag) {
        let value = self.value.swap(ptr::null_mut(), Ordering::AcqRel);
        if let Some(value) = NonNull::new(value) {
            // SAFETY: the pointer came from `into_raw` in `publish` with this tag, the swap took it
            // out for good, and the slot is run down, so no reader borrows it.
            drop(unsafe { PoolBox::from_raw(value, tag) });
        }
    }
}

/// Keeps the thread from being suspended. A reader's thread may belong to any process, and whoever
/// suspended it while it holds a slot would keep the writer waiting for as long as he likes.
struct CriticalRegion(PhantomData<*const ()>);

impl CriticalRegion {
    fn enter() -> Self {
        // SAFETY: PASSIVE_LEVEL; left on the same thread, as the guard is not `Send`.
        unsafe { nt::KeEnterCriticalRegion() };
        Self(PhantomData)
    }
}

impl Drop for CriticalRegion {
    fn drop(&mut self) {
        // SAFETY: this guard's making entered the region on this thread; PASSIVE_LEVEL.
        unsafe { nt::KeLeaveCriticalRegion() };
    }
}

/// See the module's description.
pub struct Published<T> {
    slots: [Slot<T>; 2],
    generation: AtomicUsize,
    writing: AtomicBool,
    tag: Tag,
}

impl<T: Send + Sync> Published<T> {
    /// Nothing published yet. Values will lie in pool with `tag`.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    pub fn new(tag: Tag) -> Result<Self> {
        Ok(Self {
            slots: [Slot::new()?, Slot::new()?],
            generation: AtomicUsize::new(0),
            writing: AtomicBool::new(false),
            tag,
        })
    }

    /// Runs `use_it` on the current value, which stays alive and unchanged meanwhile. `None` when
    /// nothing is published. Never waits; `use_it` should not either, and must not publish here.
    pub fn read<R>(&self, use_it: impl FnOnce(&T) -> R) -> Option<R> {
        let _region = CriticalRegion::enter();
        for _ in 0..READ_TRIES {
            let generation = self.generation.load(Ordering::Acquire);
            let slot = self.slot(generation);
            if slot.acquire() {
                let value = NonNull::new(slot.value.load(Ordering::Acquire));
                // SAFETY: while the slot is held its value is not freed: `publish` runs the slot
                // down before it clears it.
                let result = value.map(|value| use_it(unsafe { value.as_ref() }));
                slot.release();
                return result;
            }
            if self.generation.load(Ordering::Acquire) == generation {
                return None;
            }
        }
        None
    }

    /// Publishes `value` and frees the one before, when its last reader has left.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`] without memory or while another thread is publishing; then the
    /// old value stays.
    pub fn publish(&self, value: T) -> Result<()> {
        let value = PoolBox::new(value, self.tag)?;
        if self.writing.swap(true, Ordering::Acquire) {
            return Err(NtStatus::NO_RESOURCES);
        }
        let generation = self.generation.load(Ordering::Relaxed);
        let next = generation.wrapping_add(1);
        let (old, new) = (self.slot(generation), self.slot(next));
        let (pointer, _tag) = value.into_raw();
        new.value.store(pointer.as_ptr(), Ordering::Release);
        new.open();
        self.generation.store(next, Ordering::Release);
        old.run_down();
        old.clear(self.tag);
        self.writing.store(false, Ordering::Release);
        Ok(())
    }
}

impl<T> Published<T> {
    const fn slot(&self, generation: usize) -> &Slot<T> {
        let [even, odd] = &self.slots;
        if generation & 1 == 0 { even } else { odd }
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.run_down();
            slot.clear(self.tag);
        }
    }
}

// SAFETY: values are only shared (`&T`) between threads and freed on the publishing one.
unsafe impl<T: Send + Sync> Send for Published<T> {}
// SAFETY: as above; the slots' own state is atomic or the kernel's.
unsafe impl<T: Send + Sync> Sync for Published<T> {}
