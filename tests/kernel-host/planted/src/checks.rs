//! Bugs that Driver Verifier has codes for, beside those of `bugs`: locks and their order, things
//! of the system in memory that is freed or that outlives the driver, contexts, the stack.

use core::arch::asm;
use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{null, null_mut, read_volatile, write_volatile};

use crate::bugs::State;
use crate::nt::*;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn ExAcquireFastMutex(mutex: *mut FastMutex);
    fn ExReleaseFastMutex(mutex: *mut FastMutex);
    fn ExInitializeResourceLite(resource: *mut c_void) -> NTSTATUS;
    fn ExDeleteResourceLite(resource: *mut c_void) -> NTSTATUS;
    fn ExAcquireResourceExclusiveLite(resource: *mut c_void, wait: u8) -> u8;
    fn ExReleaseResourceLite(resource: *mut c_void);
    fn ExAcquirePushLockExclusiveEx(lock: *mut usize, flags: u32);
    fn ExReleasePushLockExclusiveEx(lock: *mut usize, flags: u32);
    fn ExInitializeLookasideListEx(
        list: *mut c_void,
        allocate: *const c_void,
        free: *const c_void,
        pool: u32,
        flags: u32,
        size: usize,
        tag: u32,
        depth: u16,
    ) -> NTSTATUS;
    fn ExDeleteLookasideListEx(list: *mut c_void);
    fn KeLeaveCriticalRegion();
    fn KeInitializeTimer(timer: *mut c_void);
    fn KeSetTimer(timer: *mut c_void, due: i64, dpc: *mut c_void) -> u8;
    fn KeCancelTimer(timer: *mut c_void) -> u8;
    fn KeInitializeDpc(dpc: *mut c_void, routine: DpcRoutine, context: *mut c_void);
    fn KeInsertQueueDpc(dpc: *mut c_void, one: *mut c_void, other: *mut c_void) -> u8;
    fn KeFlushQueuedDpcs();
    fn ZwReadFile(
        file: HANDLE,
        event: HANDLE,
        apc: *const c_void,
        context: *const c_void,
        block: *mut [u64; 2],
        buffer: *mut u8,
        length: u32,
        position: *const i64,
        key: *const u32,
    ) -> NTSTATUS;
    /// `memcpy`, whose own name the compiler would find in its library.
    fn RtlCopyMemory(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
}

#[link(name = "fltmgr.sys", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn FltGetFileNameInformation(data: HANDLE, options: u32, out: *mut HANDLE) -> NTSTATUS;
    fn FltReleaseFileNameInformation(information: HANDLE);
    fn FltAllocateContext(
        filter: HANDLE,
        kind: u16,
        size: usize,
        pool: u32,
        out: *mut HANDLE,
    ) -> NTSTATUS;
    fn FltReleaseContext(context: HANDLE);
    fn FltSetInstanceContext(
        instance: HANDLE,
        operation: u32,
        new: HANDLE,
        old: *mut HANDLE,
    ) -> NTSTATUS;
    fn FltGetInstanceContext(instance: HANDLE, out: *mut HANDLE) -> NTSTATUS;
    fn FltAllocateGenericWorkItem() -> HANDLE;
    fn FltFreeGenericWorkItem(item: HANDLE);
    fn FltQueueGenericWorkItem(
        item: HANDLE,
        object: HANDLE,
        routine: WorkRoutine,
        queue: u32,
        context: *mut c_void,
    ) -> NTSTATUS;
}

type DpcRoutine = unsafe extern "system" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_void);
type WorkRoutine = unsafe extern "system" fn(HANDLE, HANDLE, *mut c_void);

/// `FAST_MUTEX`: count, owner, contention, event, IRQL.
#[repr(C, align(16))]
struct FastMutex([u64; 8]);

/// Memory for whatever the system keeps in a driver's memory.
#[repr(C, align(16))]
struct Room([u64; 24]);

