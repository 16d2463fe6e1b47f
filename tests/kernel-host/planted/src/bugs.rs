//! One function a bug. Each is kept out of line, so that a report can name it, and ends with
//! something after its last call: a tail call would take it out of the backtrace.

use core::arch::{asm, global_asm};
use core::hint::black_box;
use core::ptr::{null, null_mut, read_volatile, write_volatile};

use crate::nt::*;

/// What the bugs work on; made at load, given back at unload.
pub struct State {
    pub filter: HANDLE,
    pub context: *mut HANDLE,
    pub data: HANDLE,
    pub instance: HANDLE,
    /// What the pre-operation callback returns.
    pub answer: u32,
    spin_lock: usize,
    push_lock: usize,
    rundown: usize,
}

impl State {
    pub const NEW: State = State {
        filter: null_mut(),
        context: null_mut(),
        data: null_mut(),
        instance: null_mut(),
        answer: 1,
        spin_lock: 0,
        push_lock: 0,
        rundown: 0,
    };
}

pub unsafe fn prepare(state: &mut State) {
    unsafe {
        FltInitializePushLock(&mut state.push_lock);
        ExInitializeRundownProtection(&mut state.rundown);
    }
}

pub unsafe fn give_back(state: &mut State) {
    unsafe { FltDeletePushLock(&mut state.push_lock) };
}

/// By number.
pub const RUN: [unsafe fn(&mut State); 40] = [
    control,
    overrun,
    overrun_slack,
    underrun,
    use_after_free,
    double_free,
    wrong_tag,
    zero_size,
    pool_leak,
    paged_at_dispatch,
    zw_at_dispatch,
    wait_at_dispatch,
    irql_not_restored,
    handle_leak,
    push_lock_leak,
    push_lock_recursion,
    thread_not_joined,
    object_leak,
    over_dereference,
    rundown_leak,
    stack_overflow,
    null_write,
    read_only_write,
    privileged,
    endless_loop,
    user_handle,
    critical_region,
    completion_context,
    panics,
    bad_pointer,
    uninitialised_event,
    not_modelled,
    fault_in_thread,
    push_lock_unknown,
    trace_leak,
    trace_malformed,
    crash_callback_leak,
    crash_callback_calls,
    swallows_opens,
    pipe_as_system,
];

/// Nothing is wrong here: legal but awkward things that the host must let pass.
#[inline(never)]
unsafe fn control(state: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 61, TAG);
        if !block.is_null() {
            write_volatile(block.add(60), 1);
            ExFreePoolWithTag(block, TAG);
        }
        let old = KeAcquireSpinLockRaiseToDpc(&mut state.spin_lock);
        let irql: u64;
        // KeGetCurrentIrql as the WDK inlines it.
        asm!("mov {}, cr8", out(reg) irql, options(nomem, nostack));
        KeReleaseSpinLock(&mut state.spin_lock, old);
        if irql != 2 {
            panics(state);
        }
        FltAcquirePushLockShared(&mut state.push_lock);
        FltReleasePushLock(&mut state.push_lock);
        let thread: usize;
        // KeGetCurrentThread as the WDK inlines it.
        asm!("mov {}, gs:[0x188]", out(reg) thread, options(nostack, readonly));
        if thread == 0 || guarded_read(0xDEAD_0000 as *const u8) != -1 {
            panics(state);
        }
        if guarded_read(c"Q".as_ptr().cast()) != i32::from(b'Q') {
            panics(state);
        }
        let mut large = [0u8; 9000];
        black_box(&mut large);
        DbgPrint(c"planted: control ran, %d %s\n".as_ptr(), 42i32, c"text".as_ptr());
    }
}

#[inline(never)]
unsafe fn overrun(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 64, TAG);
        write_volatile(block.add(64), 1);
        ExFreePoolWithTag(block, TAG);
    }
}

#[inline(never)]
unsafe fn overrun_slack(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 61, TAG);
        write_volatile(block.add(61), 1);
        ExFreePoolWithTag(block, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn underrun(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 4096, TAG);
        write_volatile(block.sub(1), 1);
        ExFreePoolWithTag(block, TAG);
    }
}

