//! `DriverEntry`, safe mode, boot reinitialization, and where the service lives meanwhile.
//!
//! The filter manager may call the unload routine on another thread as soon as filtering has
//! started, which is before `DriverEntry` has ended: no document says that it does not. So the
//! unload waits for that end, and finds either everything or nothing. The image stays meanwhile:
//! the I/O manager holds the driver object until `DriverEntry` has returned to it.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering};

use driver_core::clients::Ticket;

use super::bindings as nt;
use super::create::{Completed, PipeCreate};
use super::flt::Decision;
use super::pool::{PoolBox, Tag};
use super::port::Lines;
use super::status::{Result, to_raw};
use super::sync::KERNEL_MODE;

/// What the kernel's callbacks need of the driver. Each is called at PASSIVE_LEVEL unless it
/// says otherwise.
pub trait Service: Send + Sync + Sized + 'static {
    /// Where the service lives while the driver runs.
    fn global() -> &'static Global<Self>;
    /// The lines to the connected clients.
    fn lines(&self) -> &Lines;
    /// What is kept of an operation until it is done.
    type Pending: Send;
    /// The memory it lies in.
    const PENDING_TAG: Tag;
    /// A pipe is to be created or opened.
    fn on_pipe(&self, create: &PipeCreate<'_>) -> Decision<Self::Pending>;
    /// What was kept of such an operation, and what became of it.
    fn on_pipe_done(&self, pending: PoolBox<Self::Pending>, completed: &Completed);
    /// The process with this start key has ended.
    fn on_process_end(&self, start_key: u64);
    /// A create came at another IRQL than PASSIVE_LEVEL and goes on unjudged, or came back at
    /// another and is not told. Called at that one.
    fn on_wrong_irql(&self);
    /// The filter was attached to the named-pipe file system, or detached from it.
    fn on_attached(&self, attached: bool);
    /// The process of this number connects, with these words. A client that is welcome gets a
    /// ticket and can be sent to after `open_line` has been called; one that is refused is never
    /// sent to.
    ///
    /// # Errors
    /// Refuses the client; then `open_line` was not called.
    fn on_connect(
        &self,
        hello: &[u8],
        process_id: u64,
        open_line: impl FnOnce(Ticket),
    ) -> Result<()>;
    /// The client with this ticket is gone. It may have been dropped before.
    fn on_disconnect(&self, ticket: Ticket);
    /// The client with this ticket has sent a message, of which this is a copy. In its thread,
    /// which must not be kept waiting.
    ///
    /// # Errors
    /// What the client is told.
    fn on_message(&self, ticket: Ticket, message: &[u8]) -> Result<()>;
    /// A message was refused unread.
    fn on_message_refused(&self);
    /// The boot drivers are started, so files can be opened.
    fn on_boot_devices_ready(&self);
    /// The machine is shut down. Files can still be written.
    fn on_shutdown(&self);
    /// The driver is to unload: everything that runs is stopped before this returns.
    fn stop();
}

/// A place for one value that callbacks find.
pub struct Global<S>(AtomicPtr<S>);

impl<S> Global<S> {
    /// An empty place.
    #[allow(clippy::new_without_default, reason = "only ever made for a static")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts `value` into its place until the returned guard is dropped.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn install(&'static self, value: S) -> Result<Installed<S>> {
        let (value, tag) = PoolBox::new(value, Tag::Sensor)?.into_raw();
        self.0.store(value.as_ptr(), Ordering::Release);
        Ok(Installed { place: self, value, tag })
    }

    /// The value, for callbacks of the kernel, threads of the driver and rungs of its ladder. Each
    /// of those has ended before the guard is dropped: the guard is the last rung of the ladder
    /// down, below the shutdown notice (run down), the threads (joined), the process watch, the port
    /// and the filter (removed, which waits for callbacks).
    pub fn get(&self) -> Option<&S> {
        // SAFETY: not null means that the guard is alive, and by the order given above it outlives
        // the caller's use; the value is only ever shared.
        NonNull::new(self.0.load(Ordering::Acquire)).map(|value| unsafe { value.as_ref() })
    }
}

