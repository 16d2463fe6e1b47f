//! The filter manager: registration, attachment to the named-pipe file system, and its callbacks.
//!
//! Callbacks run at PASSIVE_LEVEL in the requestor's thread: the filter manager synchronizes
//! creates and documents no other IRQL for them. The registration names NPFS support, without
//! which the filter manager offers no pipe volume, and the instance setup refuses every other
//! volume.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::bindings as nt;
use super::create::{CREATE, CREATE_NAMED_PIPE, Completed, PipeCreate};
use super::pool::PoolBox;
use super::start::Service;
use super::status::{NtStatus, Result, check, to_raw};

/// What becomes of an operation.
pub enum Decision<P> {
    /// It goes on as if the driver were not there.
    Pass,
    /// It goes on, and [`Service::on_pipe_done`] is given this with what became of it.
    Follow(PoolBox<P>),
    /// It fails with `STATUS_ACCESS_DENIED` and never reaches NPFS.
    Deny,
}

/// The registered filter, unregistered when dropped. Unregistering waits for callbacks in flight,
/// so nothing of ours is called by the filter manager afterwards.
pub struct Filter {
    filter: NonNull<nt::_FLT_FILTER>,
}

impl Filter {
    /// Registers the callbacks of `S`. None is called before [`Self::start`].
    ///
    /// # Errors
    /// The filter manager's reason; `NOT_FOUND` when the service key lacks its `Instances`.
    pub fn register<S: Service>(driver: &super::start::Driver<'_>) -> Result<Self> {
        let mut filter: nt::PFLT_FILTER = ptr::null_mut();
        // SAFETY: the driver object is the one DriverEntry was called with, the registration is a
        // constant, and the pointer is to a local; PASSIVE_LEVEL.
        check(unsafe {
            nt::FltRegisterFilter(driver.as_ptr(), &Table::<S>::REGISTRATION, &raw mut filter)
        })?;
        NonNull::new(filter).map(|filter| Self { filter }).ok_or(NtStatus::INVALID_PARAMETER)
    }

    /// Lets the filter manager attach the filter and call it, from now on and perhaps already
    /// before this returns.
    ///
    /// # Errors
    /// The filter manager's reason.
    pub fn start(&self) -> Result<()> {
        // SAFETY: the filter is registered; PASSIVE_LEVEL.
        check(unsafe { nt::FltStartFiltering(self.as_ptr()) })
    }

    pub(super) const fn as_ptr(&self) -> nt::PFLT_FILTER {
        self.filter.as_ptr()
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: the filter is registered and not unregistered elsewhere; PASSIVE_LEVEL, and no
        // lock or reference is held that a callback could wait for.
        unsafe { nt::FltUnregisterFilter(self.as_ptr()) };
    }
}

// SAFETY: the filter pointer is the filter manager's handle, valid on any thread.
unsafe impl Send for Filter {}
// SAFETY: as above.
unsafe impl Sync for Filter {}

/// The constant tables the filter manager is given.
struct Table<S>(PhantomData<S>);

impl<S: Service> Table<S> {
    const OPERATIONS: &'static [nt::FLT_OPERATION_REGISTRATION; 3] = &[
        operation(CREATE_NAMED_PIPE, Some(pre_create::<S>), Some(post_create::<S>)),
        operation(CREATE, Some(pre_create::<S>), Some(post_create::<S>)),
        operation(nt::IRP_MJ_OPERATION_END, None, None),
    ];

    const REGISTRATION: nt::FLT_REGISTRATION = nt::FLT_REGISTRATION {
        Size: narrow(size_of::<nt::FLT_REGISTRATION>()),
        Version: REGISTRATION_VERSION,
        Flags: nt::FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS,
        ContextRegistration: ptr::null(),
        OperationRegistration: Self::OPERATIONS.as_ptr(),
        FilterUnloadCallback: Some(unload::<S>),
        InstanceSetupCallback: Some(instance_setup::<S>),
        // None: a detach by hand (`fltmc detach`) is refused, an unload goes on.
        InstanceQueryTeardownCallback: None,
        InstanceTeardownStartCallback: None,
        InstanceTeardownCompleteCallback: Some(instance_gone::<S>),
        GenerateFileNameCallback: None,
        NormalizeNameComponentCallback: None,
        NormalizeContextCleanupCallback: None,
        TransactionNotificationCallback: None,
        NormalizeNameComponentExCallback: None,
        SectionNotificationCallback: None,
    };
}

const REGISTRATION_VERSION: u16 = 0x0203;
// The headers give the version a wider type than the structure does.
const _: () = assert!(nt::FLT_REGISTRATION_VERSION == 0x0203);

/// The size of a structure as the filter manager wants it. Only used in constants, where one that
/// does not fit does not compile.
const fn narrow(size: usize) -> u16 {
    assert!(size <= 0xFFFF);
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "asserted above")]
    {
        size as u16
    }
}

