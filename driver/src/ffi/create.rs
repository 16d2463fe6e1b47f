//! One pipe create on its way to NPFS, as the filter manager shows it.
//!
//! Everything here is read in the pre-operation callback, at PASSIVE_LEVEL in the requestor's
//! thread: names, parameters and the security context are only valid there.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::slice;

use super::bindings as nt;
use super::status::NtStatus;

pub(super) const CREATE: u8 = 0x00;
pub(super) const CREATE_NAMED_PIPE: u8 = 0x01;
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

/// One pipe create on its way to NPFS.
pub struct PipeCreate<'a> {
    data: NonNull<nt::FLT_CALLBACK_DATA>,
    filter: nt::PFLT_FILTER,
    block: &'a nt::FLT_IO_PARAMETER_BLOCK,
    file: NonNull<nt::FILE_OBJECT>,
    operation: PipeOperation,
    _operation: PhantomData<&'a ()>,
}

impl<'a> PipeCreate<'a> {
    /// `None` for an operation the driver did not register for, or one without a file object.
    pub(super) fn new(
        data: NonNull<nt::FLT_CALLBACK_DATA>,
        objects: NonNull<nt::FLT_RELATED_OBJECTS>,
    ) -> Option<Self> {
        // SAFETY: the filter manager's objects are valid throughout the callback.
        let filter = unsafe { objects.as_ref() }.Filter;
        // SAFETY: the filter manager's callback data is valid throughout the callback.
        let block = NonNull::new(unsafe { data.as_ref() }.Iopb)?;
        // SAFETY: as above; the parameter block belongs to the callback data, and nothing in this
        // driver writes to it.
        let block: &'a nt::FLT_IO_PARAMETER_BLOCK = unsafe { block.as_ref() };
        let operation = match block.MajorFunction {
            CREATE_NAMED_PIPE => PipeOperation::Created,
            CREATE => PipeOperation::Connected,
            _ => return None,
        };
        let file = NonNull::new(block.TargetFileObject)?;
        Some(Self { data, filter, block, file, operation, _operation: PhantomData })
    }

    /// What was asked.
    pub const fn operation(&self) -> PipeOperation {
        self.operation
    }

    /// The name as the caller gave it: any units, with or without a leading backslash, or empty.
    /// `None` when it is not a string at all.
    #[inline]
    pub fn name(&self) -> Option<&[u16]> {
        // SAFETY: the file object is valid throughout the callback, and in a pre-create its name
        // is stable.
        let name = &unsafe { self.file.as_ref() }.FileName;
        let len = usize::from(name.Length) / 2;
        if name.Length & 1 != 0 {
            return None;
        }
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

    /// True when the name is relative to another open file: a directory, or for an empty name the
    /// server end whose client end is opened.
    pub fn is_relative(&self) -> bool {
        // SAFETY: the file object is valid throughout the callback, and in a pre-create this
        // member is stable.
        !unsafe { self.file.as_ref() }.RelatedFileObject.is_null()
    }

    /// The create options, `FILE_*`.
    pub fn options(&self) -> u32 {
        self.create().Options & 0x00FF_FFFF
    }

    /// The create disposition: `FILE_OPEN` 1, `FILE_CREATE` 2, `FILE_OPEN_IF` 3.
    pub fn disposition(&self) -> u32 {
        self.create().Options.wrapping_shr(24)
    }

    /// The access rights asked for.
    pub fn desired_access(&self) -> Option<u32> {
        self.security().map(|security| security.DesiredAccess)
    }

    /// What a new pipe shall be like; `None` for a client end.
    pub fn pipe(&self) -> Option<PipeParameters<'_>> {
        if self.operation != PipeOperation::Created {
            return None;
        }
        // SAFETY: this is the member that the operation has; every bit pattern of it is valid.
        let create = unsafe { &self.block.Parameters.CreatePipe };
        let parameters: NonNull<nt::NAMED_PIPE_CREATE_PARAMETERS> =
            NonNull::new(create.Parameters)?.cast();
        if !parameters.is_aligned() {
            return None;
        }
        // SAFETY: the I/O manager's copy of the parameters, valid during the create; aligned, as
        // just checked.
        let parameters = unsafe { parameters.as_ref() };
        Some(PipeParameters { share: create.ShareAccess, parameters })
    }

    /// True when the file server asks for a client: the create carries its extra parameter, and
    /// not one that a program made up. `None` when the parameters cannot be had.
    pub fn is_of_file_server(&self) -> Option<bool> {
        let mut list: nt::PECP_LIST = ptr::null_mut();
        // SAFETY: the filter and the callback data are the callback's own; the pointer is to a
        // local; <= APC_LEVEL.
        let status =
            unsafe { nt::FltGetEcpListFromCallbackData(self.filter, self.data(), &raw mut list) };
        if status < 0 {
            return None;
        }
        if list.is_null() {
            return Some(false);
        }
        let mut context: nt::PVOID = ptr::null_mut();
        // SAFETY: the list is the create's own, not null; the pointers are to a constant and a
        // local, and the size is not asked for; <= APC_LEVEL.
        let status = unsafe {
            nt::FltFindExtraCreateParameter(
                self.filter,
                list,
                &nt::ECP_SRV_OPEN,
                &raw mut context,
                ptr::null_mut(),
            )
        };
        if status < 0 || context.is_null() {
            return Some(false);
        }
        // SAFETY: the context was found in the create's list just now; <= APC_LEVEL.
        Some(unsafe { nt::FltIsEcpFromUserMode(self.filter, context) } == 0)
    }