/// Keeps a value in its [`Global`] place. Must be dropped after everything that could call
/// [`Global::get`] has ended.
pub struct Installed<S: 'static> {
    place: &'static Global<S>,
    value: NonNull<S>,
    tag: Tag,
}

impl<S> core::ops::Deref for Installed<S> {
    type Target = S;

    fn deref(&self) -> &S {
        // SAFETY: the guard owns the value, which is only ever shared until the guard is dropped.
        unsafe { self.value.as_ref() }
    }
}

impl<S> Drop for Installed<S> {
    fn drop(&mut self) {
        self.place.0.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: the parts came from `into_raw` in `install`; nobody can find the value any more,
        // and those who had found it have ended, by the order the type demands.
        drop(unsafe { PoolBox::from_raw(self.value, self.tag) });
    }
}

// SAFETY: the guard owns its value as a box would.
unsafe impl<S: Send + Sync> Send for Installed<S> {}
// SAFETY: as above.
unsafe impl<S: Send + Sync> Sync for Installed<S> {}

/// A place for what must be found again at unload.
pub struct Kept<T>(AtomicPtr<T>);

impl<T: Send> Kept<T> {
    /// An empty place.
    #[allow(clippy::new_without_default, reason = "only ever made for a static")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Takes the `last` step with a value and puts it there, which cannot fail any more; one that
    /// was there before is dropped.
    ///
    /// # Errors
    /// `NO_RESOURCES`, or what `last` says; then `value` is dropped.
    pub fn put(&self, value: T, last: impl FnOnce(&T) -> Result<()>) -> Result<()> {
        let value = PoolBox::new(value, Tag::Sensor)?;
        last(&value)?;
        let (value, _tag) = value.into_raw();
        drop(self.swap(value.as_ptr()));
        Ok(())
    }

    /// Takes the value out.
    pub fn take(&self) -> Option<PoolBox<T>> {
        self.swap(ptr::null_mut())
    }

    fn swap(&self, value: *mut T) -> Option<PoolBox<T>> {
        let old = self.0.swap(value, Ordering::AcqRel);
        // SAFETY: pointers get in only through `put`, from `into_raw` of a box with this tag, and
        // the swap hands each out once.
        NonNull::new(old).map(|old| unsafe { PoolBox::from_raw(old, Tag::Sensor) })
    }
}

/// The driver object and service key `DriverEntry` was called with.
pub struct Driver<'a> {
    object: NonNull<nt::DRIVER_OBJECT>,
    service_key: &'a [u16],
}

impl Driver<'_> {
    /// Path of the service's registry key. Dies with `DriverEntry`.
    pub const fn service_key(&self) -> &[u16] {
        self.service_key
    }

    /// Has [`Service::on_boot_devices_ready`] called once, when the boot drivers are started. A
    /// driver started later is never called; its files can be opened at once.
    pub fn call_when_boot_devices_are_ready<S: Service>(&self) {
        // SAFETY: the driver object is DriverEntry's own, which is about to succeed; the routine
        // needs no context; PASSIVE_LEVEL.
        unsafe {
            nt::IoRegisterBootDriverReinitialization(
                self.as_ptr(),
                Some(boot_devices_ready::<S>),
                ptr::null_mut(),
            );
        }
    }

    /// Sets the routine for requests of one kind to the driver's own devices.
    pub(super) fn dispatch(&self, major: u32, routine: DispatchRoutine) {
        let Ok(major) = usize::try_from(major) else { return };
        // SAFETY: the driver object is DriverEntry's own, and only its driver writes to the table.
        let table = unsafe { &mut (*self.as_ptr()).MajorFunction };
        if let Some(slot) = table.get_mut(major) {
            *slot = Some(routine);
        }
    }

    pub(super) const fn as_ptr(&self) -> *mut nt::DRIVER_OBJECT {
        self.object.as_ptr()
    }
}

