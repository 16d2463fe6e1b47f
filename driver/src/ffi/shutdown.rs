//! The machine is shut down in order.
//!
//! `IRP_MJ_SHUTDOWN` goes to the devices that registered for it. File systems register their own,
//! which is how it reaches filters on their volumes; whether the named-pipe file system does is not
//! documented, and it has nothing to write. So the driver registers a device of its own: unnamed,
//! never opened, there for this one request. It comes before file systems are told to flush, so
//! files can still be written.
//!
//! A shutdown with fast startup is no such thing: the kernel's session is put to sleep and goes on.

use core::ptr::{self, NonNull};

use super::bindings as nt;
use super::start::{Driver, Service};
use super::status::{NtStatus, Result, check};

/// Has [`Service::on_shutdown`] called until it is dropped.
pub struct ShutdownNotice {
    device: NonNull<nt::DEVICE_OBJECT>,
}

impl ShutdownNotice {
    /// Registers. PASSIVE_LEVEL, from `DriverEntry`.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn register<S: Service>(driver: &Driver<'_>) -> Result<Self> {
        let mut device = ptr::null_mut();
        // SAFETY: the driver object is DriverEntry's own; the device has no name and no extension;
        // the pointer is to a local; PASSIVE_LEVEL.
        check(unsafe {
            nt::IoCreateDevice(
                driver.as_ptr(),
                0,
                ptr::null_mut(),
                nt::FILE_DEVICE_UNKNOWN,
                nt::FILE_DEVICE_SECURE_OPEN,
                0,
                &raw mut device,
            )
        })?;
        let device = NonNull::new(device).ok_or(NtStatus::NO_RESOURCES)?;
        let notice = Self { device };
        driver.dispatch(nt::IRP_MJ_SHUTDOWN, dispatch::<S>);
        // SAFETY: the device is ours and its driver has a routine for the request; PASSIVE_LEVEL.
        if let Err(status) = check(unsafe { nt::IoRegisterShutdownNotification(device.as_ptr()) }) {
            notice.delete();
            return Err(status);
        }
        Ok(notice)
    }

    /// Deletes the device of a notice that was not registered.
    fn delete(self) {
        // SAFETY: the device is ours, and nobody knows it; PASSIVE_LEVEL.
        unsafe { nt::IoDeleteDevice(self.device.as_ptr()) };
        core::mem::forget(self);
    }
}

impl Drop for ShutdownNotice {
    fn drop(&mut self) {
        // SAFETY: the device was registered by `register`; PASSIVE_LEVEL.
        unsafe { nt::IoUnregisterShutdownNotification(self.device.as_ptr()) };
        // SAFETY: the device is ours and no request comes to it any more; PASSIVE_LEVEL.
        unsafe { nt::IoDeleteDevice(self.device.as_ptr()) };
    }
}

// SAFETY: a device object is the I/O manager's, and any thread may give it back.
unsafe impl Send for ShutdownNotice {}

/// PASSIVE_LEVEL, in a system thread, while the machine shuts down.
unsafe extern "C" fn dispatch<S: Service>(
    _device: *mut nt::DEVICE_OBJECT,
    request: *mut nt::IRP,
) -> nt::NTSTATUS {
    if let Some(service) = S::global().get() {
        service.on_shutdown();
    }
    // SAFETY: the I/O manager passes a request that is the driver's until it is completed.
    if let Some(request) = unsafe { request.as_mut() } {
        request.IoStatus.Information = 0;
        request.IoStatus.__bindgen_anon_1.Status = 0;
    }
    // SAFETY: the request is completed once, and not touched afterwards; <= DISPATCH_LEVEL.
    unsafe { nt::IofCompleteRequest(request, 0) };
    0
}
