//! One value in the pool that has several owners.

use core::mem::offset_of;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use super::pool::{PoolBox, Tag};
use super::status::Result;

struct Counted<T> {
    owners: AtomicUsize,
    tag: Tag,
    value: T,
}

/// An owner of a value in the pool, which is freed with its last owner. The value does not change.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
}

impl<T> Shared<T> {
    /// Where a debugger finds the value behind the address that an owner is, in bytes.
    pub const AT: usize = {
        assert!(size_of::<Self>() == size_of::<usize>());
        offset_of!(Counted<T>, value)
    };

    /// Moves `value` into the pool.
    ///
    /// # Errors
    /// `NO_RESOURCES`; then `value` is dropped.
    pub fn new(value: T, tag: Tag) -> Result<Self> {
        let counted = Counted { owners: AtomicUsize::new(1), tag, value };
        let (counted, _tag) = PoolBox::new(counted, tag)?.into_raw();
        Ok(Self { counted })
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: the value is alive while it has an owner, and `self` is one.
        unsafe { self.counted.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    /// Adds an owner. There are never more than the machine has threads and tables have slots, so
    /// the number cannot wrap.
    fn clone(&self) -> Self {
        self.counted().owners.fetch_add(1, Ordering::Relaxed);
        Self { counted: self.counted }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        let counted = self.counted();
        let tag = counted.tag;
        // What the other owners did with the value comes before it is freed.
        if counted.owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: the pointer came from `into_raw` with this tag, and its last owner is going.
        drop(unsafe { PoolBox::from_raw(self.counted, tag) });
    }
}

// SAFETY: owners on several threads share the value, and the last of them may drop it on any.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
