//! Faults of driver code become reports; faults of host code stay what they are.

use std::ptr::{self, null_mut};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::asm::{in_api_entry, in_chkstk, in_driver_helper, recover_address, specific_handler};
use super::kpcr::{HardwareFault, Kpcr};
use super::{Registers, seh, shared_data};
use crate::guest;
use crate::kernel::Kernel;
use crate::pe::{Breakpoints, UnwindImage};

/// Signal by which a thread is called out of driver code.
pub(super) const CALL_OUT: i32 = libc::SIGURG;
const SIGNALS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, CALL_OUT];
const DIRECTION_FLAG: i64 = 0x400;
/// `si_code` of a general protection fault.
const SI_KERNEL: i32 = 0x80;

const REGISTERS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// An image whose code counts as driver code. Read by the signal handler without locks.
struct ImageSlot {
    base: AtomicU64,
    end: AtomicU64,
    unwind: AtomicPtr<UnwindImage>,
    breakpoints: AtomicPtr<Breakpoints>,
}

const SLOTS: usize = 256;
static IMAGES: [ImageSlot; SLOTS] = [const {
    ImageSlot {
        base: AtomicU64::new(0),
        end: AtomicU64::new(0),
        unwind: AtomicPtr::new(null_mut()),
        breakpoints: AtomicPtr::new(null_mut()),
    }
}; SLOTS];

/// Adds an image to the table. `None` when 256 images are loaded at once.
///
/// What is passed by pointer must stay valid until [`remove_image`]; the handler reads it only while
/// a thread runs in the image.
pub(crate) fn add_image(
    base: u64,
    size: u64,
    unwind: *const UnwindImage,
    breakpoints: Option<&Breakpoints>,
) -> Option<usize> {
    let breakpoints = breakpoints.map_or(null_mut(), |it| ptr::from_ref(it).cast_mut());
    for (index, slot) in IMAGES.iter().enumerate() {
        if slot.base.compare_exchange(0, u64::MAX, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            slot.end.store(base + size, Ordering::Release);
            slot.unwind.store(unwind.cast_mut(), Ordering::Release);
            slot.breakpoints.store(breakpoints, Ordering::Release);
            slot.base.store(base, Ordering::Release);
            return Some(index);
        }
    }
    None
}

/// Frees the slot of [`add_image`].
pub(crate) fn remove_image(index: usize) {
    let slot = &IMAGES[index];
    slot.end.store(0, Ordering::Release);
    slot.unwind.store(null_mut(), Ordering::Release);
    slot.breakpoints.store(null_mut(), Ordering::Release);
    slot.base.store(0, Ordering::Release);
}

fn slot_of(rip: u64) -> Option<&'static ImageSlot> {
    IMAGES.iter().find(|slot| {
        rip >= slot.base.load(Ordering::Acquire) && rip < slot.end.load(Ordering::Acquire)
    })
}

/// Installs the handlers, once a process. What was there before still gets the host's own faults.
pub(crate) fn install_handlers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (index, signal) in SIGNALS.into_iter().enumerate() {
            let mut action = empty_action();
            action.sa_sigaction = handler as *const () as usize;
            // The handler itself looks at driver memory with probes, whose faults it must get.
            action.sa_flags =
                libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART | libc::SA_NODEFER;
            let previous: *mut libc::sigaction = Box::leak(Box::new(empty_action()));
            PREVIOUS[index].store(previous, Ordering::Release);
            // SAFETY: the handler is async-signal-safe; both structures are valid.
            unsafe { libc::sigaction(signal, &action, previous) };
        }
    });
}

static PREVIOUS: [AtomicPtr<libc::sigaction>; SIGNALS.len()] =
    [const { AtomicPtr::new(null_mut()) }; SIGNALS.len()];

fn empty_action() -> libc::sigaction {
    // SAFETY: an all-zero sigaction is a valid "default action, empty mask".
    unsafe { std::mem::zeroed() }
}

