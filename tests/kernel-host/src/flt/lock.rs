//! Push locks of the filter manager. Bit 0 of the lock means exclusive, the rest counts readers.

use crate::cpu::{APC, Cx, Held, Trap, apis};
use crate::guest::{self, compare_exchange, fetch_add};
use crate::ledger::Debt;
use crate::nt::{acquire_resource, release_resource};

const EXCLUSIVE: u64 = 1;
const READER: u64 = 2;

/// Takes a push lock; critical regions are the caller's business.
pub(crate) fn acquire_push_lock(cx: &Cx<'_>, lock: u64, exclusive: bool) -> Result<(), Trap> {
    let kpcr = cx.kpcr();
    if kpcr.held.borrow().iter().any(|held| held.address == lock) {
        return Err(cx.misuse("the push lock is already held by this thread"));
    }
    let kernel = cx.kernel();
    kernel.sched().spin(kernel, || {
        let value: u64 = guest::read(lock)?;
        let wanted = match (exclusive, value) {
            (true, 0) => EXCLUSIVE,
            (false, value) if value & EXCLUSIVE == 0 => value + READER,
            _ => return Ok(false),
        };
        Ok(compare_exchange(lock, value, wanted)? == value)
    })?;
    let site = cx.cheap_site();
    kpcr.held.borrow_mut().push(Held { address: lock, what: "push lock", exclusive, site });
    Ok(())
}

pub(crate) fn release_push_lock(cx: &Cx<'_>, lock: u64) -> Result<(), Trap> {
    let mut held = cx.kpcr().held.borrow_mut();
    let Some(index) = held.iter().rposition(|held| held.address == lock) else {
        return Err(cx.misuse("the push lock is not held by this thread"));
    };
    let exclusive = held.remove(index).exclusive;
    drop(held);
    let mut back = READER.wrapping_neg();
    if exclusive {
        back = EXCLUSIVE.wrapping_neg();
    }
    fetch_add(lock, back)?;
    cx.kernel().sched().released();
    Ok(())
}

/// The filter manager's way: with normal kernel APCs disabled meanwhile.
fn acquire(cx: &Cx<'_>, lock: u64, exclusive: bool) -> Result<(), Trap> {
    let kernel = cx.kernel();
    if kernel.is_checked() && kernel.ledger().owes(Debt::PushLock, lock) == 0 {
        return Err(cx.misuse("the push lock is not initialised"));
    }
    acquire_push_lock(cx, lock, exclusive)?;
    enter(cx);
    Ok(())
}

/// Enters a critical region.
fn enter(cx: &Cx<'_>) {
    let count = &cx.kpcr().apc_disabled;
    count.set(count.get() - 1);
}

fn leave(cx: &Cx<'_>) {
    let count = &cx.kpcr().apc_disabled;
    count.set(count.get() + 1);
}

apis! {
    fltmgr [APC, 50]
    fn FltInitializePushLock(cx, lock: u64) -> () {
        guest::write(lock, 0u64)?;
        cx.kernel().ledger().owe(Debt::PushLock, lock, cx.site());
        Ok(())
    }

    fltmgr [APC, 50]
    fn FltDeletePushLock(cx, lock: u64) -> () {
        if guest::read::<u64>(lock)? != 0 {
            return Err(cx.misuse("the push lock is held"));
        }
        if !cx.kernel().ledger().settle(Debt::PushLock, lock) {
            return Err(cx.misuse("the push lock is not initialised"));
        }
        Ok(())
    }

    fltmgr [APC, 100]
    fn FltAcquirePushLockShared(cx, lock: u64) -> () {
        acquire(cx, lock, false)
    }

    fltmgr [APC, 100]
    fn FltAcquirePushLockExclusive(cx, lock: u64) -> () {
        acquire(cx, lock, true)
    }

    fltmgr [APC, 100]
    fn FltReleasePushLock(cx, lock: u64) -> () {
        release_push_lock(cx, lock)?;
        leave(cx);
        Ok(())
    }

    // Resources with a critical region round them. [DDI:
    // fltkernel/nf-fltkernel-fltacquireresourceexclusive]
    fltmgr [APC, 300]
    fn FltAcquireResourceExclusive(cx, resource: u64) -> () {
        enter(cx);
        acquire_resource(cx, resource, true, true).map(drop)
    }

    fltmgr [APC, 300]
    fn FltAcquireResourceShared(cx, resource: u64) -> () {
        enter(cx);
        acquire_resource(cx, resource, false, true).map(drop)
    }

    fltmgr [APC, 300]
    fn FltReleaseResource(cx, resource: u64) -> () {
        release_resource(cx, resource)?;
        leave(cx);
        Ok(())
    }
}