static mut MUTEXES: [FastMutex; 2] = [const { FastMutex([1, 0, 0, 0, 0, 0, 0, 0]) }; 2];
static mut SPIN_LOCKS: [usize; 2] = [0; 2];
static mut PUSH_LOCK: usize = 0;
static mut ROOM: Room = Room([0; 24]);
static mut DPC: Room = Room([0; 24]);
static mut EVENT: KEVENT = KEVENT([0; 3]);

const INSTANCE_CONTEXT: u16 = 2;
const NON_PAGED_NX: u32 = 0x200;
const HOUR: i64 = -36_000_000_000;

/// By number, after those of `bugs` and the races.
pub const RUN: [unsafe fn(&mut State); 37] = [
    checks_control,
    paged_free_at_dispatch,
    freed_elsewhere,
    executable_pool,
    paged_touched,
    spin_recursion,
    lock_order,
    mutex_left,
    mutex_at_dispatch,
    resource_without_region,
    resource_in_freed,
    resource_left,
    push_lock_without_region,
    invalid_handle,
    odd_string,
    paged_event,
    trace_unregistered_twice,
    memcpy_overlap,
    stack_switched,
    fast_fail,
    timer_left,
    timer_in_freed,
    dpc_waits,
    work_item_left,
    work_item_freed_queued,
    lookaside_left,
    lookaside_twice,
    post_callback_missing,
    completed_pending,
    name_released_twice,
    name_left,
    context_left,
    context_after_free,
    status_on_stack,
    uninitialised_number,
    frame_overrun,
    added_without_lock,
];

fn room() -> *mut c_void {
    (&raw mut ROOM).cast()
}

/// Nothing is wrong: everything below as it should be.
#[inline(never)]
unsafe fn checks_control(state: &mut State) {
    unsafe {
        let mutex = &raw mut MUTEXES[0];
        ExAcquireFastMutex(mutex);
        ExReleaseFastMutex(mutex);
        ExInitializeResourceLite(room());
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(room(), 1);
        ExAcquireResourceExclusiveLite(room(), 1);
        ExReleaseResourceLite(room());
        ExReleaseResourceLite(room());
        ExAcquirePushLockExclusiveEx(&raw mut PUSH_LOCK, 0);
        ExReleasePushLockExclusiveEx(&raw mut PUSH_LOCK, 0);
        KeLeaveCriticalRegion();
        ExDeleteResourceLite(room());

        // One lock after the other, in one order.
        for _ in 0..2 {
            let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
            let inner = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[1]);
            KeReleaseSpinLock(&raw mut SPIN_LOCKS[1], inner);
            KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
        }

        KeInitializeEvent(&raw mut EVENT, 0, 0);
        KeInitializeDpc((&raw mut DPC).cast(), sets_event, null_mut());
        KeInitializeTimer(room());
        KeSetTimer(room(), -10_000, (&raw mut DPC).cast());
        KeWaitForSingleObject((&raw mut EVENT).cast(), 0, 0, 0, null());
        KeSetTimer(room(), HOUR, (&raw mut DPC).cast());
        KeCancelTimer(room());
        KeFlushQueuedDpcs();

        KeInitializeEvent(&raw mut EVENT, 0, 0);
        let item = FltAllocateGenericWorkItem();
        FltQueueGenericWorkItem(item, state.filter, frees_item, 1, null_mut());
        KeWaitForSingleObject((&raw mut EVENT).cast(), 0, 0, 0, null());

        ExInitializeLookasideListEx(room(), null(), null(), NON_PAGED_NX, 0, 64, TAG, 0);
        ExDeleteLookasideListEx(room());

        let mut name = null_mut();
        FltGetFileNameInformation(state.data, 0x102, &mut name);
        FltReleaseFileNameInformation(name);

        let mut context = null_mut();
        FltAllocateContext(state.filter, INSTANCE_CONTEXT, 16, NON_PAGED_NX, &mut context);
        FltSetInstanceContext(state.instance, 0, context, null_mut());
        FltReleaseContext(context);
        let mut found = null_mut();
        FltGetInstanceContext(state.instance, &mut found);
        if found == context {
            write_volatile(found.cast::<u64>(), 1);
            FltReleaseContext(found);
        }

        let paged = ExAllocatePool2(PAGED, 16, TAG);
        let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
        write_volatile(paged, 1);
        let whole = ExAllocatePool2(NON_PAGED, 32, TAG);
        RtlCopyMemory(whole.add(16), whole, 16);
        ExFreePoolWithTag(whole, TAG);
        ExFreePoolWithTag(paged, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe extern "system" fn sets_event(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) {
    unsafe { black_box(KeSetEvent(&raw mut EVENT, 0, 0)) };
}

#[inline(never)]
unsafe extern "system" fn frees_item(item: HANDLE, _: HANDLE, _: *mut c_void) {
    unsafe {
        FltFreeGenericWorkItem(item);
        black_box(KeSetEvent(&raw mut EVENT, 0, 0));
    }
}

#[inline(never)]
unsafe fn paged_free_at_dispatch(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(PAGED, 16, TAG);
        let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        ExFreePoolWithTag(block, TAG);
        KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
    }
}

#[inline(never)]
unsafe fn freed_elsewhere(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 64, TAG);
        ExFreePoolWithTag(block.add(16), TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn executable_pool(_: &mut State) {
    const EXECUTE: u64 = 0x80;
    unsafe { black_box(ExAllocatePool2(EXECUTE, 64, TAG)) };
}

/// Paged pool under a spin lock. It may be there, most of the time.
#[inline(never)]
unsafe fn paged_touched(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(PAGED, 16, TAG);
        let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        black_box(read_volatile(block));
        KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
        ExFreePoolWithTag(block, TAG);
    }
}

#[inline(never)]
unsafe fn spin_recursion(_: &mut State) {
    unsafe {
        let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
    }
}

/// Two orders. Nobody has to wait for that to be wrong.
#[inline(never)]
unsafe fn lock_order(_: &mut State) {
    unsafe {
        for first in 0..2 {
            let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[first]);
            let inner = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[1 - first]);
            KeReleaseSpinLock(&raw mut SPIN_LOCKS[1 - first], inner);
            KeReleaseSpinLock(&raw mut SPIN_LOCKS[first], old);
        }
    }
}

