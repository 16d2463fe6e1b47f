//! Events, push locks, system threads and time.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr;

use super::bindings as nt;
use super::pool::{PoolBox, Tag};
use super::status::{Result, check};
use super::{Handle, object_attributes_unnamed};

/// 100-nanosecond units in a second, the kernel's unit of time.
pub const SECOND: u64 = 10_000_000;
/// 100-nanosecond units in a millisecond.
pub const MILLISECOND: u64 = 10_000;

/// Time since boot in 100-nanosecond units, not counting sleep. Never goes back.
pub fn now() -> u64 {
    // SAFETY: any IRQL.
    unsafe { nt::KeQueryUnbiasedInterruptTime() }
}

/// The wall clock in seconds since 1970, UTC. Whoever may set the clock can make it say anything.
pub fn unix_seconds() -> u64 {
    /// 1970 in the kernel's time, which counts from 1601.
    const EPOCH: i64 = 116_444_736_000_000_000;
    let mut time = nt::LARGE_INTEGER::default();
    // SAFETY: the pointer is to a local; any IRQL.
    unsafe { nt::KeQuerySystemTimePrecise(&raw mut time) };
    // SAFETY: every bit pattern is an i64, and the call above filled the union in.
    let units = unsafe { time.QuadPart };
    u64::try_from(units.saturating_sub(EPOCH)).unwrap_or(0) / SECOND
}

/// A relative timeout as the kernel takes it.
pub(super) fn relative(units: u64) -> nt::LARGE_INTEGER {
    let mut timeout = nt::LARGE_INTEGER::default();
    timeout.QuadPart = i64::try_from(units).unwrap_or(i64::MAX).wrapping_neg();
    timeout
}

/// An event that wakes one waiter and resets itself.
pub struct Event {
    // In pool of its own: a KEVENT points to itself and must not move.
    event: PoolBox<UnsafeCell<nt::KEVENT>>,
}

impl Event {
    /// A new event, not signalled.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    // Not inlined: the sensor has many.
    #[inline(never)]
    pub fn new() -> Result<Self> {
        let event = PoolBox::new(UnsafeCell::new(nt::KEVENT::default()), Tag::Sensor)?;
        // SAFETY: the event lies in nonpaged pool that nobody else knows yet; any IRQL.
        unsafe {
            nt::KeInitializeEvent(event.get(), nt::_EVENT_TYPE::SynchronizationEvent, 0);
        }
        Ok(Self { event })
    }

    /// Signals the event.
    pub fn set(&self) {
        // SAFETY: the event is initialised and lives as long as `self`; PASSIVE_LEVEL, and `Wait`
        // is FALSE.
        unsafe { nt::KeSetEvent(self.event.get(), 0, 0) };
    }

    /// Waits until the event is signalled or `timeout` (100-nanosecond units) has passed. True
    /// when it was signalled.
    pub fn wait(&self, timeout: u64) -> bool {
        let mut timeout = relative(timeout);
        // SAFETY: the event is initialised and lives as long as `self`; PASSIVE_LEVEL; not
        // alertable and in kernel mode, so that only the event or the timeout ends the wait.
        let status = unsafe {
            nt::KeWaitForSingleObject(
                self.event.get().cast(),
                nt::_KWAIT_REASON::Executive,
                KERNEL_MODE,
                0,
                &raw mut timeout,
            )
        };
        status == 0
    }
}

// SAFETY: a KEVENT is made to be shared between threads; every access goes through the kernel.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

/// `KernelMode` as a `KPROCESSOR_MODE`.
pub(super) const KERNEL_MODE: nt::KPROCESSOR_MODE = 0;

/// A value behind a filter-manager push lock, which turns kernel APCs off by itself while held.
pub struct PushLock<T> {
    lock: PoolBox<UnsafeCell<nt::EX_PUSH_LOCK>>,
    value: UnsafeCell<T>,
}

impl<T> PushLock<T> {
    /// Where a debugger finds the value, in bytes.
    pub const AT: usize = offset_of!(Self, value);

    /// Wraps `value`.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new(value: T) -> Result<Self> {
        Ok(Self { lock: new_lock()?, value: UnsafeCell::new(value) })
    }

    /// Waits for the value and holds it until the guard is dropped. A thread that holds the guard
    /// must not lock again: push locks do not recurse.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: the lock is initialised and lives as long as `self`; PASSIVE_LEVEL.
        unsafe { nt::FltAcquirePushLockExclusive(self.lock.get()) };
        Guard { owner: self, _not_send: PhantomData }
    }
}

// Not inlined: it is the same for every type behind a lock.
#[inline(never)]
fn new_lock() -> Result<PoolBox<UnsafeCell<nt::EX_PUSH_LOCK>>> {
    let lock = PoolBox::new(UnsafeCell::new(nt::EX_PUSH_LOCK::default()), Tag::Sensor)?;
    // SAFETY: the lock lies in nonpaged pool that nobody else knows yet; any IRQL.
    unsafe { nt::FltInitializePushLock(lock.get()) };
    Ok(lock)
}

impl<T> Drop for PushLock<T> {
    fn drop(&mut self) {
        // SAFETY: `self` is borrowed mutably, so no guard is alive and no thread waits; <= APC.
        unsafe { nt::FltDeletePushLock(self.lock.get()) };
    }
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<T: Send> Send for PushLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for PushLock<T> {}

/// Holds a [`PushLock`].
pub struct Guard<'a, T> {
    owner: &'a PushLock<T>,
    // A push lock is released by the thread that took it.
    _not_send: PhantomData<*const ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held exclusively by this guard.
        unsafe { &*self.owner.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held exclusively by this guard, which is borrowed mutably.
        unsafe { &mut *self.owner.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard's making acquired the lock on this thread, and guards are not `Send`;
        // PASSIVE_LEVEL.
        unsafe { nt::FltReleasePushLock(self.owner.lock.get()) };
    }
}

/// What a system thread runs.
pub trait ThreadMain {
    /// Runs on the thread. It returns when [`super::start::Service`] asks the driver to stop.
    fn run();
}

/// A system thread, joined when dropped. Whoever drops it has told the thread to return before.
pub struct Thread {
    handle: Handle,
}

impl Thread {
    /// Starts a thread that runs `M`.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn spawn<M: ThreadMain>() -> Result<Self> {
        let mut handle: nt::HANDLE = ptr::null_mut();
        let mut attributes = object_attributes_unnamed();
        // SAFETY: all pointers are to locals or null where the kernel allows it; the start routine
        // never returns to its caller but ends the thread; PASSIVE_LEVEL.
        check(unsafe {
            nt::PsCreateSystemThread(
                &raw mut handle,
                nt::THREAD_ALL_ACCESS,
                &raw mut attributes,
                ptr::null_mut(),
                ptr::null_mut(),
                Some(thread_start::<M>),
                ptr::null_mut(),
            )
        })?;
        Ok(Self { handle: Handle(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Waiting on the handle needs no reference to the thread object, whose taking could fail.
        // SAFETY: the handle is ours and open; no timeout, so the thread has ended when the call
        // returns and runs no code of the driver any more; PASSIVE_LEVEL.
        let _ = unsafe { nt::ZwWaitForSingleObject(self.handle.0, 0, ptr::null_mut()) };
    }
}

extern "C" fn thread_start<M: ThreadMain>(_context: *mut c_void) {
    M::run();
    // SAFETY: called on a system thread of ours, at PASSIVE_LEVEL, with nothing held.
    let _ = unsafe { nt::PsTerminateSystemThread(0) };
}