unsafe extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a ucontext_t that is ours to edit.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    // SAFETY: the kernel passes a valid siginfo_t.
    let info = unsafe { &*info };
    let machine = &mut context.uc_mcontext.gregs;
    let rip = machine[libc::REG_RIP as usize] as u64;
    // SAFETY: for the fault signals this field is the address; for the others it is not used.
    let address = unsafe { info.si_addr() } as u64;

    if signal != CALL_OUT && guest::in_probe(rip) {
        machine[libc::REG_RDX as usize] = address as i64;
        machine[libc::REG_RIP as usize] = guest::probe_fault_address() as i64;
        return;
    }
    // The processor stands behind the breakpoint.
    if signal == libc::SIGTRAP && pass_breakpoint(rip.wrapping_sub(1)) {
        machine[libc::REG_RIP as usize] = rip.wrapping_sub(1) as i64;
        return;
    }
    let Some(kpcr) = Kpcr::existing() else {
        return pass_on(signal);
    };
    let on_its_behalf = in_driver_helper(rip) || in_api_entry(rip);
    let in_driver = slot_of(rip).is_some() || (on_its_behalf && kpcr.depth.get() > 0);
    if signal == CALL_OUT {
        // The signal may be late: sent on behalf of a kernel that this thread has left since.
        if in_driver && is_called_out(kpcr) {
            note(kpcr, signal, info.si_code, 0, machine);
            machine[libc::REG_RIP as usize] = recover_address() as i64;
        }
        return;
    }
    if !in_driver && !is_wild_call(kpcr, rip, address, machine) {
        return pass_on(signal);
    }
    if signal == libc::SIGSEGV && info.si_code == SI_KERNEL && emulate_cr8(kpcr, rip, machine) {
        return;
    }
    if signal == libc::SIGSEGV && emulate_shared_data(kpcr, rip, address, machine) {
        return;
    }
    note(kpcr, signal, info.si_code, address, machine);
    if (signal == libc::SIGSEGV || signal == libc::SIGBUS)
        && let Some(resumed) = handled_by_scope(kpcr, machine)
    {
        // Handled: it says nothing about what this thread reports next.
        kpcr.fault.set(None);
        restore(machine, &resumed);
        return;
    }
    machine[libc::REG_RIP as usize] = recover_address() as i64;
}

/// A breakpoint that only counts, and is gone now.
fn pass_breakpoint(address: u64) -> bool {
    let Some(slot) = slot_of(address) else { return false };
    // SAFETY: null, or set by `add_image` and valid while a thread runs in the image, as this one
    // does.
    let breakpoints = unsafe { slot.breakpoints.load(Ordering::Acquire).as_ref() };
    breakpoints.is_some_and(|breakpoints| breakpoints.pass(address))
}

/// The driver called through a bad pointer: `rip` is the faulting address, the stack is its own.
fn is_wild_call(kpcr: &Kpcr, rip: u64, address: u64, machine: &[i64; 23]) -> bool {
    let rsp = machine[libc::REG_RSP as usize] as u64;
    let on_driver_stack = (kpcr.stack_low..kpcr.stack_high).contains(&rsp);
    kpcr.depth.get() > 0 && on_driver_stack && (rip == address || address == 0)
}

fn note(kpcr: &Kpcr, signal: i32, code: i32, address: u64, machine: &[i64; 23]) {
    let mut registers =
        Registers { rip: machine[libc::REG_RIP as usize] as u64, ..Default::default() };
    for (index, register) in REGISTERS.into_iter().enumerate() {
        registers.general[index] = machine[register as usize] as u64;
    }
    let error = machine[libc::REG_ERR as usize] as u64;
    kpcr.fault.set(Some(HardwareFault { signal, code, address, error, registers }));
}

fn restore(machine: &mut [i64; 23], registers: &Registers) {
    for (index, register) in REGISTERS.into_iter().enumerate() {
        machine[register as usize] = registers.general[index] as i64;
    }
    machine[libc::REG_RIP as usize] = registers.rip as i64;
    // `memmove` may have been going backwards; code may rely on the direction being forwards.
    machine[libc::REG_EFL as usize] &= !DIRECTION_FLAG;
}

