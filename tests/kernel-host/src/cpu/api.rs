//! What every API call has in common: the table entry, the checks before it, the way out of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::asm::leave_api;
use super::kpcr::Kpcr;
use super::{Registers, Site};
use crate::bug::{Bug, BugKind};
use crate::guest::{self, Fault};
use crate::kernel::Kernel;
use crate::sched::Schedule;
use crate::status::NtStatus;

/// `PASSIVE_LEVEL`.
pub(crate) const PASSIVE: u8 = 0;
/// `APC_LEVEL`.
pub(crate) const APC: u8 = 1;
/// `DISPATCH_LEVEL`.
pub(crate) const DISPATCH: u8 = 2;
/// No limit (`HIGH_LEVEL`).
pub(crate) const ANY: u8 = 15;

/// A modelled export: what an import stub points at.
#[repr(C)]
pub(crate) struct Rec {
    /// An `extern "win64"` function; must be the first field, the assembly calls through it.
    entry: *const (),
    pub name: &'static str,
    pub dll: &'static str,
    pub max_irql: u8,
    /// Stack that the real API is thought to need.
    pub cost: u32,
    /// What it returns when fault injection picks it; `None` for an API that cannot fail.
    pub failure: Option<u64>,
}

// SAFETY: immutable; `entry` is the address of a function.
unsafe impl Sync for Rec {}

impl Rec {
    pub(crate) const fn new(
        entry: *const (),
        name: &'static str,
        dll: &'static str,
        max_irql: u8,
        cost: u32,
        failure: Option<u64>,
    ) -> Rec {
        Rec { entry, name, dll, max_irql, cost, failure }
    }
}

/// Declares APIs: `dll [max IRQL, stack cost, fails STATUS] fn Name(cx, arguments) -> type { body }`.
///
/// A body returns `Result<type, Trap>`; an `Err` ends the driver call that is running.
macro_rules! apis {
    ($(
        $(#[$meta:meta])*
        $dll:ident [$irql:expr, $cost:expr $(, fails $failure:expr)?]
        fn $name:ident($cx:ident $(, $arg:ident: $type:ty)* $(,)?) -> $ret:ty $body:block
    )*) => {
        /// The APIs of this module.
        pub(crate) static APIS: &[&$crate::cpu::Rec] = &[$({
            extern "win64" fn entry($($arg: $type),*) -> u64 {
                $crate::cpu::enter_api(&RECORD, |$cx| -> Result<$ret, $crate::cpu::Trap> {
                    $body
                })
            }
            static RECORD: $crate::cpu::Rec = $crate::cpu::Rec::new(
                entry as *const (),
                stringify!($name),
                stringify!($dll),
                $irql,
                $cost,
                apis!(@failure $($failure)?),
            );
            &RECORD
        }),*];
    };
    (@failure) => { None };
    (@failure $failure:expr) => { Some($failure as u64) };
}
pub(crate) use apis;

/// Why an API does not return to its caller.
pub(crate) enum Trap {
    /// Found here: the report is made where the driver was entered.
    Kind(Box<BugKind>),
    /// Came up from a nested driver call.
    Bug(Box<Bug>),
}

impl From<BugKind> for Trap {
    fn from(kind: BugKind) -> Trap {
        Trap::Kind(Box::new(kind))
    }
}

impl From<Box<Bug>> for Trap {
    fn from(bug: Box<Bug>) -> Trap {
        Trap::Bug(bug)
    }
}

impl From<Fault> for Trap {
    fn from(fault: Fault) -> Trap {
        BugKind::BadPointer { address: fault.address }.into()
    }
}

/// A value that an API returns in `rax`.
pub(crate) trait Register {
    fn to_rax(self) -> u64;
}

impl Register for () {
    fn to_rax(self) -> u64 {
        0
    }
}

impl Register for NtStatus {
    fn to_rax(self) -> u64 {
        u64::from(self.0)
    }
}

impl Register for bool {
    fn to_rax(self) -> u64 {
        u64::from(self)
    }
}

macro_rules! registers {
    ($($name:ty),*) => { $(
        impl Register for $name {
            fn to_rax(self) -> u64 { self as u64 }
        }
    )* };
}
registers!(u8, u16, u32, u64, i8, i16, i32, i64);

/// The call that an API body serves.
pub(crate) struct Cx<'a> {
    kpcr: &'a Kpcr,
    record: &'static Rec,
    /// `rsp` after `api_entry` pushed rbp.
    frame: u64,
}

