//! Routines that are told of the beginning and end of processes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bug::Bug;
use crate::cpu::{Kpcr, PASSIVE, apis};
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::process::Process;
use crate::sched::Deadline;
use crate::status::NtStatus;

/// Routines that can be registered: all drivers of a machine share them [DDI:
/// ntddk/nf-ntddk-pssetcreateprocessnotifyroutineex; the number is what is told of Windows].
const ROOM: usize = 64;

const NAME: &str = "PsSetCreateProcessNotifyRoutineEx";

/// A registered routine, and the calls of it that run now.
#[derive(Clone, Copy, Debug)]
struct Routine {
    address: u64,
    running: u32,
    leaving: bool,
}

/// The routines of a kernel.
#[derive(Debug, Default)]
pub(crate) struct ProcessNotify(Mutex<Vec<Routine>>);

impl ProcessNotify {
    fn routines(&self) -> MutexGuard<'_, Vec<Routine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, address: u64) -> bool {
        let mut routines = self.routines();
        let known = routines.iter().any(|routine| routine.address == address);
        if known || routines.len() >= ROOM {
            return false;
        }
        routines.push(Routine { address, running: 0, leaving: false });
        true
    }

    /// No new calls of it. False when it is not registered.
    fn leave(&self, address: u64) -> bool {
        let mut routines = self.routines();
        let found = routines.iter_mut().find(|routine| routine.address == address);
        found.is_some_and(|routine| !std::mem::replace(&mut routine.leaving, true))
    }

    /// Removes it once no call of it runs.
    fn removed(&self, address: u64) -> bool {
        let mut routines = self.routines();
        routines.retain(|routine| routine.address != address || routine.running != 0);
        !routines.iter().any(|routine| routine.address == address)
    }

    /// The routines to call now, each counted as running.
    fn begin(&self) -> Vec<u64> {
        let mut routines = self.routines();
        let staying = routines.iter_mut().filter(|routine| !routine.leaving);
        staying
            .map(|routine| {
                routine.running += 1;
                routine.address
            })
            .collect()
    }

    fn end(&self, address: u64) {
        let mut routines = self.routines();
        if let Some(routine) = routines.iter_mut().find(|routine| routine.address == address) {
            routine.running -= 1;
        }
    }
}

impl Kernel {
    /// Ends a process: it gets an exit status, and the registered routines are told, in its last
    /// thread, inside a critical region.
    pub fn end_process(&self, process: &Arc<Process>) -> Result<(), Box<Bug>> {
        if !process.end() {
            return Ok(());
        }
        for routine in self.process_notify().begin() {
            let arguments = [process.address(), process.spec().pid, 0];
            let kpcr = Kpcr::current();
            kpcr.apc_disabled.set(kpcr.apc_disabled.get() - 1);
            let called = process.attached(|| self.call(routine, &arguments));
            kpcr.apc_disabled.set(kpcr.apc_disabled.get() + 1);
            self.sched().change(|| self.process_notify().end(routine));
            called?;
        }
        Ok(())
    }
}

apis! {
    // Removing what is registered cannot fail, so only the way in is made to.
    ntoskrnl [PASSIVE, 500]
    fn PsSetCreateProcessNotifyRoutineEx(cx, routine: u64, remove: bool) -> NtStatus {
        let kernel = cx.kernel();
        if !remove {
            // Refused too: an image without IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, with
            // STATUS_ACCESS_DENIED. `cargo xtask inspect` looks for that bit.
            let fails = kernel.injector().should_fail(NAME, || cx.site());
            if fails || !kernel.process_notify().add(routine) {
                return Ok(NtStatus::INVALID_PARAMETER);
            }
            kernel.ledger().owe(Debt::ProcessNotify, routine, cx.site());
            return Ok(NtStatus::SUCCESS);
        }
        if !kernel.process_notify().leave(routine) {
            return Err(cx.misuse(format!("{routine:#x} is no registered routine")));
        }
        // Removing waits for the calls that run.
        kernel.sched().block(kernel, Deadline::Never, || {
            Ok(kernel.process_notify().removed(routine).then_some(()))
        })?;
        kernel.ledger().settle(Debt::ProcessNotify, routine);
        Ok(NtStatus::SUCCESS)
    }
}
