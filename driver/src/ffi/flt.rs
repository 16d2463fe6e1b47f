//! The filter manager: registration, attachment to the named-pipe file system, and pipe creates.
//!
//! Callbacks run at PASSIVE_LEVEL in the requestor's thread: the filter manager synchronizes
//! creates and documents no other IRQL for them. The registration names NPFS support, without
//! which the filter manager offers no pipe volume, and the instance setup refuses every other
//! volume.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::slice;

use super::bindings as nt;
use super::start::Service;
use super::status::{NtStatus, Result, check, to_raw};

const CREATE: u8 = 0x00;
const CREATE_NAMED_PIPE: u8 = 0x01;
// The headers give the codes a wider type than the structures do.
const _: () = assert!(nt::IRP_MJ_CREATE == 0x00 && nt::IRP_MJ_CREATE_NAMED_PIPE == 0x01);

/// What was asked of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeOperation {
    /// `IRP_MJ_CREATE_NAMED_PIPE`: a server end.
    Created,
    /// `IRP_MJ_CREATE`: a client end, or something else NPFS lets one open.
    Connected,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on as if the driver were not there.
    Pass,
    /// It fails with `STATUS_ACCESS_DENIED` and never reaches NPFS.
    Deny,
}

/// One pipe create on its way to NPFS.
pub struct PipeCreate<'a> {
    data: NonNull<nt::FLT_CALLBACK_DATA>,
    file: NonNull<nt::FILE_OBJECT>,
    operation: PipeOperation,
    _operation: PhantomData<&'a ()>,
}

impl PipeCreate<'_> {
    /// `None` for an operation the driver did not register for, or one without a file object.
    fn new(data: NonNull<nt::FLT_CALLBACK_DATA>) -> Option<Self> {
        // SAFETY: the filter manager's callback data is valid throughout the callback.
        let block = NonNull::new(unsafe { data.as_ref() }.Iopb)?;
        // SAFETY: as above; the parameter block belongs to the callback data.
        let block = unsafe { block.as_ref() };
        let operation = match block.MajorFunction {
            CREATE_NAMED_PIPE => PipeOperation::Created,
            CREATE => PipeOperation::Connected,
            _ => return None,
        };
        let file = NonNull::new(block.TargetFileObject)?;
        Some(Self { data, file, operation, _operation: PhantomData })
    }

    /// What was asked.
    pub const fn operation(&self) -> PipeOperation {
        self.operation
    }

    /// The name as the caller gave it: any units, with or without a leading backslash, or empty.
    /// `None` when it is not a string at all.
    pub fn name(&self) -> Option<&[u16]> {
        // SAFETY: the file object is valid throughout the callback, and in a pre-create its name
        // is stable.
        let name = &unsafe { self.file.as_ref() }.FileName;
        let len = usize::from(name.Length) / 2;
        if len == 0 {
            return Some(&[]);
        }
        if name.Buffer.is_null() || !name.Buffer.is_aligned() {
            return None;
        }
        // SAFETY: the I/O manager's copy of the name holds `Length` bytes; not null and aligned,
        // as just checked; stable in a pre-create, and the borrow of `self` ends within it.
        Some(unsafe { slice::from_raw_parts(name.Buffer, len) })
    }

    /// True when the name is relative to another open file: the root directory, or for an empty
    /// name the server end whose client end is opened.
    pub fn is_relative(&self) -> bool {
        // SAFETY: the file object is valid throughout the callback, and in a pre-create this
        // member is stable.
        !unsafe { self.file.as_ref() }.RelatedFileObject.is_null()
    }

    /// The object of the thread that asked, as the I/O manager noted it: also where a filter above
    /// has another thread go on with the operation.
    pub(super) fn thread(&self) -> usize {
        // SAFETY: the filter manager's callback data is valid throughout the callback.
        unsafe { self.data.as_ref() }.Thread.addr()
    }

    pub(super) const fn data(&self) -> *mut nt::FLT_CALLBACK_DATA {
        self.data.as_ptr()
    }

    fn deny(mut self) {
        // SAFETY: the callback data is valid throughout the callback, and in a pre-operation the
        // filter may write its status; no other reference to it is alive.
        let status = &mut unsafe { self.data.as_mut() }.IoStatus;
        status.__bindgen_anon_1.Status = NtStatus::ACCESS_DENIED.raw();
        status.Information = 0;
    }
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
        operation(CREATE_NAMED_PIPE, Some(pre_create::<S>)),
        operation(CREATE, Some(pre_create::<S>)),
        operation(nt::IRP_MJ_OPERATION_END, None),
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
) -> nt::FLT_OPERATION_REGISTRATION {
    nt::FLT_OPERATION_REGISTRATION {
        MajorFunction: major,
        Flags: 0,
        PreOperation: pre,
        PostOperation: None,
        Reserved1: ptr::null_mut(),
    }
}

/// PASSIVE_LEVEL, in the requestor's thread.
extern "C" fn pre_create<S: Service>(
    data: *mut nt::FLT_CALLBACK_DATA,
    _objects: *const nt::FLT_RELATED_OBJECTS,
    _context: *mut *mut c_void,
) -> nt::FLT_PREOP_CALLBACK_STATUS {
    let create = NonNull::new(data).and_then(PipeCreate::new);
    // SAFETY: any IRQL.
    let irql = unsafe { nt::KeGetCurrentIrql() };
    // Should a filter above ever send a create at another IRQL, it passes unjudged.
    if irql != 0
        && let Some(service) = S::global().get()
    {
        service.on_wrong_irql();
    }
    if let (Some(service), Some(create), 0) = (S::global().get(), create, irql)
        && service.on_pipe(&create) == Decision::Deny
    {
        create.deny();
        return nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_COMPLETE;
    }
    nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_NO_CALLBACK
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
    S::stop();
    to_raw(Ok(()))
}