    /// Whom the requestor speaks for.
    pub(super) fn subject(&self) -> Option<&nt::SECURITY_SUBJECT_CONTEXT> {
        let state = NonNull::new(self.security()?.AccessState)?;
        // SAFETY: the I/O manager's access state is valid during the create, and so are the tokens
        // it names.
        Some(&unsafe { state.as_ref() }.SubjectSecurityContext)
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

    /// Fails the create.
    pub(super) fn deny(mut self) {
        // SAFETY: the callback data is valid throughout the callback, and in a pre-operation the
        // filter may write its status; no other reference to it is alive.
        let status = &mut unsafe { self.data.as_mut() }.IoStatus;
        status.__bindgen_anon_1.Status = NtStatus::ACCESS_DENIED.raw();
        status.Information = 0;
    }

    fn security(&self) -> Option<&nt::IO_SECURITY_CONTEXT> {
        let context = NonNull::new(self.create().SecurityContext)?;
        // SAFETY: the I/O manager's security context is valid during the create.
        Some(unsafe { context.as_ref() })
    }

    /// The part of the parameters that both operations have: `CreatePipe` begins as `Create` does.
    const fn create(&self) -> &nt::_FLT_PARAMETERS__bindgen_ty_1 {
        // SAFETY: both operations have these members at these places (see `abi_check`); every bit
        // pattern of them is valid.
        unsafe { &self.block.Parameters.Create }
    }
}

/// What became of a create.
pub struct Completed {
    /// The NT status that the requestor gets; `None` when the driver is being unloaded and does not
    /// learn it.
    pub status: Option<u32>,
    /// `FILE_OPENED` 1, `FILE_CREATED` 2, where it succeeded.
    pub information: u64,
    /// The file server has marked the file as opened for a client.
    pub is_of_remote_origin: bool,
}

impl Completed {
    /// What it is that is not learned.
    pub(super) const UNKNOWN: Self =
        Self { status: None, information: 0, is_of_remote_origin: false };

    /// Of a post-operation that is not draining.
    pub(super) fn of(data: NonNull<nt::FLT_CALLBACK_DATA>) -> Self {
        // SAFETY: the filter manager's callback data is valid throughout the callback.
        let data = unsafe { data.as_ref() };
        // SAFETY: every bit pattern is a status, and in a post-operation it is one.
        let status = unsafe { data.IoStatus.__bindgen_anon_1.Status };
        // SAFETY: the parameter block belongs to the callback data.
        let file = NonNull::new(data.Iopb).map(|block| unsafe { block.as_ref() }.TargetFileObject);
        let origin = |file: nt::PFILE_OBJECT| {
            // SAFETY: the file object is valid throughout the callback; <= APC_LEVEL.
            !file.is_null() && unsafe { nt::IoIsFileOriginRemote(file) } != 0
        };
        Self {
            status: Some(u32::from_ne_bytes(status.to_ne_bytes())),
            information: data.IoStatus.Information,
            is_of_remote_origin: file.is_some_and(origin),
        }
    }
}

/// What a new pipe shall be like: as asked, which NPFS may still refuse.
#[derive(Clone, Copy)]
pub struct PipeParameters<'a> {
    share: u16,
    parameters: &'a nt::NAMED_PIPE_CREATE_PARAMETERS,
}

impl PipeParameters<'_> {
    /// 0 inbound, 1 outbound, 2 full duplex; `None` for what is no direction.
    pub const fn direction(self) -> Option<u32> {
        // NPFS takes the direction from what is shared: a client that may write sends inbound.
        const READ: u16 = 1;
        const WRITE: u16 = 2;
        const BOTH: u16 = READ | WRITE;
        match self.share {
            WRITE => Some(0),
            READ => Some(1),
            BOTH => Some(2),
            _ => None,
        }
    }

    /// 0 byte stream, 1 messages.
    pub const fn pipe_type(self) -> u32 {
        self.parameters.NamedPipeType & 1
    }

    /// Clients from the network are refused.
    pub const fn rejects_remote(self) -> bool {
        self.parameters.NamedPipeType & 2 != 0
    }

    /// 0 byte stream, 1 messages.
    pub const fn read_mode(self) -> u32 {
        self.parameters.ReadMode
    }

    /// The greatest number of instances; all ones for any number.
    pub const fn maximum_instances(self) -> u32 {
        self.parameters.MaximumInstances
    }

    /// In bytes.
    pub const fn inbound_quota(self) -> u32 {
        self.parameters.InboundQuota
    }

    /// In bytes.
    pub const fn outbound_quota(self) -> u32 {
        self.parameters.OutboundQuota
    }

    /// In units of 100 ns, without its sign, which says that it is relative; `None` if none was
    /// asked for.
    pub fn default_timeout(self) -> Option<u64> {
        // SAFETY: every bit pattern is an i64.
        let timeout = unsafe { self.parameters.DefaultTimeout.QuadPart };
        (self.parameters.TimeoutSpecified != 0).then_some(timeout.unsigned_abs())
    }
}