impl<'a> Cx<'a> {
    /// The kernel that the calling driver runs in.
    pub(crate) fn kernel(&self) -> &'a Kernel {
        // SAFETY: set by `enter`, which borrows the kernel for the whole driver call.
        unsafe { &*self.kpcr.kernel.get() }
    }

    pub(crate) fn kpcr(&self) -> &'a Kpcr {
        self.kpcr
    }

    pub(crate) fn irql(&self) -> u8 {
        self.kpcr.irql.get() as u8
    }

    pub(crate) fn set_irql(&self, irql: u8) {
        self.kpcr.irql.set(u64::from(irql));
        self.kernel().hide_paged(irql);
    }

    /// A lock of the kind whose order is watched is about to be taken.
    pub(crate) fn note_order(&self, lock: u64) -> Result<(), Trap> {
        let kernel = self.kernel();
        let held = self.kpcr.held.borrow();
        let ordered = held.iter().filter(|held| matches!(held.what, "spin lock" | "fast mutex"));
        if !kernel.is_checked() {
            return Ok(());
        }
        for before in ordered {
            if let Some(other) = kernel.orders().note(before.address, lock, || self.site()) {
                let what =
                    format!("a {} is held that was taken after this lock before", before.what);
                let kind = BugKind::Misuse { api: self.record.name, why: what };
                let bug = self.report(kind);
                return Err(Box::new(bug.with_site(kernel, "the other order", &other)).into());
            }
        }
        Ok(())
    }

    /// A report of this call.
    fn report(&self, kind: BugKind) -> Bug {
        let kernel = self.kernel();
        let stack = self.kpcr.stack_low..self.kpcr.stack_high;
        let frames = kernel.walk(self.registers(), &stack, false, 48);
        Bug::bare(kind).with_frames(kernel, &frames, false)
    }

    /// A limit that depends on the arguments.
    pub(crate) fn require_irql(&self, what: &'static str, maximum: u8) -> Result<(), Trap> {
        if self.irql() > maximum {
            return Err(BugKind::Irql { api: what, current: self.irql(), maximum }.into());
        }
        Ok(())
    }

    /// Misuse of this API.
    pub(crate) fn misuse(&self, why: impl Into<String>) -> Trap {
        BugKind::Misuse { api: self.record.name, why: why.into() }.into()
    }

    /// A report of this call with what the pool knows about a block.
    pub(crate) fn trap_with_history(&self, bug: Bug, block: u64) -> Trap {
        let kernel = self.kernel();
        let stack = self.kpcr.stack_low..self.kpcr.stack_high;
        let frames = kernel.walk(self.registers(), &stack, false, 48);
        let bug = bug.with_frames(kernel, &frames, false).with_pool_history(kernel, block);
        Trap::Bug(Box::new(bug))
    }

    /// Where variable arguments after `fixed` ones begin.
    pub(crate) fn variable_arguments(&self, fixed: u64) -> u64 {
        self.frame + 0x10 + 8 * fixed
    }

    /// `rsp` of the caller at its call.
    pub(crate) fn caller_stack(&self) -> u64 {
        self.frame + 0x10
    }

    /// Where in the driver this call was made; a few frames in checked mode, one otherwise.
    pub(crate) fn site(&self) -> Site {
        let kernel = self.kernel();
        if !kernel.is_checked() {
            return Site::from([guest::read(self.frame + 8).unwrap_or(0)]);
        }
        let stack = self.kpcr.stack_low..self.kpcr.stack_high;
        kernel.walk(self.registers(), &stack, false, 8).into()
    }

    /// As [`Cx::site`], but nothing in fast mode: for what happens very often.
    pub(crate) fn cheap_site(&self) -> Site {
        if self.kernel().is_checked() { self.site() } else { self.kernel().no_site() }
    }

    /// The caller's registers as far as they are known: enough to unwind.
    fn registers(&self) -> Registers {
        let mut registers =
            Registers { rip: guest::read(self.frame + 8).unwrap_or(0), ..Default::default() };
        registers.general[4] = self.frame + 0x10;
        registers.general[5] = guest::read(self.frame).unwrap_or(0);
        registers
    }

    /// Lets others come first, if the schedule says so. Above DISPATCH_LEVEL nobody comes between.
    #[cold]
    fn take_turns(&self, schedule: &Schedule) -> Result<(), Trap> {
        let kernel = self.kernel();
        if self.irql() <= DISPATCH && !schedule.step(kernel, self.record.name) {
            return Err(BugKind::Hang.into());
        }
        kernel.hide_paged(self.irql());
        if kernel.is_stopping() {
            return Err(BugKind::Stopped.into());
        }
        Ok(())
    }

    /// The checks before every API. `Ok(Some(value))` is an injected failure.
    fn admit(&self) -> Result<Option<u64>, Trap> {
        if self.frame < self.kpcr.stack_low || self.frame >= self.kpcr.stack_high {
            return Err(self.misuse("called on a stack that is not the thread's"));
        }
        let low = self.frame.saturating_sub(u64::from(self.record.cost));
        if low < self.kpcr.low.get() {
            self.kpcr.low.set(low);
        }
        let progress = &self.kpcr.shared.progress;
        progress.store(progress.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.require_irql(self.record.name, self.record.max_irql)?;
        crate::nt::require_no_crash(self)?;
        let kernel = self.kernel();
        if kernel.is_stopping() {
            return Err(BugKind::Stopped.into());
        }
        if self.kpcr.shared.hung.load(Ordering::Relaxed) {
            return Err(BugKind::Hang.into());
        }
        if let Some(schedule) = kernel.sched().schedule() {
            self.take_turns(schedule)?;
        }
        match self.record.failure {
            Some(failure) if kernel.injector().should_fail(self.record.name, || self.site()) => {
                Ok(Some(failure))
            }
            _ => Ok(None),
        }
    }
}

/// The common way through an API: checks, body, and on a trap out of the driver call.
pub(crate) fn enter_api<R: Register>(
    record: &'static Rec,
    body: impl FnOnce(&Cx<'_>) -> Result<R, Trap>,
) -> u64 {
    let kpcr = Kpcr::current();
    let cx = Cx { kpcr, record, frame: kpcr.api_frame.get() };
    let trap = match cx.admit() {
        Ok(None) => match catch_unwind(AssertUnwindSafe(|| body(&cx))) {
            Ok(Ok(value)) => {
                cx.kernel().injector().done(record.name);
                return value.to_rax();
            }
            Ok(Err(trap)) => trap,
            Err(payload) => BugKind::HostPanic { message: panic_text(&*payload) }.into(),
        },
        Ok(Some(failure)) => return failure,
        Err(trap) => trap,
    };
    *kpcr.trap.borrow_mut() = Some((trap, cx.registers()));
    // SAFETY: the body has returned and everything it owned is dropped or moved into the KPCR.
    unsafe { leave_api() }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<String>() {
        return text.clone();
    }
    payload.downcast_ref::<&str>().map_or_else(|| "panic".to_owned(), |text| (*text).to_owned())
}
