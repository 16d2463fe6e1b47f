//! A table of what is kept between events, in parts with a lock each: events on several processors
//! seldom wait for each other.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use driver_core::processes::{Processes, Slot};

use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::status::Result;
use crate::ffi::sync::PushLock;

/// Parts of a table.
const SHARDS: usize = 8;

/// Values by a number that is never given twice in a boot. See [`Processes`].
pub struct Shards<V> {
    shards: [Shard<V>; SHARDS],
}

struct Shard<V> {
    values: PushLock<Processes<PoolSlice<Slot<V>>>>,
    /// How often something was forgotten here.
    forgotten: AtomicU32,
}

impl<V: Send> Shard<V> {
    /// Not inlined: there is one call a part.
    #[inline(never)]
    fn new(slots: usize) -> Result<Self> {
        let slots = PoolSlice::new(slots, Tag::Sensor, || Slot::FREE)?;
        let values = PushLock::new(Processes::new(slots))?;
        Ok(Self { values, forgotten: AtomicU32::new(0) })
    }
}

/// A moment in the life of a table, for [`Shards::keep`].
#[derive(Clone, Copy)]
pub struct Moment(u32);

impl<V> Shards<V> {
    /// Where a debugger finds the slots of the first part, how far apart the parts are, in bytes,
    /// and how many there are.
    pub const AT: [usize; 3] = {
        let values = offset_of!(Self, shards).saturating_add(offset_of!(Shard<V>, values));
        let slots = PushLock::<Processes<PoolSlice<Slot<V>>>>::AT
            .saturating_add(Processes::<PoolSlice<Slot<V>>>::SLOTS_AT);
        [values.saturating_add(slots), size_of::<Shard<V>>(), SHARDS]
    };
}

impl<V: Send> Shards<V> {
    /// An empty table with this many slots in each part. Nothing is allocated afterwards.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    #[inline(never)]
    pub fn new(slots: usize) -> Result<Self> {
        let shards = [
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
            Shard::new(slots)?,
        ];
        Ok(Self { shards })
    }

    /// Uses what is kept under a number. Others wait meanwhile.
    pub fn find<R>(&self, key: u64, use_it: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.shard(key)?.values.lock().find_mut(key).map(use_it)
    }

    /// Now, before something is found out that is to be kept.
    pub fn now(&self, key: u64) -> Moment {
        Moment(self.shard(key).map_or(0, |shard| shard.forgotten.load(Ordering::Acquire)))
    }

    /// Keeps a value, but not if anything was forgotten since: it may have been this, and what has
    /// ended would take up room.
    pub fn keep(&self, key: u64, since: Moment, value: V) {
        if let Some(shard) = self.shard(key) {
            let mut values = shard.values.lock();
            if shard.forgotten.load(Ordering::Acquire) == since.0 {
                values.keep(key, value);
            }
        }
    }

    /// Forgets what is kept under a number.
    pub fn forget(&self, key: u64) {
        if let Some(shard) = self.shard(key) {
            let mut values = shard.values.lock();
            shard.forgotten.fetch_add(1, Ordering::Release);
            values.forget(key);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut values = shard.values.lock();
            shard.forgotten.fetch_add(1, Ordering::Release);
            values.clear();
        }
    }

    /// Neighbouring numbers lie in different parts.
    fn shard(&self, key: u64) -> Option<&Shard<V>> {
        let part = key.checked_rem(u64::try_from(SHARDS).ok()?)?;
        self.shards.get(usize::try_from(part).ok()?)
    }
}
