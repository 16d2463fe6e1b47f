//! Being told that a process has ended.

use core::marker::PhantomData;

use super::bindings as nt;
use super::start::Service;
use super::status::{Result, check};

/// Has [`Service::on_process_end`] called for every process that ends, until it is dropped.
/// Dropping waits for calls that run, so nothing of ours is called afterwards.
pub struct ProcessWatch<S: Service> {
    _service: PhantomData<fn() -> S>,
}

impl<S: Service> ProcessWatch<S> {
    /// Registers the routine.
    ///
    /// # Errors
    /// The kernel's reason: it has room for some dozens of routines, and wants an image whose
    /// integrity is checked.
    pub fn begin() -> Result<Self> {
        // SAFETY: the routine is a function of this image, which stays until the guard is dropped;
        // PASSIVE_LEVEL.
        check(unsafe { nt::PsSetCreateProcessNotifyRoutineEx(Some(changed::<S>), 0) })?;
        Ok(Self { _service: PhantomData })
    }
}

impl<S: Service> Drop for ProcessWatch<S> {
    fn drop(&mut self) {
        // SAFETY: the routine was registered by this guard, so removing it cannot fail;
        // PASSIVE_LEVEL, and nothing is held that a call of it could wait for.
        let _ = unsafe { nt::PsSetCreateProcessNotifyRoutineEx(Some(changed::<S>), 1) };
    }
}

/// PASSIVE_LEVEL inside a critical region; for an end, in the last thread of the process.
unsafe extern "C" fn changed<S: Service>(
    process: nt::PEPROCESS,
    _id: nt::HANDLE,
    begins: nt::PPS_CREATE_NOTIFY_INFO,
) {
    if begins.is_null()
        && !process.is_null()
        && let Some(service) = S::global().get()
    {
        // SAFETY: the kernel keeps the process object alive throughout the call; <= DISPATCH.
        service.on_process_end(unsafe { nt::PsGetProcessStartKey(process) });
    }
}
