//! Events, waits, time, IRQL, spin locks, critical regions.

use crate::cpu::{ANY, APC, Cx, DISPATCH, Held, PASSIVE, Trap, apis};
use crate::guest;
use crate::sched::{EVENT_SIZE, clear_event, event_type, set_event, wait};
use crate::status::NtStatus;

const MAXIMUM_WAIT_OBJECTS: u32 = 64;
const THREAD_WAIT_OBJECTS: u32 = 3;

fn require_event(cx: &Cx<'_>, event: u64) -> Result<(), Trap> {
    match event_type(event)? {
        Some(_) => Ok(()),
        None => Err(cx.misuse(format!("{event:#x} is no initialised event"))),
    }
}

/// Waiting is allowed up to APC_LEVEL, looking (zero timeout) up to DISPATCH_LEVEL.
fn timeout(cx: &Cx<'_>, address: u64) -> Result<Option<i64>, Trap> {
    let timeout = if address == 0 { None } else { Some(guest::read::<i64>(address)?) };
    if timeout != Some(0) {
        cx.require_irql("a blocking wait", APC)?;
    }
    Ok(timeout)
}

/// Objects that the system touches at DISPATCH_LEVEL must not be pageable.
fn require_nonpaged(cx: &Cx<'_>, what: &str, address: u64) -> Result<(), Trap> {
    if cx.kernel().pool().is_paged(address) {
        return Err(cx.misuse(format!("the {what} at {address:#x} lies in paged pool")));
    }
    Ok(())
}

fn acquire_spin_lock(cx: &Cx<'_>, lock: u64) -> Result<(), Trap> {
    let kpcr = cx.kpcr();
    require_nonpaged(cx, "spin lock", lock)?;
    if kpcr.held.borrow().iter().any(|held| held.address == lock) {
        return Err(cx.misuse("the spin lock is already held by this thread"));
    }
    cx.note_order(lock)?;
    let me = kpcr.shared.tid as u64;
    let kernel = cx.kernel();
    kernel.sched().spin(kernel, || {
        Ok(guest::read::<u64>(lock)? == 0 && guest::compare_exchange(lock, 0, me)? == 0)
    })?;
    let site = cx.cheap_site();
    kpcr.held.borrow_mut().push(Held { address: lock, what: "spin lock", exclusive: true, site });
    Ok(())
}

fn release_spin_lock(cx: &Cx<'_>, lock: u64) -> Result<(), Trap> {
    let mut held = cx.kpcr().held.borrow_mut();
    let Some(index) = held.iter().rposition(|held| held.address == lock) else {
        return Err(cx.misuse("the spin lock is not held by this thread"));
    };
    held.remove(index);
    guest::write(lock, 0u64)?;
    cx.kernel().sched().released();
    Ok(())
}

