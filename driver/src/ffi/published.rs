//! One value that any number of readers use without ever waiting, and one writer swaps whole.
//!
//! The order of steps is `driver_core::publish`'s, where a model checker runs it; here is what its
//! slots are made of: values in pool, behind the kernel's rundown protection.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use driver_core::publish::{self, Swap};

use super::bindings as nt;
use super::pool::{PoolBox, Tag};
use super::status::{NtStatus, Result};

struct Slot<T> {
    rundown: PoolBox<UnsafeCell<nt::EX_RUNDOWN_REF>>,
    value: AtomicPtr<T>,
    tag: Tag,
}

impl<T> Slot<T> {
    /// An empty slot, run down, so that nobody can take a reference.
    fn new(tag: Tag) -> Result<Self> {
        let rundown = PoolBox::new(UnsafeCell::new(nt::EX_RUNDOWN_REF::default()), Tag::Sensor)?;
        // SAFETY: the reference block lies in nonpaged pool that nobody else knows yet; <= APC.
        unsafe { nt::ExInitializeRundownProtection(rundown.get()) };
        let slot = Self { rundown, value: AtomicPtr::new(ptr::null_mut()), tag };
        slot.wait_until_empty();
        Ok(slot)
    }

    fn wait_until_empty(&self) {
        // SAFETY: the block is initialised nonpaged memory that lives as long as `self`;
        // PASSIVE_LEVEL. A reader that published where it reads would wait for itself for ever, but
        // would free nothing.
        unsafe { nt::ExWaitForRundownProtectionRelease(self.rundown.get()) };
        // SAFETY: the rundown has just completed; PASSIVE_LEVEL.
        unsafe { nt::ExRundownCompleted(self.rundown.get()) };
    }

    fn free(&self) {
        let value = self.value.swap(ptr::null_mut(), Ordering::AcqRel);
        if let Some(value) = NonNull::new(value) {
            // SAFETY: the pointer came from `into_raw` in `put` with this tag, the swap took it out
            // for good, and the slot is run down (both callers see to it), so no reader borrows it.
            drop(unsafe { PoolBox::from_raw(value, self.tag) });
        }
    }
}

impl<T> publish::Slot for Slot<T> {
    type Value = PoolBox<T>;
    type Seen = T;

    #[inline]
    fn enter(&self) -> bool {
        // SAFETY: the block is initialised nonpaged memory that lives as long as `self`.
        unsafe { nt::ExAcquireRundownProtection(self.rundown.get()) != 0 }
    }

    #[inline]
    fn leave(&self) {
        // SAFETY: the protocol acquired the protection before and releases it once.
        unsafe { nt::ExReleaseRundownProtection(self.rundown.get()) };
    }

    #[inline]
    fn with<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let value = NonNull::new(self.value.load(Ordering::Acquire));
        // SAFETY: the protocol holds the slot now, and while it is held its value is not freed: the
        // protocol runs a slot down before it clears it.
        value.map(|value| look(unsafe { value.as_ref() }))
    }

    fn run_down(&self) {
        self.wait_until_empty();
    }

    fn put(&self, value: PoolBox<T>) {
        let (pointer, _tag) = value.into_raw();
        self.value.store(pointer.as_ptr(), Ordering::Release);
    }

    fn open(&self) {
        // SAFETY: the slot is run down: it was made so, and each swap leaves it so; <= APC.
        unsafe { nt::ExReInitializeRundownProtection(self.rundown.get()) };
    }

    fn clear(&self) {
        self.free();
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
    swap: Swap<Slot<T>, AtomicUsize>,
    tag: Tag,
}

impl<T> Published<T> {
    /// Where a debugger finds the generation and the addresses of its two values, in bytes: that of
    /// an even generation first.
    pub const AT: [usize; 3] = {
        let [even, odd, generation] = Swap::<Slot<T>, AtomicUsize>::AT;
        let swap = offset_of!(Self, swap);
        let value = swap.saturating_add(offset_of!(Slot<T>, value));
        [swap.saturating_add(generation), value.saturating_add(even), value.saturating_add(odd)]
    };
}

impl<T: Send + Sync> Published<T> {
    /// Nothing published yet. Values will lie in pool with `tag`.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    #[inline(never)]
    pub fn new(tag: Tag) -> Result<Self> {
        let slots = [Slot::new(tag)?, Slot::new(tag)?];
        Ok(Self { swap: Swap::new(slots, AtomicUsize::new(0), AtomicUsize::new(0)), tag })
    }

    /// Runs `use_it` on the current value, which stays alive and unchanged meanwhile. `None` when
    /// nothing is published. Never waits; `use_it` should not either, and must not publish here.
    pub fn read<R>(&self, use_it: impl FnOnce(&T) -> R) -> Option<R> {
        let _region = CriticalRegion::enter();
        self.swap.read(use_it)
    }

    /// Publishes `value` and frees the one before, when its last reader has left.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`] without memory or while another thread is publishing; then the
    /// old value stays.
    pub fn publish(&self, value: T) -> Result<()> {
        let value = PoolBox::new(value, self.tag)?;
        self.swap.publish(value).map_err(|_| NtStatus::NO_RESOURCES)
    }

    /// Takes what is published back and frees it, when its last reader has left.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`] while another thread is publishing; then the value stays.
    pub fn withdraw(&self) -> Result<()> {
        self.swap.withdraw().map_err(|_| NtStatus::NO_RESOURCES)
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        for slot in self.swap.slots() {
            slot.wait_until_empty();
            slot.free();
        }
    }
}

// SAFETY: values are only shared (`&T`) between threads and freed on the publishing one.
unsafe impl<T: Send + Sync> Send for Published<T> {}
// SAFETY: as above; the slots' own state is atomic or the kernel's.
unsafe impl<T: Send + Sync> Sync for Published<T> {}
