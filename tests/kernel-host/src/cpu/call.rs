//! Calling into a driver and judging how it came back.

use std::sync::atomic::Ordering;

use super::asm::{enter_driver, is_memcpy_overlap};
use super::kpcr::{HardwareFault, Kpcr};
use super::signal::CALL_OUT;
use super::{Registers, Trap};
use crate::bug::{Access, Bug, BugKind};
use crate::guest;
use crate::kernel::Kernel;

/// `si_code` of a general protection fault.
const GENERAL_PROTECTION: i32 = 0x80;
const PAGE: u64 = 4096;
/// `int 29h`.
const FAST_FAIL: u16 = 0x29CD;

/// What a driver routine returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub value: u64,
    /// Stack used at the deepest API call, the API's own share charged.
    pub stack_charged: usize,
}

/// Calls `target` in the driver with register-sized arguments, on this thread.
///
/// An `Err` that is the driver's fault has stopped the kernel: the instance is dead.
pub(crate) fn enter(kernel: &Kernel, target: u64, arguments: &[u64]) -> Result<Returned, Box<Bug>> {
    let kpcr = Kpcr::current();
    if kernel.is_stopping() {
        return Err(kernel.crash_or_stopped());
    }
    let depth = kpcr.depth.get();
    if depth == 0 {
        if let Some(schedule) = kernel.sched().schedule() {
            schedule.enter(kernel, kpcr.shared.tid);
            kernel.hide_paged(kpcr.irql.get() as u8);
        }
        if kpcr.watched_by.replace(kernel.id()) != kernel.id() {
            kernel.watched().add(&kpcr.shared);
        }
        kpcr.low.set(kpcr.stack_high);
        kpcr.shared.hung.store(false, Ordering::Relaxed);
        if kernel.is_checked() {
            kpcr.repaint();
        }
    }
    let mut registers = [0u64; 12];
    registers[..arguments.len()].copy_from_slice(arguments);
    let outermost = kpcr.stack_high - kpcr.used_above.get();
    let stack_top = if depth == 0 { outermost } else { (kpcr.api_frame.get() - 0x20) & !15 };
    let before = Before::take(kpcr);
    let previous_kernel = kpcr.kernel.replace(kernel);
    kpcr.depth.set(depth + 1);
    kpcr.shared.depth.store(depth + 1, Ordering::Relaxed);
    let progress = &kpcr.shared.progress;
    progress.store(progress.load(Ordering::Relaxed) + 1, Ordering::Relaxed);

    // SAFETY: runs driver code; a fault in it comes back as `how == 1` (see `signal`).
    let outcome = unsafe { enter_driver(target, &registers, stack_top) };

    kpcr.depth.set(depth);
    kpcr.shared.depth.store(depth, Ordering::Relaxed);
    kpcr.kernel.set(previous_kernel);
    let result = match outcome.how {
        0 => before.judge(kernel, kpcr, target, stack_top).map(|()| Returned {
            value: outcome.value,
            stack_charged: (kpcr.stack_high - kpcr.low.get()) as usize,
        }),
        1 => Err(recovered(kernel, kpcr)),
        _ => Err(Box::new(Bug::at(kernel, BugKind::Registers, target))),
    };
    result.map_err(|bug| {
        before.put_back(kpcr);
        // Who is stopped because of a bug elsewhere tells that bug.
        let bug = if bug.kind == BugKind::Stopped { kernel.crash_or_stopped() } else { bug };
        let bug = kernel.with_schedule(bug);
        kernel.crash(&bug);
        bug
    })
}

/// How drivers are called that a test wants to see under strain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// The IRQL at which they are called.
    pub irql: u8,
    /// Bytes of the kernel stack that other components have used by then, in whole paragraphs.
    pub stack_used: usize,
}

impl Kernel {
    /// Runs something on this thread; drivers that it calls find these surroundings. The filter
    /// manager documents PASSIVE_LEVEL for creates, so a driver may do there whatever is safe.
    pub fn surrounded<T>(&self, by: Surroundings, run: impl FnOnce() -> T) -> T {
        let kpcr = Kpcr::current();
        let used = (by.stack_used as u64).min(kpcr.stack_high - kpcr.stack_low) & !15;
        let before = (kpcr.irql.replace(by.irql.into()), kpcr.used_above.replace(used));
        let result = run();
        kpcr.irql.set(before.0);
        kpcr.used_above.set(before.1);
        result
    }

