//! The machine is shut down in order.
//!
//! `IRP_MJ_SHUTDOWN` goes to the devices that registered for it. File systems register their own,
//! which is how it reaches filters on their volumes; whether the named-pipe file system does is not
//! documented, and it has nothing to write. So the driver registers a device of its own: unnamed,
//! never opened, there for this one request. It comes before file systems are told to flush, so
//! files can still be written.
//!
//! The I/O manager does not say when the last such request is over: unregistering waits for none. So
//! the device carries a rundown reference that each request takes while it uses the service.
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
        // SAFETY: the driver object is DriverEntry's own; the device has no name; the pointer is to a
        // local; PASSIVE_LEVEL.
        check(unsafe {
            nt::IoCreateDevice(
                driver.as_ptr(),
                super::u32_size_of::<nt::EX_RUNDOWN_REF>(),
                ptr::null_mut(),
                nt::FILE_DEVICE_UNKNOWN,
                nt::FILE_DEVICE_SECURE_OPEN,
                0,
                &raw mut device,
            )
        })?;
        let device = NonNull::new(device).ok_or(NtStatus::NO_RESOURCES)?;
        let notice = Self { device };
        // SAFETY: the device's extension is nonpaged, as long as a reference, and nobody knows it yet;
        // <= APC_LEVEL.
        unsafe { nt::ExInitializeRundownProtection(requests(device)) };
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
        // SAFETY: the reference was initialised by `register` and is run down once; PASSIVE_LEVEL. A
        // request waits for the worker alone, and not for long.
        unsafe { nt::ExWaitForRundownProtectionRelease(requests(self.device)) };
        // SAFETY: the device is ours; a request that the I/O manager still has for it keeps it and the
        // image alive, and finds its reference run down; PASSIVE_LEVEL.
        unsafe { nt::IoDeleteDevice(self.device.as_ptr()) };
    }
}

// SAFETY: a device object is the I/O manager's, and any thread may give it back.
unsafe impl Send for ShutdownNotice {}

/// What requests hold while they use the service.
const fn requests(device: NonNull<nt::DEVICE_OBJECT>) -> *mut nt::EX_RUNDOWN_REF {
    // SAFETY: the device is ours or that of a request; its extension was made with it, and the member
    // that says where never changes.
    unsafe { device.as_ref() }.DeviceExtension.cast()
}

/// PASSIVE_LEVEL, in a system thread, while the machine shuts down.
unsafe extern "C" fn dispatch<S: Service>(
    device: *mut nt::DEVICE_OBJECT,
    request: *mut nt::IRP,
) -> nt::NTSTATUS {
    if let Some(device) = NonNull::new(device) {
        let requests = requests(device);
        // SAFETY: the reference was initialised before the device was registered, and the device lives
        // as long as the request; <= DISPATCH_LEVEL.
        if unsafe { nt::ExAcquireRundownProtection(requests) } != 0 {
            if let Some(service) = S::global().get() {
                service.on_shutdown();
            }
            // SAFETY: acquired just now, and released once; <= DISPATCH_LEVEL.
            unsafe { nt::ExReleaseRundownProtection(requests) };
        }
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
