//! Fast mutexes, resources, and push locks as ntoskrnl exports them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::{APC, Cx, DISPATCH, Held, Trap, apis};
use crate::guest;
use crate::ledger::Debt;
use crate::status::NtStatus;

/// `FAST_MUTEX`, as `ExInitializeFastMutex`, which is inline, fills it in.
const OWNER: u64 = 8;
const OLD_IRQL: u64 = 48;

/// Who holds a resource; a thread may take it again and again.
#[derive(Debug, Default)]
struct Resource {
    exclusive: Option<(u64, u32)>,
    shared: HashMap<u64, u32>,
}

impl Resource {
    /// Takes it, if that is possible now.
    fn take(&mut self, thread: u64, exclusive: bool) -> bool {
        match &mut self.exclusive {
            Some((owner, depth)) if *owner == thread => {
                *depth += 1;
                return true;
            }
            Some(_) => return false,
            None => {}
        }
        if exclusive {
            if !self.shared.is_empty() {
                return false;
            }
            self.exclusive = Some((thread, 1));
        } else {
            *self.shared.entry(thread).or_default() += 1;
        }
        true
    }

    /// False when the thread does not hold it.
    fn give_back(&mut self, thread: u64) -> bool {
        if let Some((owner, depth)) = &mut self.exclusive {
            if *owner != thread {
                return false;
            }
            *depth -= 1;
            if *depth == 0 {
                self.exclusive = None;
            }
            return true;
        }
        let Some(depth) = self.shared.get_mut(&thread) else { return false };
        *depth -= 1;
        if *depth == 0 {
            self.shared.remove(&thread);
        }
        true
    }

    fn is_free(&self) -> bool {
        self.exclusive.is_none() && self.shared.is_empty()
    }
}

/// The resources of a kernel, by address.
#[derive(Debug, Default)]
pub(crate) struct Resources(Mutex<HashMap<u64, Resource>>);

