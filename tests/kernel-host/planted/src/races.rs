//! Bugs that only some orders of events show: two callbacks, or a callback and the unload, are at
//! one thing, and the moment to come between is a call of the kernel.

use core::hint::black_box;
use core::ptr::{null, null_mut, read_volatile};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use crate::bugs::State;
use crate::nt::*;

static SHARED: AtomicPtr<u8> = AtomicPtr::new(null_mut());
static CALLERS: AtomicU32 = AtomicU32::new(0);
static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);
static WORK: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);
static mut LOCKS: [usize; 2] = [0; 2];
static mut WAKE: KEVENT = KEVENT([0; 3]);
static mut DONE: KEVENT = KEVENT([0; 3]);
static mut WORKER: HANDLE = null_mut();

/// By number, after those of `bugs`.
pub const RUN: [unsafe fn(&mut State); 8] = [
    race_control,
    check_then_act,
    freed_meanwhile,
    freed_by_both,
    locks_crossed,
    wake_up_lost,
    counted_without_lock,
    ended_too_early,
];

/// What the races work on.
pub unsafe fn prepare() {
    unsafe {
        for lock in 0..2 {
            FltInitializePushLock((&raw mut LOCKS[lock]).cast());
        }
        KeInitializeEvent(&raw mut WAKE, 1, 0);
        KeInitializeEvent(&raw mut DONE, 1, 0);
    }
}

pub unsafe fn give_back() {
    unsafe {
        for lock in 0..2 {
            FltDeletePushLock((&raw mut LOCKS[lock]).cast());
        }
        let block = SHARED.swap(null_mut(), Relaxed);
        if !block.is_null() {
            ExFreePoolWithTag(block, TAG);
        }
    }
}

/// Nothing is wrong: what the first two do without it, under a lock; a worker that is told and
/// joined as it should be.
#[inline(never)]
unsafe fn race_control(_: &mut State) {
    unsafe {
        FltAcquirePushLockExclusive((&raw mut LOCKS[0]).cast());
        let old = SHARED.swap(ExAllocatePool2(NON_PAGED, 32, TAG), Relaxed);
        if !old.is_null() {
            black_box(read_volatile(old));
            ExFreePoolWithTag(old, TAG);
        }
        let worker = WORKER;
        if worker.is_null() {
            start_worker(waits_rightly);
        }
        FltReleasePushLock((&raw mut LOCKS[0]).cast());
        WORK.store(1, Relaxed);
        KeSetEvent(&raw mut WAKE, 0, 0);
        black_box(());
    }
}

/// Both callers find nothing and allocate: one block is lost.
#[inline(never)]
unsafe fn check_then_act(_: &mut State) {
    unsafe {
        if SHARED.load(Relaxed).is_null() {
            SHARED.store(ExAllocatePool2(NON_PAGED, 32, TAG), Relaxed);
        }
        black_box(());
    }
}

/// Reads what the other caller has freed meanwhile.
#[inline(never)]
unsafe fn freed_meanwhile(_: &mut State) {
    unsafe {
        let block = SHARED.load(Relaxed);
        if !block.is_null() {
            black_box(KeGetCurrentIrql());
            black_box(read_volatile(block));
        }
        let old = SHARED.swap(ExAllocatePool2(NON_PAGED, 32, TAG), Relaxed);
        if !old.is_null() {
            ExFreePoolWithTag(old, TAG);
        }
        black_box(());
    }
}

/// Both callers free what both found.
#[inline(never)]
unsafe fn freed_by_both(_: &mut State) {
    unsafe {
        let block = SHARED.load(Relaxed);
        if block.is_null() {
            SHARED.store(ExAllocatePool2(NON_PAGED, 32, TAG), Relaxed);
        } else {
            ExFreePoolWithTag(block, TAG);
            SHARED.store(null_mut(), Relaxed);
        }
        black_box(());
    }
}

/// Each caller takes the two locks in another order.
#[inline(never)]
unsafe fn locks_crossed(_: &mut State) {
    let first = (CALLERS.fetch_add(1, Relaxed) % 2) as usize;
    unsafe {
        let (first, second) = ((&raw mut LOCKS[first]).cast(), (&raw mut LOCKS[1 - first]).cast());
        FltAcquirePushLockExclusive(first);
        FltAcquirePushLockExclusive(second);
        FltReleasePushLock(second);
        FltReleasePushLock(first);
        black_box(());
    }
}