#[inline(never)]
unsafe fn use_after_free(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 100, TAG);
        ExFreePoolWithTag(block, TAG);
        black_box(read_volatile(block.add(3)));
    }
}

#[inline(never)]
unsafe fn double_free(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 100, TAG);
        ExFreePoolWithTag(block, TAG);
        ExFreePoolWithTag(block, TAG);
        black_box(());
    }
}

#[inline(never)]
unsafe fn wrong_tag(_: &mut State) {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 100, TAG);
        ExFreePoolWithTag(block, u32::from_le_bytes(*b"Othr"));
        black_box(());
    }
}

#[inline(never)]
unsafe fn zero_size(_: &mut State) {
    unsafe { black_box(ExAllocatePool2(NON_PAGED, 0, TAG)) };
}

#[inline(never)]
unsafe fn pool_leak(_: &mut State) {
    unsafe { black_box(ExAllocatePool2(NON_PAGED, 333, TAG)) };
}

#[inline(never)]
unsafe fn paged_at_dispatch(state: &mut State) {
    unsafe {
        let old = KeAcquireSpinLockRaiseToDpc(&mut state.spin_lock);
        let block = ExAllocatePool2(PAGED, 16, TAG);
        ExFreePoolWithTag(block, TAG);
        KeReleaseSpinLock(&mut state.spin_lock, old);
    }
}

#[inline(never)]
unsafe fn zw_at_dispatch(state: &mut State) {
    unsafe {
        let old = KeAcquireSpinLockRaiseToDpc(&mut state.spin_lock);
        let key = open_key(OBJ_KERNEL_HANDLE);
        ZwClose(key);
        KeReleaseSpinLock(&mut state.spin_lock, old);
    }
}

#[inline(never)]
unsafe fn wait_at_dispatch(state: &mut State) {
    unsafe {
        let mut event = KEVENT([0; 3]);
        KeInitializeEvent(&mut event, 0, 0);
        let old = KeAcquireSpinLockRaiseToDpc(&mut state.spin_lock);
        KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, null());
        KeReleaseSpinLock(&mut state.spin_lock, old);
    }
}

#[inline(never)]
unsafe fn irql_not_restored(state: &mut State) {
    unsafe {
        KeAcquireSpinLockRaiseToDpc(&mut state.spin_lock);
        KeReleaseSpinLock(&mut state.spin_lock, 2);
        black_box(());
    }
}

#[inline(never)]
unsafe fn handle_leak(_: &mut State) {
    unsafe { black_box(open_key(OBJ_KERNEL_HANDLE)) };
}

#[inline(never)]
unsafe fn push_lock_leak(state: &mut State) {
    unsafe { FltAcquirePushLockExclusive(&mut state.push_lock) };
    black_box(());
}

#[inline(never)]
unsafe fn push_lock_recursion(state: &mut State) {
    unsafe {
        FltAcquirePushLockShared(&mut state.push_lock);
        FltAcquirePushLockShared(&mut state.push_lock);
        FltReleasePushLock(&mut state.push_lock);
        FltReleasePushLock(&mut state.push_lock);
        black_box(());
    }
}

#[inline(never)]
unsafe fn thread_not_joined(_: &mut State) {
    unsafe { start_thread(sleeps_for_an_hour) };
    black_box(());
}

#[inline(never)]
unsafe fn object_leak(_: &mut State) {
    unsafe { black_box(ObfReferenceObject(IoGetCurrentProcess())) };
}

#[inline(never)]
unsafe fn over_dereference(_: &mut State) {
    unsafe { black_box(ObfDereferenceObject(IoGetCurrentProcess())) };
}

#[inline(never)]
unsafe fn rundown_leak(state: &mut State) {
    unsafe { black_box(ExAcquireRundownProtection(&mut state.rundown)) };
}

#[inline(never)]
unsafe fn stack_overflow(_: &mut State) {
    unsafe { black_box(deeper(1000)) };
}