#[inline(never)]
unsafe fn mutex_left(_: &mut State) {
    unsafe {
        ExAcquireFastMutex(&raw mut MUTEXES[0]);
        // So that the lock shows, and not the IRQL.
        asm!("mov cr8, {}", in(reg) 0u64);
    }
    black_box(());
}

#[inline(never)]
unsafe fn mutex_at_dispatch(_: &mut State) {
    unsafe {
        let old = KeAcquireSpinLockRaiseToDpc(&raw mut SPIN_LOCKS[0]);
        ExAcquireFastMutex(&raw mut MUTEXES[0]);
        ExReleaseFastMutex(&raw mut MUTEXES[0]);
        KeReleaseSpinLock(&raw mut SPIN_LOCKS[0], old);
    }
}

#[inline(never)]
unsafe fn resource_without_region(_: &mut State) {
    unsafe {
        ExInitializeResourceLite(room());
        ExAcquireResourceExclusiveLite(room(), 1);
        ExReleaseResourceLite(room());
        ExDeleteResourceLite(room());
        black_box(());
    }
}

#[inline(never)]
unsafe fn resource_in_freed(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 0x68, TAG);
        ExInitializeResourceLite(block.cast());
        ExFreePoolWithTag(block, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn resource_left(_: &mut State) {
    unsafe { black_box(ExInitializeResourceLite(room())) };
}

#[inline(never)]
unsafe fn push_lock_without_region(_: &mut State) {
    unsafe {
        ExAcquirePushLockExclusiveEx(&raw mut PUSH_LOCK, 0);
        ExReleasePushLockExclusiveEx(&raw mut PUSH_LOCK, 0);
        black_box(());
    }
}

#[inline(never)]
unsafe fn invalid_handle(_: &mut State) {
    unsafe { black_box(ZwClose(0x1238 as HANDLE)) };
}

#[inline(never)]
unsafe fn odd_string(_: &mut State) {
    let name = [b'a' as u16; 4];
    let mut name = string(&name);
    name.Length = 7;
    let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
    let mut key = null_mut();
    unsafe { black_box(ZwOpenKey(&mut key, 1, &attributes)) };
}

#[inline(never)]
unsafe fn paged_event(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(PAGED, 24, TAG);
        KeInitializeEvent(block.cast(), 0, 0);
        ExFreePoolWithTag(block, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn trace_unregistered_twice(_: &mut State) {
    let mut handle = 0;
    unsafe {
        EtwRegister(&[1, 2, 3, 4], null(), null(), &mut handle);
        EtwUnregister(handle);
        black_box(EtwUnregister(handle));
    }
}

#[inline(never)]
unsafe fn memcpy_overlap(_: &mut State) {
    let mut bytes = [7u8; 64];
    unsafe { black_box(RtlCopyMemory(bytes.as_mut_ptr().add(8), bytes.as_ptr(), 32)) };
    black_box(&mut bytes);
}

/// Calls the kernel on a stack of its own.
#[inline(never)]
unsafe fn stack_switched(_: &mut State) {
    unsafe {
        let stack = ExAllocatePool2(NON_PAGED, 0x1000, TAG);
        let call = black_box(KeGetCurrentIrql as unsafe extern "system" fn() -> u8);
        asm!(
            "mov r12, rsp",
            "mov rsp, {stack}",
            "call {call}",
            "mov rsp, r12",
            stack = in(reg) stack.add(0xF00),
            call = in(reg) call,
            out("r12") _,
            clobber_abi("system"),
        );
        ExFreePoolWithTag(stack, TAG);
    }
}

#[inline(never)]
unsafe fn fast_fail(_: &mut State) {
    unsafe { asm!("int 0x29", in("rcx") 2u64) };
    black_box(());
}

#[inline(never)]
unsafe fn timer_left(_: &mut State) {
    unsafe {
        KeInitializeDpc((&raw mut DPC).cast(), sets_event, null_mut());
        KeInitializeTimer(room());
        black_box(KeSetTimer(room(), HOUR, (&raw mut DPC).cast()));
    }
}

#[inline(never)]
unsafe fn timer_in_freed(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 64, TAG);
        KeInitializeTimer(block.cast());
        KeSetTimer(block.cast(), HOUR, null_mut());
        ExFreePoolWithTag(block, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn dpc_waits(_: &mut State) {
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 0, 0);
        KeInitializeDpc((&raw mut DPC).cast(), waits_in_dpc, null_mut());
        KeInsertQueueDpc((&raw mut DPC).cast(), null_mut(), null_mut());
        KeWaitForSingleObject((&raw mut EVENT).cast(), 0, 0, 0, null());
        black_box(());
    }
}

#[inline(never)]
unsafe extern "system" fn waits_in_dpc(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) {
    unsafe { black_box(KeWaitForSingleObject((&raw mut EVENT).cast(), 0, 0, 0, null())) };
}

#[inline(never)]
unsafe fn work_item_left(_: &mut State) {
    unsafe { black_box(FltAllocateGenericWorkItem()) };
}

#[inline(never)]
unsafe fn work_item_freed_queued(state: &mut State) {
    unsafe {
        let items = [FltAllocateGenericWorkItem(), FltAllocateGenericWorkItem()];
        // The one behind another is surely still queued.
        for item in items {
            FltQueueGenericWorkItem(item, state.filter, sleeps, 1, null_mut());
        }
        FltFreeGenericWorkItem(items[1]);
        black_box(());
    }
}

unsafe extern "system" fn sleeps(_: HANDLE, _: HANDLE, _: *mut c_void) {
    let second = -10_000_000;
    unsafe { black_box(KeDelayExecutionThread(0, 0, &second)) };
}

#[inline(never)]
unsafe fn lookaside_left(_: &mut State) {
    unsafe { initialize_list() };
    black_box(());
}

#[inline(never)]
unsafe fn lookaside_twice(_: &mut State) {
    unsafe {
        initialize_list();
        initialize_list();
    }
    black_box(());
}

#[inline(always)]
unsafe fn initialize_list() {
    unsafe {
        ExInitializeLookasideListEx(room(), null(), null(), NON_PAGED_NX, 0, 64, TAG, 0);
    }
}

/// Asks for a post-operation callback and has none.
#[inline(never)]
unsafe fn post_callback_missing(state: &mut State) {
    state.answer = 0;
}

/// Completes the operation with `STATUS_PENDING`.
#[inline(never)]
unsafe fn completed_pending(state: &mut State) {
    const STATUS: usize = 24;
    unsafe { write_volatile(state.data.cast::<u8>().add(STATUS).cast::<u64>(), 0x103) };
    state.answer = 4;
}

#[inline(never)]
unsafe fn name_released_twice(state: &mut State) {
    let mut name = null_mut();
    unsafe {
        FltGetFileNameInformation(state.data, 0x102, &mut name);
        FltReleaseFileNameInformation(name);
        FltReleaseFileNameInformation(name);
    }
    black_box(());
}

#[inline(never)]
unsafe fn name_left(state: &mut State) {
    let mut name = null_mut();
    unsafe { black_box(FltGetFileNameInformation(state.data, 0x102, &mut name)) };
}

#[inline(never)]
unsafe fn context_left(state: &mut State) {
    let mut context = null_mut();
    unsafe {
        black_box(FltAllocateContext(
            state.filter,
            INSTANCE_CONTEXT,
            16,
            NON_PAGED_NX,
            &mut context,
        ));
    }
}

#[inline(never)]
unsafe fn context_after_free(state: &mut State) {
    let mut context = null_mut();
    unsafe {
        FltAllocateContext(state.filter, INSTANCE_CONTEXT, 16, NON_PAGED_NX, &mut context);
        FltReleaseContext(context);
        black_box(read_volatile(context.cast::<u64>()));
    }
}

/// The request goes on and writes to a frame that is gone.
#[inline(never)]
unsafe fn status_on_stack(_: &mut State) {
    const PATH: &[u8; 23] = b"\\SystemRoot\\planted.bin";
    let mut path = [0u16; PATH.len()];
    for (unit, byte) in path.iter_mut().zip(PATH) {
        *unit = u16::from(*byte);
    }
    let name = string(&path);
    let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
    let (mut file, mut block, mut buffer) = (null_mut(), [0; 2], [0u8; 8]);
    let start = 0;
    unsafe {
        ZwCreateFile(
            &mut file,
            0x12_0089,
            &attributes,
            &mut block,
            null(),
            0x80,
            7,
            1,
            0,
            null(),
            0,
        );
        ZwReadFile(
            file,
            null_mut(),
            null(),
            null(),
            &mut block,
            buffer.as_mut_ptr(),
            8,
            &start,
            null(),
        );
    }
    black_box(&mut buffer);
}

// What the host does not see.

/// A decision by memory that nobody has written. It is no pointer, so nothing faults.
#[inline(never)]
unsafe fn uninitialised_number(_: &mut State) {
    const UNINITIALIZED: u64 = 2;
    unsafe {
        let block = ExAllocatePool2(NON_PAGED | UNINITIALIZED, 16, TAG);
        if read_volatile(block) > 7 {
            black_box(KeGetCurrentIrql());
        }
        ExFreePoolWithTag(block, TAG);
    }
}

/// Writes beyond a local into its neighbour in the same frame.
#[inline(never)]
unsafe fn frame_overrun(_: &mut State) {
    let mut both = [[0u8; 8]; 2];
    let first = black_box(both.as_mut_ptr().cast::<u8>());
    unsafe { write_volatile(first.add(black_box(8)), 1) };
    black_box(&both);
}

static mut SUM: u32 = 0;

/// Adds to a shared number without lock; no call lies between the load and the store.
#[inline(never)]
unsafe fn added_without_lock(_: &mut State) {
    unsafe { write_volatile(&raw mut SUM, read_volatile(&raw const SUM) + 1) };
    black_box(());
}
