//! Fallible, tagged memory from the kernel's pool.
//!
//! Every allocation may fail and says so; nothing here can panic. The memory is nonpaged where it is
//! read inside callbacks or shared with the kernel; only files on their way lie in paged pool.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use super::bindings as nt;
use super::status::{NtStatus, Result};

/// What memory is for, as pool tools such as `!poolused` show it.
#[derive(Clone, Copy, Debug)]
pub enum Tag {
    /// The sensor and its locks.
    Sensor,
    /// Channel files in force or on their way.
    Content,
    /// Records of events on their way out.
    Events,
    /// Paths, names and other short-lived text.
    Text,
}

impl Tag {
    const fn raw(self) -> u32 {
        u32::from_le_bytes(match self {
            Self::Sensor => *b"SkrS",
            Self::Content => *b"SkrC",
            Self::Events => *b"SkrE",
            Self::Text => *b"SkrT",
        })
    }
}

/// The pool's own alignment on x64.
const POOL_ALIGN: usize = 16;

fn allocate(bytes: usize, tag: Tag) -> Result<NonNull<c_void>> {
    allocate_from(nt::POOL_FLAG_NON_PAGED, bytes, tag)
}

fn allocate_from(pool: nt::POOL_FLAGS, bytes: usize, tag: Tag) -> Result<NonNull<c_void>> {
    let bytes = u64::try_from(bytes).map_err(|_| NtStatus::NO_RESOURCES)?;
    // SAFETY: the size is not zero (all callers see to it) and the tag is not; nonpaged pool may be
    // allocated up to DISPATCH_LEVEL and paged pool up to APC_LEVEL, we are at PASSIVE_LEVEL.
    let memory = unsafe { nt::ExAllocatePool2(pool, bytes, tag.raw()) };
    NonNull::new(memory).ok_or(NtStatus::NO_RESOURCES)
}

fn free(memory: NonNull<c_void>, tag: Tag) {
    // SAFETY: both callers own `memory`, got it from `allocate_from` with this tag, and never use it
    // again; nonpaged pool may be freed up to DISPATCH_LEVEL and paged pool up to APC_LEVEL: we are at
    // PASSIVE_LEVEL, but for what a create left that came back higher, which is nonpaged.
    unsafe { nt::ExFreePoolWithTag(memory.as_ptr(), tag.raw()) };
}

/// One value in the pool.
pub struct PoolBox<T> {
    value: NonNull<T>,
    tag: Tag,
}

impl<T> PoolBox<T> {
    /// Moves `value` into the pool.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`]; then `value` is dropped.
    pub fn new(value: T, tag: Tag) -> Result<Self> {
        const { assert!(align_of::<T>() <= POOL_ALIGN && size_of::<T>() > 0) };
        let memory: NonNull<T> = allocate(size_of::<T>(), tag)?.cast();
        // SAFETY: the memory is ours, fresh, and of the type's size and alignment (asserted above).
        unsafe { memory.write(value) };
        Ok(Self { value: memory, tag })
    }

    /// Gives up ownership; [`Self::from_raw`] takes it back.
    pub(super) fn into_raw(self) -> (NonNull<T>, Tag) {
        let parts = (self.value, self.tag);
        core::mem::forget(self);
        parts
    }

    /// Takes back what [`Self::into_raw`] gave.
    ///
    /// # Safety
    /// `value` and `tag` come from one call of `into_raw`, and nothing else owns or borrows them.
    pub(super) const unsafe fn from_raw(value: NonNull<T>, tag: Tag) -> Self {
        Self { value, tag }
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `value` points to a live `T` that this box owns; the borrow of `self` covers it.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is live and owned by this box, and is not touched again.
        unsafe { self.value.drop_in_place() };
        free(self.value.cast(), self.tag);
    }
}

// SAFETY: the box owns its value as a standard box would.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: sharing the box shares the value, nothing more.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

/// A run of values in the pool, its length fixed when it is made.
pub struct PoolSlice<T> {
    first: NonNull<T>,
    len: usize,
    tag: Tag,
}

impl<T> PoolSlice<T> {
    /// Where a debugger finds the first value's address and how many there are, in bytes.
    pub const AT: [usize; 2] = [offset_of!(Self, first), offset_of!(Self, len)];

    /// `len` values, each made in place by `make`.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    pub fn new(len: usize, tag: Tag, make: impl Fn() -> T) -> Result<Self> {
        Self::try_new(len, tag, || Ok(make()))
    }

    /// `len` values, each made in place by `make`, which may fail.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`], or what `make` says; then what was made is dropped.
    pub fn try_new(len: usize, tag: Tag, make: impl Fn() -> Result<T>) -> Result<Self> {
        const { assert!(align_of::<T>() <= POOL_ALIGN && size_of::<T>() > 0) };
        let mut made = Self { first: NonNull::dangling(), len: 0, tag };
        if len == 0 {
            return Ok(made);
        }
        let bytes = size_of::<T>().checked_mul(len).ok_or(NtStatus::NO_RESOURCES)?;
        let first: NonNull<T> = allocate(bytes, tag)?.cast();
        let mut at = first;
        for count in 1..=len {
            let value = make().inspect_err(|_| {
                // A slice of no values owns no memory.
                if made.len == 0 {
                    free(first.cast(), tag);
                }
            })?;
            // SAFETY: `at` runs over the `len` elements of the fresh, aligned allocation.
            unsafe { at.write(value) };
            // SAFETY: one element further is inside the allocation or just past its end.
            at = unsafe { at.add(1) };
            made.first = first;
            made.len = count;
        }
        Ok(made)
    }
}

impl PoolSlice<u8> {
    /// `len` zero bytes. The pool zeroes what it hands out, so nothing is written twice.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    pub fn zeroed(len: usize, tag: Tag) -> Result<Self> {
        let first = if len == 0 { NonNull::dangling() } else { allocate(len, tag)?.cast() };
        Ok(Self { first, len, tag })
    }
}

impl PoolSlice<u8> {
    /// `len` zero bytes that may be paged out: for what no callback reads.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    pub fn paged(len: usize, tag: Tag) -> Result<Self> {
        let memory = || allocate_from(nt::POOL_FLAG_PAGED, len, tag);
        let first = if len == 0 { NonNull::dangling() } else { memory()?.cast() };
        Ok(Self { first, len, tag })
    }
}

impl PoolSlice<u16> {
    /// The concatenation of `parts`.
    ///
    /// # Errors
    /// [`NtStatus::NO_RESOURCES`].
    pub fn joined(parts: &[&[u16]], tag: Tag) -> Result<Self> {
        let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let mut text = Self::new(len, tag, || 0)?;
        for (to, from) in text.iter_mut().zip(parts.iter().flat_map(|part| part.iter())) {
            *to = *from;
        }
        Ok(text)
    }
}

impl<T> Deref for PoolSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `first` points to `len` live values that this slice owns, or dangles, aligned,
        // with `len` 0; the allocation is below `isize::MAX` bytes, as all pool is.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for PoolSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T> AsRef<[T]> for PoolSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for PoolSlice<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Drop for PoolSlice<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: the values are live and owned by this slice, and are not touched again.
        unsafe {
            core::ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.len).drop_in_place()
        };
        free(self.first.cast(), self.tag);
    }
}

// SAFETY: the slice owns its values as a standard boxed slice would.
unsafe impl<T: Send> Send for PoolSlice<T> {}
// SAFETY: sharing the slice shares the values, nothing more.
unsafe impl<T: Sync> Sync for PoolSlice<T> {}