impl Resources {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Resource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Special kernel APCs may come at PASSIVE_LEVEL outside critical regions, and suspend the thread.
fn require_apcs_disabled(cx: &Cx<'_>) -> Result<(), Trap> {
    if cx.irql() < APC && cx.kpcr().apc_disabled.get() == 0 {
        return Err(cx.misuse("normal kernel APCs must be disabled: enter a critical region"));
    }
    Ok(())
}

fn acquire_mutex(cx: &Cx<'_>, mutex: u64, wait: bool) -> Result<bool, Trap> {
    let (kernel, kpcr) = (cx.kernel(), cx.kpcr());
    if kernel.pool().is_paged(mutex) {
        return Err(cx.misuse(format!("the fast mutex at {mutex:#x} lies in paged pool")));
    }
    if kpcr.held.borrow().iter().any(|held| held.address == mutex) {
        return Err(cx.misuse("the fast mutex is already held by this thread"));
    }
    cx.note_order(mutex)?;
    let take = || {
        let _alone = kernel.resources().all();
        let free = guest::read::<u32>(mutex)? == 1;
        if free {
            guest::write(mutex, 0u32)?;
        }
        Ok(free)
    };
    if wait {
        kernel.sched().spin(kernel, take)?;
    } else if !take()? {
        return Ok(false);
    }
    guest::write(mutex + OWNER, kpcr.thread_object())?;
    let site = cx.cheap_site();
    kpcr.held.borrow_mut().push(Held { address: mutex, what: "fast mutex", exclusive: true, site });
    Ok(true)
}

fn release_mutex(cx: &Cx<'_>, mutex: u64) -> Result<(), Trap> {
    let mut held = cx.kpcr().held.borrow_mut();
    let Some(index) = held.iter().rposition(|held| held.address == mutex) else {
        return Err(cx.misuse("the fast mutex is not held by this thread"));
    };
    held.remove(index);
    guest::write(mutex + OWNER, 0u64)?;
    guest::write(mutex, 1u32)?;
    cx.kernel().sched().released();
    Ok(())
}

pub(crate) fn acquire_resource(
    cx: &Cx<'_>,
    resource: u64,
    exclusive: bool,
    wait: bool,
) -> Result<bool, Trap> {
    require_apcs_disabled(cx)?;
    let kernel = cx.kernel();
    let thread = cx.kpcr().thread_object();
    let take = || match kernel.resources().all().get_mut(&resource) {
        Some(found) => Ok(found.take(thread, exclusive)),
        None => Err(cx.misuse(format!("{resource:#x} is no initialised resource"))),
    };
    if wait {
        kernel.sched().spin(kernel, take)?;
    } else if !take()? {
        return Ok(false);
    }
    let site = cx.cheap_site();
    cx.kpcr().held.borrow_mut().push(Held { address: resource, what: "resource", exclusive, site });
    Ok(true)
}

pub(crate) fn release_resource(cx: &Cx<'_>, resource: u64) -> Result<(), Trap> {
    require_apcs_disabled(cx)?;
    let kernel = cx.kernel();
    let given = match kernel.resources().all().get_mut(&resource) {
        Some(found) => found.give_back(cx.kpcr().thread_object()),
        None => false,
    };
    if !given {
        return Err(cx.misuse("the resource is not held by this thread"));
    }
    let mut held = cx.kpcr().held.borrow_mut();
    if let Some(index) = held.iter().rposition(|held| held.address == resource) {
        held.remove(index);
    }
    drop(held);
    kernel.sched().released();
    Ok(())
}

apis! {
    // [DDI: wdm/nf-wdm-exacquirefastmutex]
    ntoskrnl [APC, 100]
    fn ExAcquireFastMutex(cx, mutex: u64) -> () {
        let old = cx.irql();
        acquire_mutex(cx, mutex, true)?;
        cx.set_irql(APC);
        Ok(guest::write(mutex + OLD_IRQL, u32::from(old))?)
    }

    ntoskrnl [APC, 100]
    fn ExTryToAcquireFastMutex(cx, mutex: u64) -> bool {
        let old = cx.irql();
        if !acquire_mutex(cx, mutex, false)? {
            return Ok(false);
        }
        cx.set_irql(APC);
        guest::write(mutex + OLD_IRQL, u32::from(old))?;
        Ok(true)
    }

    ntoskrnl [APC, 100]
    fn ExReleaseFastMutex(cx, mutex: u64) -> () {
        let old: u32 = guest::read(mutex + OLD_IRQL)?;
        release_mutex(cx, mutex)?;
        cx.set_irql(old as u8);
        Ok(())
    }

    ntoskrnl [APC, 100]
    fn ExAcquireFastMutexUnsafe(cx, mutex: u64) -> () {
        require_apcs_disabled(cx)?;
        acquire_mutex(cx, mutex, true).map(drop)
    }

    ntoskrnl [APC, 100]
    fn ExReleaseFastMutexUnsafe(cx, mutex: u64) -> () {
        require_apcs_disabled(cx)?;
        release_mutex(cx, mutex)
    }

    // [DDI: wdm/nf-wdm-exinitializeresourcelite]
    ntoskrnl [DISPATCH, 200]
    fn ExInitializeResourceLite(cx, resource: u64) -> NtStatus {
        let kernel = cx.kernel();
        if kernel.pool().is_paged(resource) {
            return Err(cx.misuse(format!("the resource at {resource:#x} lies in paged pool")));
        }
        if kernel.ledger().owes(Debt::Resource, resource) != 0 {
            return Err(cx.misuse("the resource is initialised already"));
        }
        kernel.ledger().owe(Debt::Resource, resource, cx.site());
        kernel.resources().all().insert(resource, Resource::default());
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [DISPATCH, 200]
    fn ExDeleteResourceLite(cx, resource: u64) -> NtStatus {
        let kernel = cx.kernel();
        let Some(found) = kernel.resources().all().remove(&resource) else {
            return Err(cx.misuse(format!("{resource:#x} is no initialised resource")));
        };
        if !found.is_free() {
            return Err(cx.misuse("the resource is held"));
        }
        kernel.ledger().settle(Debt::Resource, resource);
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [APC, 300]
    fn ExAcquireResourceExclusiveLite(cx, resource: u64, wait: u8) -> bool {
        acquire_resource(cx, resource, true, wait != 0)
    }

    ntoskrnl [APC, 300]
    fn ExAcquireResourceSharedLite(cx, resource: u64, wait: u8) -> bool {
        acquire_resource(cx, resource, false, wait != 0)
    }

    ntoskrnl [DISPATCH, 300]
    fn ExReleaseResourceLite(cx, resource: u64) -> () {
        release_resource(cx, resource)
    }

    // The filter manager's push locks enter a critical region; these do not. [DDI:
    // wdm/nf-wdm-exacquirepushlockexclusive]
    ntoskrnl [APC, 100]
    fn ExAcquirePushLockExclusiveEx(cx, lock: u64, _flags: u32) -> () {
        require_apcs_disabled(cx)?;
        crate::flt::acquire_push_lock(cx, lock, true)
    }

    ntoskrnl [APC, 100]
    fn ExAcquirePushLockSharedEx(cx, lock: u64, _flags: u32) -> () {
        require_apcs_disabled(cx)?;
        crate::flt::acquire_push_lock(cx, lock, false)
    }

    ntoskrnl [APC, 100]
    fn ExReleasePushLockExclusiveEx(cx, lock: u64, _flags: u32) -> () {
        crate::flt::release_push_lock(cx, lock)
    }

    ntoskrnl [APC, 100]
    fn ExReleasePushLockSharedEx(cx, lock: u64, _flags: u32) -> () {
        crate::flt::release_push_lock(cx, lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_shared_or_one_thread_s() {
        let mut resource = Resource::default();
        assert!(resource.take(1, false) && resource.take(2, false) && resource.take(1, false));
        assert!(!resource.take(3, true));
        assert!(resource.give_back(1) && resource.give_back(1) && !resource.give_back(1));
        assert!(resource.give_back(2) && resource.is_free());
        assert!(resource.take(3, true) && resource.take(3, true) && resource.take(3, false));
        assert!(!resource.take(1, false) && !resource.give_back(1));
        assert!((0..3).all(|_| resource.give_back(3)));
        assert!(resource.is_free());
    }
}