const fn operation(
    major: u8,
    pre: nt::PFLT_PRE_OPERATION_CALLBACK,
    post: nt::PFLT_POST_OPERATION_CALLBACK,
) -> nt::FLT_OPERATION_REGISTRATION {
    nt::FLT_OPERATION_REGISTRATION {
        MajorFunction: major,
        Flags: 0,
        PreOperation: pre,
        PostOperation: post,
        Reserved1: ptr::null_mut(),
    }
}

/// PASSIVE_LEVEL, in the requestor's thread.
extern "C" fn pre_create<S: Service>(
    data: *mut nt::FLT_CALLBACK_DATA,
    objects: *const nt::FLT_RELATED_OBJECTS,
    context: *mut *mut c_void,
) -> nt::FLT_PREOP_CALLBACK_STATUS {
    // SAFETY: any IRQL.
    let irql = unsafe { nt::KeGetCurrentIrql() };
    // Should a filter above ever send a create at another IRQL, it passes unjudged.
    if irql != 0
        && let Some(service) = S::global().get()
    {
        service.on_wrong_irql();
    }
    let (Some(service), Some(data), Some(objects), Some(context), 0) = (
        S::global().get(),
        NonNull::new(data),
        NonNull::new(objects.cast_mut()),
        NonNull::new(context),
        irql,
    ) else {
        return nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_NO_CALLBACK;
    };
    let Some(create) = PipeCreate::new(data, objects) else {
        return nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_NO_CALLBACK;
    };
    match service.on_pipe(&create) {
        Decision::Pass => nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_NO_CALLBACK,
        Decision::Deny => {
            create.deny();
            nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_COMPLETE
        }
        Decision::Follow(pending) => {
            let (pending, _tag) = pending.into_raw();
            // SAFETY: the filter manager's place for the context is valid throughout the callback.
            unsafe { context.write(pending.as_ptr().cast()) };
            nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_WITH_CALLBACK
        }
    }
}

/// PASSIVE_LEVEL, in the thread of the pre-operation; the filter manager calls it once for each that
/// asked for it, also when the create failed, and when the filter is unregistered before it is done.
extern "C" fn post_create<S: Service>(
    data: *mut nt::FLT_CALLBACK_DATA,
    _objects: *const nt::FLT_RELATED_OBJECTS,
    context: *mut c_void,
    flags: nt::FLT_POST_OPERATION_FLAGS,
) -> nt::FLT_POSTOP_CALLBACK_STATUS {
    if let Some(pending) = NonNull::new(context) {
        // SAFETY: the context is what this operation's `pre_create` gave up, with that tag, and it
        // comes back once.
        let pending = unsafe { PoolBox::<S::Pending>::from_raw(pending.cast(), S::PENDING_TAG) };
        let Some(service) = S::global().get() else {
            return nt::_FLT_POSTOP_CALLBACK_STATUS::FLT_POSTOP_FINISHED_PROCESSING;
        };
        // SAFETY: any IRQL.
        if unsafe { nt::KeGetCurrentIrql() } != 0 {
            // What takes locks is left; what was kept goes back to its pool, which is nonpaged and
            // may be freed up to DISPATCH_LEVEL, above which no create comes back.
            service.on_wrong_irql();
            drop(pending);
            return nt::_FLT_POSTOP_CALLBACK_STATUS::FLT_POSTOP_FINISHED_PROCESSING;
        }
        let draining = flags & nt::FLTFL_POST_OPERATION_DRAINING != 0;
        let completed = match NonNull::new(data) {
            Some(data) if !draining => Completed::of(data),
            _ => Completed::UNKNOWN,
        };
        service.on_pipe_done(pending, &completed);
    }
    nt::_FLT_POSTOP_CALLBACK_STATUS::FLT_POSTOP_FINISHED_PROCESSING
}

/// PASSIVE_LEVEL. Accepts the named-pipe volume and politely refuses every other.
extern "C" fn instance_setup<S: Service>(
    _objects: *const nt::FLT_RELATED_OBJECTS,
    _flags: nt::FLT_INSTANCE_SETUP_FLAGS,
    _device_type: u32,
    filesystem: nt::FLT_FILESYSTEM_TYPE,
) -> nt::NTSTATUS {
    if filesystem != nt::_FLT_FILESYSTEM_TYPE::FLT_FSTYPE_NPFS {
        return NtStatus::DO_NOT_ATTACH.raw();
    }
    if let Some(service) = S::global().get() {
        service.on_attached(true);
    }
    to_raw(Ok(()))
}

/// PASSIVE_LEVEL.
extern "C" fn instance_gone<S: Service>(
    _objects: *const nt::FLT_RELATED_OBJECTS,
    _reason: nt::FLT_INSTANCE_TEARDOWN_FLAGS,
) {
    if let Some(service) = S::global().get() {
        service.on_attached(false);
    }
}

/// PASSIVE_LEVEL. Never refuses: the driver can always stop.
extern "C" fn unload<S: Service>(_flags: nt::FLT_FILTER_UNLOAD_FLAGS) -> nt::NTSTATUS {
    super::start::ENTRY.wait();
    S::stop();
    to_raw(Ok(()))
}