/// The worker clears its event when it has already looked for work: a wake-up is lost.
#[inline(never)]
unsafe fn wake_up_lost(_: &mut State) {
    unsafe {
        if CALLERS.fetch_add(1, Relaxed) == 0 {
            start_worker(clears_too_late);
        }
        WORK.store(1, Relaxed);
        KeSetEvent(&raw mut WAKE, 0, 0);
        KeWaitForSingleObject((&raw mut DONE).cast(), 0, 0, 0, null());
        KeSetEvent(&raw mut DONE, 0, 0);
        black_box(());
    }
}

unsafe extern "system" fn clears_too_late(_: *mut core::ffi::c_void) {
    unsafe {
        while STOP.load(Relaxed) == 0 {
            if WORK.swap(0, Relaxed) != 0 {
                KeSetEvent(&raw mut DONE, 0, 0);
            }
            KeClearEvent(&raw mut WAKE);
            KeWaitForSingleObject((&raw mut WAKE).cast(), 0, 0, 0, null());
        }
        PsTerminateSystemThread(0);
    }
}

unsafe extern "system" fn waits_rightly(_: *mut core::ffi::c_void) {
    unsafe {
        while STOP.load(Relaxed) == 0 {
            if WORK.swap(0, Relaxed) != 0 {
                KeSetEvent(&raw mut DONE, 0, 0);
            }
            KeWaitForSingleObject((&raw mut WAKE).cast(), 0, 0, 0, null());
        }
        PsTerminateSystemThread(0);
    }
}

/// A counter without a lock loses a caller, and the unload waits for him for ever.
#[inline(never)]
unsafe fn counted_without_lock(_: &mut State) {
    unsafe {
        let before = IN_FLIGHT.load(Relaxed);
        black_box(KeGetCurrentIrql());
        IN_FLIGHT.store(before + 1, Relaxed);
        black_box(KeGetCurrentIrql());
        IN_FLIGHT.fetch_sub(1, Relaxed);
        black_box(());
    }
}

/// The thread says that it has ended and then goes on; the unload frees what it looks at.
#[inline(never)]
unsafe fn ended_too_early(_: &mut State) {
    unsafe {
        if CALLERS.fetch_add(1, Relaxed) == 0 {
            SHARED.store(ExAllocatePool2(NON_PAGED, 32, TAG), Relaxed);
            start_worker(goes_on);
        }
        black_box(());
    }
}

#[inline(never)]
unsafe extern "system" fn goes_on(_: *mut core::ffi::c_void) {
    let block = SHARED.load(Relaxed);
    ENDED.store(1, Relaxed);
    unsafe {
        KeSetEvent(&raw mut DONE, 0, 0);
        black_box(KeGetCurrentIrql());
        black_box(read_volatile(block));
        PsTerminateSystemThread(0);
    }
}

unsafe fn start_worker(routine: unsafe extern "system" fn(*mut core::ffi::c_void)) {
    unsafe {
        let name = string(&[]);
        let mut own = attributes(&name, OBJ_KERNEL_HANDLE);
        own.ObjectName = null();
        let none = null_mut();
        let out = &raw mut WORKER;
        PsCreateSystemThread(out, 0x1F_FFFF, &own, none, none, routine, none);
    }
}

/// The unload's part: stops the worker and waits for what the callbacks counted.
#[inline(never)]
pub unsafe fn unload() {
    unsafe {
        while IN_FLIGHT.load(Relaxed) != 0 {
            KeWaitForSingleObject((&raw mut DONE).cast(), 0, 0, 0, null());
        }
        if ENDED.load(Relaxed) == 1 {
            // Believes the flag.
            let block = SHARED.swap(null_mut(), Relaxed);
            if !block.is_null() {
                ExFreePoolWithTag(block, TAG);
            }
        }
        let worker = WORKER;
        if !worker.is_null() {
            STOP.store(1, Relaxed);
            KeSetEvent(&raw mut WAKE, 0, 0);
            ZwWaitForSingleObject(worker, 0, null());
            ZwClose(worker);
        }
        black_box(());
    }
}