    /// From now on drivers that this thread calls find this IRQL. Within [`Self::surrounded`], which
    /// sets it back.
    pub fn at_irql(&self, irql: u8) {
        Kpcr::current().irql.set(irql.into());
    }
}

/// The current thread's KTHREAD.
pub(crate) fn thread_object() -> u64 {
    Kpcr::current().thread_object()
}

/// What a driver routine must leave as it was.
struct Before {
    irql: u64,
    apc_disabled: i32,
    held: usize,
}

impl Before {
    fn take(kpcr: &Kpcr) -> Before {
        Before {
            irql: kpcr.irql.get(),
            apc_disabled: kpcr.apc_disabled.get(),
            held: kpcr.held.borrow().len(),
        }
    }

    fn judge(
        &self,
        kernel: &Kernel,
        kpcr: &Kpcr,
        target: u64,
        stack_top: u64,
    ) -> Result<(), Box<Bug>> {
        let irql = kpcr.irql.get();
        let kind = if irql != self.irql {
            BugKind::IrqlNotRestored { before: self.irql as u8, after: irql as u8 }
        } else if kpcr.held.borrow().len() > self.held {
            let held = kpcr.held.borrow();
            let lock = &held[self.held];
            let bug = Bug::at(kernel, BugKind::LockHeld { what: lock.what }, target)
                .with_site(kernel, "acquired", &lock.site);
            return Err(Box::new(bug));
        } else if kpcr.apc_disabled.get() != self.apc_disabled {
            BugKind::ApcCount { before: self.apc_disabled, after: kpcr.apc_disabled.get() }
        } else if kernel.requests().touch(&(kpcr.stack_low..stack_top)) {
            BugKind::RequestOnStack
        } else {
            return Ok(());
        };
        Err(Box::new(Bug::at(kernel, kind, target)))
    }

    fn put_back(&self, kpcr: &Kpcr) {
        kpcr.irql.set(self.irql);
        kpcr.apc_disabled.set(self.apc_disabled);
        kpcr.held.borrow_mut().truncate(self.held);
    }
}

/// Makes the report of a driver call that did not return.
fn recovered(kernel: &Kernel, kpcr: &Kpcr) -> Box<Bug> {
    let fault = kpcr.fault.take();
    let stack = kpcr.stack_low..kpcr.stack_high;
    let (kind, registers, precise) = match kpcr.trap.borrow_mut().take() {
        Some((Trap::Bug(bug), _)) => return bug,
        Some((Trap::Kind(kind), registers)) => (*kind, registers, false),
        None => match fault {
            Some(fault) => (kind_of(kernel, kpcr, &fault), fault.registers, true),
            None => (BugKind::Stopped, Registers::default(), true),
        },
    };
    if kind.is_orderly() {
        return Box::new(Bug::bare(kind));
    }
    let frames = kernel.walk(registers, &stack, precise, 48);
    let mut bug = Bug::bare(kind).with_frames(kernel, &frames, precise);
    if let Some(fault) = fault {
        bug = bug.with_pool_history(kernel, fault.address);
    }
    Box::new(bug)
}

fn kind_of(kernel: &Kernel, kpcr: &Kpcr, fault: &HardwareFault) -> BugKind {
    let address = fault.address;
    match fault.signal {
        CALL_OUT if kernel.is_stopping() => BugKind::Stopped,
        CALL_OUT => BugKind::Hang,
        libc::SIGILL if is_memcpy_overlap(fault.registers.rip) => {
            BugKind::Misuse { api: "memcpy", why: "source and target overlap".to_owned() }
        }
        libc::SIGILL => BugKind::IllegalInstruction,
        libc::SIGTRAP => BugKind::Breakpoint,
        libc::SIGFPE => BugKind::DivideError,
        _ if fault.code == GENERAL_PROTECTION => match guest::read(fault.registers.rip) {
            Ok(FAST_FAIL) => BugKind::FastFail { code: fault.registers.general[1] },
            _ => BugKind::GeneralProtection,
        },
        _ if address >= kpcr.stack_low - PAGE && address < kpcr.stack_low => BugKind::StackOverflow,
        _ => {
            let access = match fault.error {
                error if error & 16 != 0 => Access::Execute,
                error if error & 2 != 0 => Access::Write,
                _ => Access::Read,
            };
            BugKind::Fault { access, address }
        }
    }
}