/// A routine for requests to the driver's own devices.
type DispatchRoutine = unsafe extern "C" fn(*mut nt::DEVICE_OBJECT, *mut nt::IRP) -> nt::NTSTATUS;

/// True when Windows runs in safe mode, where the driver keeps out of the way.
pub fn is_safe_mode() -> bool {
    // SAFETY: the loader filled the import slot in; the variable it names never changes.
    let mode = unsafe { nt::imported::INIT_SAFE_BOOT_MODE };
    // SAFETY: the variable is the kernel's, set before any driver starts.
    unsafe { *mode != 0 }
}

/// The driver's first code. PASSIVE_LEVEL, in the system process.
///
/// # Safety
/// Only the kernel calls this, with a driver object and the path of the service's key.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: *mut nt::DRIVER_OBJECT,
    service_key: *const nt::UNICODE_STRING,
) -> nt::NTSTATUS {
    let Some(object) = NonNull::new(driver) else {
        return super::status::NtStatus::INVALID_PARAMETER.raw();
    };
    // SAFETY: the kernel passes a valid string that lives until DriverEntry returns.
    let service_key = match unsafe { service_key.as_ref() } {
        Some(key) if !key.Buffer.is_null() && key.Buffer.is_aligned() => {
            // SAFETY: the string's buffer holds `Length` bytes and is aligned, as just checked.
            unsafe { slice::from_raw_parts(key.Buffer, usize::from(key.Length) / 2) }
        }
        _ => &[],
    };
    ENTRY.begin();
    let started = crate::entry::start(&Driver { object, service_key });
    ENTRY.end();
    to_raw(started)
}

/// What has to wait for the end of `DriverEntry` waits here.
pub(super) struct Entry(UnsafeCell<MaybeUninit<nt::KEVENT>>);

pub(super) static ENTRY: Entry = Entry(UnsafeCell::new(MaybeUninit::uninit()));

impl Entry {
    fn begin(&self) {
        // SAFETY: the event lies in the image's data, which is nonpaged and does not move; nothing
        // of the driver runs yet that could use it; any IRQL.
        unsafe {
            nt::KeInitializeEvent(self.as_ptr(), nt::_EVENT_TYPE::NotificationEvent, 0);
        }
    }

    fn end(&self) {
        // SAFETY: initialised by `begin`; PASSIVE_LEVEL, and `Wait` is FALSE. Whoever waited does
        // not free the event but returns to the filter manager.
        unsafe { nt::KeSetEvent(self.as_ptr(), 0, 0) };
    }

    /// Returns once `DriverEntry` has come to its end. PASSIVE_LEVEL, in a callback that cannot
    /// come before the filter was registered.
    pub fn wait(&self) {
        // SAFETY: initialised by `begin`, before anything was registered; no timeout, not alertable
        // and in kernel mode, so that only the event ends the wait; PASSIVE_LEVEL.
        let _ = unsafe {
            nt::KeWaitForSingleObject(
                self.as_ptr().cast(),
                nt::_KWAIT_REASON::Executive,
                KERNEL_MODE,
                0,
                ptr::null_mut(),
            )
        };
    }

    const fn as_ptr(&self) -> *mut nt::KEVENT {
        self.0.get().cast()
    }
}

// SAFETY: a KEVENT is made to be shared between threads; every access goes through the kernel.
unsafe impl Sync for Entry {}

/// PASSIVE_LEVEL, in a system thread, during boot.
extern "C" fn boot_devices_ready<S: Service>(
    _driver: *mut nt::DRIVER_OBJECT,
    _context: *mut c_void,
    _count: u32,
) {
    if let Some(service) = S::global().get() {
        service.on_boot_devices_ready();
    }
}