#[inline(never)]
unsafe fn deeper(depth: u32) -> u32 {
    let mut frame = [depth as u8; 512];
    black_box(&mut frame);
    let below = if depth == 0 { 0 } else { unsafe { deeper(depth - 1) } };
    below + u32::from(black_box(&frame)[7])
}

#[inline(never)]
unsafe fn null_write(_: &mut State) {
    unsafe { write_volatile(black_box(0x10 as *mut u32), 1) };
}

#[inline(never)]
unsafe fn read_only_write(_: &mut State) {
    static TABLE: [u32; 4] = [1, 2, 3, 4];
    unsafe { write_volatile(black_box(TABLE.as_ptr().cast_mut()), 9) };
}

#[inline(never)]
unsafe fn privileged(_: &mut State) {
    unsafe { asm!("rdmsr", in("ecx") 0x10, out("eax") _, out("edx") _) };
    black_box(());
}

#[inline(never)]
unsafe fn endless_loop(_: &mut State) {
    while black_box(true) {
        core::hint::spin_loop();
    }
}

#[inline(never)]
unsafe fn user_handle(_: &mut State) {
    unsafe {
        let key = open_key(0);
        ZwClose(key);
        black_box(());
    }
}

#[inline(never)]
unsafe fn critical_region(_: &mut State) {
    unsafe { KeEnterCriticalRegion() };
    black_box(());
}

#[inline(never)]
unsafe fn completion_context(state: &mut State) {
    unsafe { *state.context = state.filter };
}

#[inline(never)]
unsafe fn panics(_: &mut State) {
    let list = black_box([1u8, 2, 3]);
    black_box(list[black_box(7)]);
}

#[inline(never)]
unsafe fn bad_pointer(_: &mut State) {
    let mut string = UNICODE_STRING { Length: 0, MaximumLength: 0, Buffer: null() };
    unsafe { RtlInitUnicodeString(&mut string, 0x5000 as *const u16) };
    black_box(string.Length);
}

#[inline(never)]
unsafe fn uninitialised_event(_: &mut State) {
    let mut event = KEVENT([0; 3]);
    unsafe { black_box(KeSetEvent(&mut event, 0, 0)) };
}

#[inline(never)]
unsafe fn not_modelled(_: &mut State) {
    unsafe { KePlantedNonsense() };
    black_box(());
}

#[inline(never)]
unsafe fn fault_in_thread(state: &mut State) {
    unsafe {
        start_thread(writes_to_null);
        // So that the bug is found while this waits.
        ExWaitForRundownProtectionRelease(&mut state.rundown);
        let second = -10_000_000;
        KeDelayExecutionThread(0, 0, &second);
    }
}

unsafe extern "system" fn writes_to_null(_: *mut core::ffi::c_void) {
    let mut state = State::NEW;
    unsafe { null_write(&mut state) };
}

unsafe extern "system" fn sleeps_for_an_hour(_: *mut core::ffi::c_void) {
    let hour: i64 = -36_000_000_000;
    unsafe { KeDelayExecutionThread(0, 0, &hour) };
}

#[inline(never)]
unsafe fn start_thread(routine: unsafe extern "system" fn(*mut core::ffi::c_void)) {
    unsafe {
        let mut handle = null_mut();
        let name = string(&[]);
        let mut own = attributes(&name, OBJ_KERNEL_HANDLE);
        own.ObjectName = null();
        let none = null_mut();
        PsCreateSystemThread(&mut handle, 0x1F_FFFF, &own, none, none, routine, none);
        ZwClose(handle);
    }
}

/// Opens `\Registry\Machine`.
#[inline(never)]
pub unsafe fn open_key(flags: u32) -> HANDLE {
    let mut name = [0u16; 17];
    for (unit, byte) in name.iter_mut().zip(*b"\\Registry\\Machine") {
        *unit = u16::from(byte);
    }
    let name = string(&name);
    let attributes = attributes(&name, flags);
    let mut key = null_mut();
    unsafe { ZwOpenKey(&mut key, 1, &attributes) };
    key
}

