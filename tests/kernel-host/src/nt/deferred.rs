//! Timers, deferred procedure calls and work items.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::{ANY, Cx, DISPATCH, PASSIVE, Trap, apis};
use crate::guest::{self, GuestBlock};
use crate::ledger::Debt;
use crate::sched::{Deadline, Deferred, Service, TIMERS, dpc};

/// `KDPC` on x64: type, then the routine and its context.
const DPC_TYPE: u8 = 0x13;
const DPC_ROUTINE: u64 = 0x18;
const DPC_CONTEXT: u64 = 0x20;
const DPC_ARGUMENTS: u64 = 0x28;
/// `KTIMER` on x64.
const TIMER_SIZE: u8 = 16;
const MILLISECOND: i64 = 10_000;

/// The work items of a kernel: what each belongs to.
#[derive(Debug, Default)]
pub(crate) struct WorkItems(Mutex<HashMap<u64, (GuestBlock, u64)>>);

impl WorkItems {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, (GuestBlock, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn allocate_work_item(cx: &Cx<'_>, owner: u64) -> u64 {
    let block = GuestBlock::new(64);
    let address = block.address();
    let kernel = cx.kernel();
    kernel.work_items().all().insert(address, (block, owner));
    kernel.ledger().owe(Debt::WorkItem, address, cx.site());
    address
}

pub(crate) fn free_work_item(cx: &Cx<'_>, item: u64) -> Result<(), Trap> {
    let kernel = cx.kernel();
    if kernel.services().remove(Service::Work, item) {
        return Err(cx.misuse("the work item is queued"));
    }
    if kernel.work_items().all().remove(&item).is_none() {
        return Err(cx.misuse(format!("{item:#x} is no work item")));
    }
    kernel.ledger().settle(Debt::WorkItem, item);
    Ok(())
}

/// The owner of a work item that is to be queued.
pub(crate) fn work_item(cx: &Cx<'_>, item: u64) -> Result<u64, Trap> {
    let owner = cx.kernel().work_items().all().get(&item).map(|(_, owner)| *owner);
    owner.ok_or_else(|| cx.misuse(format!("{item:#x} is no work item")))
}

pub(crate) fn queue_work(cx: &Cx<'_>, call: Deferred) -> Result<(), Trap> {
    let kernel = cx.kernel();
    if !kernel.services().queue(kernel, Service::Work, call) {
        return Err(cx.misuse("the work item is queued already"));
    }
    Ok(())
}

fn set_timer(cx: &Cx<'_>, timer: u64, due: i64, period: i32, dpc: u64) -> Result<bool, Trap> {
    let kernel = cx.kernel();
    if !TIMERS.contains(&guest::read(timer)?) {
        return Err(cx.misuse(format!("{timer:#x} is no initialised timer")));
    }
    if dpc != 0 && guest::read::<u8>(dpc)? != DPC_TYPE {
        return Err(cx.misuse(format!("{dpc:#x} is no initialised DPC")));
    }
    let now = kernel.clock().interrupt_time();
    let due = if due < 0 { now - due } else { now + due - kernel.clock().system_time() };
    kernel.sched().change(|| guest::write(timer + 4, 0i32))?;
    if kernel.ledger().owes(Debt::Timer, timer) == 0 {
        kernel.ledger().owe(Debt::Timer, timer, cx.site());
    }
    Ok(kernel.services().set_timer(kernel, timer, due, i64::from(period) * MILLISECOND, dpc))
}

fn initialize_timer(cx: &Cx<'_>, timer: u64, kind: u32) -> Result<(), Trap> {
    if cx.kernel().pool().is_paged(timer) {
        return Err(cx.misuse(format!("the timer at {timer:#x} lies in paged pool")));
    }
    if cx.kernel().ledger().owes(Debt::Timer, timer) != 0 {
        return Err(cx.misuse("the timer runs"));
    }
    guest::write(timer, u32::from(TIMERS[kind as usize & 1]) | u32::from(TIMER_SIZE) << 16)?;
    guest::write(timer + 4, 0i32)?;
    guest::write(timer + 8, timer + 8)?;
    Ok(guest::write(timer + 16, timer + 8)?)
}

apis! {
    ntoskrnl [DISPATCH, 100]
    fn KeInitializeTimer(cx, timer: u64) -> () {
        initialize_timer(cx, timer, 0)
    }

    ntoskrnl [DISPATCH, 100]
    fn KeInitializeTimerEx(cx, timer: u64, kind: u32) -> () {
        initialize_timer(cx, timer, kind)
    }

    ntoskrnl [DISPATCH, 200]
    fn KeSetTimer(cx, timer: u64, due: i64, dpc: u64) -> bool {
        set_timer(cx, timer, due, 0, dpc)
    }

    ntoskrnl [DISPATCH, 200]
    fn KeSetTimerEx(cx, timer: u64, due: i64, period: i32, dpc: u64) -> bool {
        set_timer(cx, timer, due, period, dpc)
    }

    // The call it has queued is not taken back, and may be running. [DDI: wdm/nf-wdm-kecanceltimer]
    ntoskrnl [DISPATCH, 200]
    fn KeCancelTimer(cx, timer: u64) -> bool {
        cx.kernel().ledger().settle(Debt::Timer, timer);
        Ok(cx.kernel().services().cancel_timer(timer))
    }

    ntoskrnl [ANY, 50]
    fn KeInitializeDpc(_cx, dpc: u64, routine: u64, context: u64) -> () {
        guest::write(dpc, u64::from(DPC_TYPE))?;
        guest::write(dpc + DPC_ROUTINE, routine)?;
        guest::write(dpc + DPC_CONTEXT, context)?;
        guest::write(dpc + DPC_ARGUMENTS, 0u64)?;
        Ok(guest::write(dpc + DPC_ARGUMENTS + 8, 0u64)?)
    }

    ntoskrnl [ANY, 100]
    fn KeInsertQueueDpc(cx, address: u64, one: u64, other: u64) -> bool {
        if guest::read::<u8>(address)? != DPC_TYPE {
            return Err(cx.misuse(format!("{address:#x} is no initialised DPC")));
        }
        let mut call = dpc(address)?;
        (call.arguments[2], call.arguments[3]) = (one, other);
        Ok(cx.kernel().services().queue(cx.kernel(), Service::Dpc, call))
    }

    ntoskrnl [ANY, 100]
    fn KeRemoveQueueDpc(cx, dpc: u64) -> bool {
        Ok(cx.kernel().services().remove(Service::Dpc, dpc))
    }

    // [DDI: wdm/nf-wdm-keflushqueueddpcs]
    ntoskrnl [PASSIVE, 500]
    fn KeFlushQueuedDpcs(cx) -> () {
        let kernel = cx.kernel();
        kernel.sched().block(kernel, Deadline::Never, || {
            Ok(kernel.services().is_idle(Service::Dpc).then_some(()))
        })?;
        Ok(())
    }

    ntoskrnl [DISPATCH, 200, fails 0]
    fn IoAllocateWorkItem(cx, device: u64) -> u64 {
        Ok(allocate_work_item(cx, device))
    }

    ntoskrnl [DISPATCH, 200]
    fn IoFreeWorkItem(cx, item: u64) -> () {
        free_work_item(cx, item)
    }

    ntoskrnl [DISPATCH, 200]
    fn IoQueueWorkItem(cx, item: u64, routine: u64, _queue: u32, context: u64) -> () {
        let device = work_item(cx, item)?;
        let arguments = [device, context, 0, 0];
        queue_work(cx, Deferred { object: item, routine, arguments, in_flight: None })
    }
}