apis! {
    ntoskrnl [ANY, 100]
    fn KeInitializeEvent(cx, event: u64, kind: u32, state: u8) -> () {
        if kind > 1 {
            return Err(cx.misuse(format!("event type {kind}")));
        }
        require_nonpaged(cx, "event", event)?;
        guest::write(event, kind | u32::from(EVENT_SIZE) << 16)?;
        guest::write(event + 4, i32::from(state != 0))?;
        guest::write(event + 8, event + 8)?;
        guest::write(event + 16, event + 8)?;
        Ok(())
    }

    ntoskrnl [DISPATCH, 500]
    fn KeSetEvent(cx, event: u64, _increment: i32, wait: u8) -> i32 {
        if wait != 0 {
            cx.require_irql("KeSetEvent(Wait)", APC)?;
        }
        require_event(cx, event)?;
        Ok(set_event(cx.kernel(), event)?)
    }

    ntoskrnl [DISPATCH, 200]
    fn KeClearEvent(cx, event: u64) -> () {
        require_event(cx, event)?;
        clear_event(cx.kernel(), event)?;
        Ok(())
    }

    ntoskrnl [DISPATCH, 200]
    fn KeResetEvent(cx, event: u64) -> i32 {
        require_event(cx, event)?;
        Ok(clear_event(cx.kernel(), event)?)
    }

    ntoskrnl [DISPATCH, 50]
    fn KeReadStateEvent(cx, event: u64) -> i32 {
        require_event(cx, event)?;
        Ok(guest::read(event + 4)?)
    }

    ntoskrnl [DISPATCH, 800]
    fn KeWaitForSingleObject(cx, object: u64, _reason: u32, _mode: u8, _alertable: u8,
        interval: u64) -> NtStatus {
        let interval = timeout(cx, interval)?;
        wait(cx, &[object], false, interval)
    }

    ntoskrnl [DISPATCH, 1200]
    fn KeWaitForMultipleObjects(cx, count: u32, objects: u64, kind: u32, _reason: u32, _mode: u8,
        _alertable: u8, interval: u64, blocks: u64) -> NtStatus {
        let limit = if blocks == 0 { THREAD_WAIT_OBJECTS } else { MAXIMUM_WAIT_OBJECTS };
        if count == 0 || count > limit {
            return Err(cx.misuse(format!("{count} objects, allowed up to {limit}")));
        }
        let interval = timeout(cx, interval)?;
        let mut list = Vec::with_capacity(count as usize);
        for index in 0..u64::from(count) {
            list.push(guest::read(objects + 8 * index)?);
        }
        wait(cx, &list, kind == 0, interval)
    }

    ntoskrnl [APC, 600]
    fn KeDelayExecutionThread(cx, _mode: u8, _alertable: u8, interval: u64) -> NtStatus {
        let kernel = cx.kernel();
        let interval: i64 = guest::read(interval)?;
        let deadline = crate::sched::Deadline::from_timeout(kernel, Some(interval));
        kernel.sched().block(kernel, deadline, || Ok(None::<()>))?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [ANY, 20]
    fn KeGetCurrentIrql(cx) -> u8 {
        Ok(cx.irql())
    }

    ntoskrnl [ANY, 20]
    fn KfRaiseIrql(cx, new: u8) -> u8 {
        let old = cx.irql();
        if new < old {
            return Err(cx.misuse(format!("raising from IRQL {old} to {new}")));
        }
        cx.set_irql(new);
        Ok(old)
    }

    ntoskrnl [ANY, 20]
    fn KeLowerIrql(cx, new: u8) -> () {
        if new > cx.irql() {
            return Err(cx.misuse(format!("lowering from IRQL {} to {new}", cx.irql())));
        }
        cx.set_irql(new);
        Ok(())
    }

    ntoskrnl [ANY, 20]
    fn KeQueryUnbiasedInterruptTime(cx) -> i64 {
        Ok(cx.kernel().clock().interrupt_time())
    }

    ntoskrnl [ANY, 20]
    fn KeQueryInterruptTime(cx) -> i64 {
        Ok(cx.kernel().clock().biased_interrupt_time())
    }

    ntoskrnl [ANY, 20]
    fn KeQueryInterruptTimePrecise(cx, counter: u64) -> i64 {
        let time = cx.kernel().clock().biased_interrupt_time();
        guest::write(counter, time)?;
        Ok(time)
    }

    ntoskrnl [ANY, 20]
    fn KeQuerySystemTimePrecise(cx, time: u64) -> () {
        guest::write(time, cx.kernel().clock().system_time())?;
        Ok(())
    }

    ntoskrnl [ANY, 20]
    fn KeQueryPerformanceCounter(cx, frequency: u64) -> i64 {
        if frequency != 0 {
            guest::write(frequency, 10_000_000i64)?;
        }
        Ok(cx.kernel().clock().interrupt_time())
    }

    ntoskrnl [APC, 20]
    fn KeEnterCriticalRegion(cx) -> () {
        let count = &cx.kpcr().apc_disabled;
        count.set(count.get() - 1);
        Ok(())
    }

    ntoskrnl [APC, 20]
    fn KeLeaveCriticalRegion(cx) -> () {
        let count = &cx.kpcr().apc_disabled;
        if count.get() >= 0 {
            return Err(cx.misuse("left more often than entered"));
        }
        count.set(count.get() + 1);
        Ok(())
    }

    ntoskrnl [ANY, 20]
    fn KeAreApcsDisabled(cx) -> bool {
        Ok(cx.kpcr().apc_disabled.get() != 0 || cx.irql() >= APC)
    }

    ntoskrnl [ANY, 20]
    fn KeInitializeSpinLock(cx, lock: u64) -> () {
        require_nonpaged(cx, "spin lock", lock)?;
        guest::write(lock, 0u64)?;
        Ok(())
    }

    ntoskrnl [DISPATCH, 100]
    fn KeAcquireSpinLockRaiseToDpc(cx, lock: u64) -> u8 {
        let old = cx.irql();
        cx.set_irql(DISPATCH);
        acquire_spin_lock(cx, lock)?;
        Ok(old)
    }

    ntoskrnl [DISPATCH, 100]
    fn KeReleaseSpinLock(cx, lock: u64, irql: u8) -> () {
        if cx.irql() != DISPATCH {
            return Err(cx.misuse(format!("released at IRQL {}", cx.irql())));
        }
        release_spin_lock(cx, lock)?;
        cx.set_irql(irql);
        Ok(())
    }

    ntoskrnl [DISPATCH, 100]
    fn KeAcquireSpinLockAtDpcLevel(cx, lock: u64) -> () {
        if cx.irql() < DISPATCH {
            return Err(cx.misuse(format!("acquired at IRQL {}", cx.irql())));
        }
        acquire_spin_lock(cx, lock)
    }

    ntoskrnl [DISPATCH, 100]
    fn KeReleaseSpinLockFromDpcLevel(cx, lock: u64) -> () {
        release_spin_lock(cx, lock)
    }

    ntoskrnl [ANY, 20]
    fn KeGetCurrentThread(cx) -> u64 {
        Ok(cx.kpcr().thread_object())
    }

    ntoskrnl [PASSIVE, 100]
    fn KeSetPriorityThread(_cx, _thread: u64, _priority: i32) -> i32 {
        Ok(8)
    }
}