// Reads a byte under structured exception handling: -1 if that faults.
global_asm!(
    ".globl planted_guarded_read",
    ".seh_proc planted_guarded_read",
    "planted_guarded_read:",
    "sub rsp, 40",
    ".seh_stackalloc 40",
    ".seh_endprologue",
    ".seh_handler {handler}, @except",
    ".seh_handlerdata",
    ".long 1",
    ".long (2f)@IMGREL",
    ".long (3f)@IMGREL",
    ".long 1",
    ".long (4f)@IMGREL",
    ".text",
    "2:",
    "movzx eax, byte ptr [rcx]",
    "nop",
    "3:",
    "add rsp, 40",
    "ret",
    "4:",
    "mov eax, -1",
    "jmp 3b",
    ".seh_endproc",
    handler = sym __C_specific_handler,
);

unsafe extern "system" {
    #[link_name = "planted_guarded_read"]
    fn guarded_read(address: *const u8) -> i32;
}

#[inline(never)]
unsafe fn push_lock_unknown(_: &mut State) {
    let mut lock = 0;
    unsafe {
        FltAcquirePushLockShared(&mut lock);
        FltReleasePushLock(&mut lock);
    }
    black_box(lock);
}

const GUID: [u32; 4] = [0x1111_1111, 0x2222_3333, 0x4444_5555, 0x6666_7777];

#[inline(never)]
unsafe fn trace_leak(_: &mut State) {
    let mut handle = 0;
    unsafe { EtwRegister(&GUID, null(), null(), &mut handle) };
    black_box(handle);
}

/// The event's description says one field more than there are values.
#[inline(never)]
unsafe fn trace_malformed(_: &mut State) {
    let provider = *b"\x07\0Plnt\0";
    let metadata = *b"\x08\0\0E\0F\0\x08";
    // Channel 11, level 4, keyword 1.
    let event = [11_u64 << 24 | 4 << 32, 1];
    let data = [[provider.as_ptr() as u64, 7 | 2 << 32], [metadata.as_ptr() as u64, 8 | 1 << 32]];
    let mut handle = 0;
    unsafe {
        EtwRegister(&GUID, null(), null(), &mut handle);
        EtwWriteTransfer(handle, event.as_ptr(), null(), null(), 2, data.as_ptr());
        EtwUnregister(handle);
        black_box(());
    }
}

static mut RECORD: [u64; 6] = [0; 6];

#[inline(never)]
unsafe fn crash_callback_leak(_: &mut State) {
    unsafe { register_crash_callback(says_nothing) };
    black_box(());
}

/// The bug shows when the machine goes down.
#[inline(never)]
unsafe fn crash_callback_calls(_: &mut State) {
    unsafe { register_crash_callback(asks_for_the_time) };
    black_box(());
}

#[inline(never)]
unsafe fn register_crash_callback(routine: CrashCallback) {
    const SECONDARY_DUMP_DATA: u32 = 2;
    let record = (&raw mut RECORD).cast();
    let name = c"planted".as_ptr();
    unsafe { KeRegisterBugCheckReasonCallback(record, routine, SECONDARY_DUMP_DATA, name) };
    black_box(());
}

unsafe extern "system" fn says_nothing(_: u32, _: HANDLE, _: *mut core::ffi::c_void, _: u32) {}

unsafe extern "system" fn asks_for_the_time(_: u32, _: HANDLE, _: *mut core::ffi::c_void, _: u32) {
    black_box(unsafe { KeQueryUnbiasedInterruptTime() });
}

/// Not a bug of this driver but a trick played on those below it: opens of pipes end here.
#[inline(never)]
unsafe fn swallows_opens(_: &mut State) {
    black_box(());
}

/// Whoever has made that pipe may speak for the system.
#[inline(never)]
unsafe fn pipe_as_system(_: &mut State) {
    let mut name = [0u16; 19];
    for (unit, byte) in name.iter_mut().zip(*b"\\Device\\NamedPipe\\a") {
        *unit = u16::from(byte);
    }
    let name = string(&name);
    let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
    let (mut file, mut block) = (null_mut(), [0; 2]);
    unsafe {
        ZwCreateFile(&mut file, 0x80, &attributes, &mut block, null(), 0, 3, 1, 0, null(), 0);
    }
    black_box(file);
}