/// A `__try` block round the access, if there is one: where its `__except` block continues.
fn handled_by_scope(kpcr: &Kpcr, machine: &[i64; 23]) -> Option<Registers> {
    let mut registers = kpcr.fault.get()?.registers;
    if in_driver_helper(registers.rip) {
        // A leaf that keeps its caller's rdi and rsi in r10 and r11; __chkstk is never guarded.
        if in_chkstk(registers.rip) {
            return None;
        }
        registers.general[7] = registers.general[10];
        registers.general[6] = machine[libc::REG_R11 as usize] as u64;
        registers.rip = guest::read(registers.general[4]).ok()?;
        registers.general[4] += 8;
    }
    let slot = slot_of(registers.rip)?;
    // SAFETY: set by `add_image` and valid while a thread runs in the image, as this one does.
    let image = unsafe { slot.unwind.load(Ordering::Acquire).as_ref() }?;
    let stack = kpcr.stack_low..kpcr.stack_high;
    seh::find_handler(image, registers, stack, specific_handler())
}

/// `mov r64, cr8` and `mov cr8, r64` are the inlined IRQL functions.
fn emulate_cr8(kpcr: &Kpcr, rip: u64, machine: &mut [i64; 23]) -> bool {
    let mut code = [0u8; 4];
    for (offset, byte) in code.iter_mut().enumerate() {
        match guest::read(rip + offset as u64) {
            Ok(value) => *byte = value,
            Err(_) => return false,
        }
    }
    let [rex, escape, opcode, modrm] = code;
    if rex & 0xFE != 0x44 || escape != 0x0F || modrm & 0xF8 != 0xC0 {
        return false;
    }
    let register = REGISTERS[usize::from(modrm & 7) + if rex & 1 != 0 { 8 } else { 0 }] as usize;
    match opcode {
        0x20 => machine[register] = kpcr.irql.get() as i64,
        0x22 => kpcr.irql.set(machine[register] as u64 & 15),
        _ => return false,
    }
    kpcr.emulated.set(kpcr.emulated.get() + 1);
    machine[libc::REG_RIP as usize] = rip as i64 + 4;
    true
}

/// Reads of the page that the kernel shares with everybody.
fn emulate_shared_data(kpcr: &Kpcr, rip: u64, address: u64, machine: &mut [i64; 23]) -> bool {
    // SAFETY: null, or set by `enter`, which borrows the kernel for the whole driver call.
    let Some(kernel) = (unsafe { kpcr.kernel.get().as_ref() }) else { return false };
    let modelled = shared_data::is_boot_id(address);
    let Some(load) = shared_data::decode(rip).filter(|_| modelled) else { return false };
    machine[REGISTERS[load.register] as usize] = i64::from(kernel.boot_id());
    machine[libc::REG_RIP as usize] = load.next as i64;
    true
}

/// A fault of host code: the previous handler gets it when the instruction runs again.
fn pass_on(signal: i32) {
    let Some(index) = SIGNALS.iter().position(|known| *known == signal) else {
        return;
    };
    let previous = PREVIOUS[index].load(Ordering::Acquire);
    if signal != CALL_OUT && !previous.is_null() {
        // SAFETY: filled by sigaction in `install_handlers`, never freed.
        unsafe { libc::sigaction(signal, previous, null_mut()) };
    }
}

/// The thread is to leave driver code: its watchdog gave up on it, or its kernel stops.
fn is_called_out(kpcr: &Kpcr) -> bool {
    // SAFETY: null, or set by `enter`, which borrows the kernel for the whole driver call.
    let kernel = unsafe { kpcr.kernel.get().as_ref() };
    kpcr.shared.hung.load(Ordering::Relaxed) || kernel.is_some_and(Kernel::is_stopping)
}

/// Calls a thread out of driver code.
pub(crate) fn call_out(tid: i32) {
    let process = std::process::id();
    // SAFETY: a signal that our handler ignores outside driver code; a stale id is an error only.
    unsafe { libc::syscall(libc::SYS_tgkill, process, tid, CALL_OUT) };
}
