//! Named pipe operations as a test makes them: requests, and the structures a filter sees.

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use windows_sys::Wdk::Foundation::{
    ACCESS_STATE, FILE_OBJECT, IO_SECURITY_CONTEXT, SECURITY_SUBJECT_CONTEXT,
};
use windows_sys::Wdk::Storage::FileSystem::Minifilters::{
    FLT_CALLBACK_DATA, FLT_IO_PARAMETER_BLOCK, FLT_RELATED_OBJECTS,
};
use windows_sys::Wdk::System::SystemServices::NAMED_PIPE_CREATE_PARAMETERS;

use super::layout::{PARTS, create};
use crate::bug::Bug;
use crate::cpu::thread_object;
use crate::guest::{self, Fault, GuestBlock, GuestBuffer, UnicodeString};
use crate::kernel::Kernel;
use crate::npfs::{CreateRequest, PipeEnd};
use crate::process::Process;
use crate::status::NtStatus;
use crate::token::Token;

pub(super) const IRP_MJ_CREATE: u8 = 0;
pub(super) const IRP_MJ_CREATE_NAMED_PIPE: u8 = 1;
const FLTFL_IRP_OPERATION: u32 = 1;
const FO_NAMED_PIPE: u32 = 0x80;

/// How a named pipe is created. The default is what `CreateNamedPipe` asks for most often.
#[derive(Clone, Debug)]
pub struct PipeOptions {
    /// `FILE_OPEN` 1, `FILE_CREATE` 2 (first instance only), `FILE_OPEN_IF` 3.
    pub disposition: u32,
    /// `FILE_*` create options (24 bits).
    pub create_options: u32,
    /// The direction: 1 outbound, 2 inbound, 3 duplex.
    pub share_access: u16,
    /// The desired access.
    pub desired_access: u32,
    /// 0 byte stream, 1 message; bit 1 rejects remote clients.
    pub pipe_type: u32,
    /// 0 byte stream, 1 message.
    pub read_mode: u32,
    /// 0 queue, 1 complete.
    pub completion_mode: u32,
    /// At most this many instances.
    pub maximum_instances: u32,
    /// Bytes.
    pub inbound_quota: u32,
    /// Bytes.
    pub outbound_quota: u32,
    /// In 100 ns, negative is relative.
    pub default_timeout: i64,
    /// Whether `default_timeout` counts.
    pub timeout_specified: bool,
    /// The request comes from kernel mode.
    pub kernel_mode: bool,
    /// The token that the thread impersonates.
    pub client: Option<Arc<Token>>,
    /// The extra create parameter of the file server.
    pub ecp: Ecp,
    /// The directory of NPFS that the name is relative to, as a path; a name without a leading
    /// backslash is relative to the root directory where this is `None`.
    pub directory: Option<Vec<u16>>,
    /// The name is a byte short of whole units, which no well-meant caller asks for.
    pub odd_length: bool,
}

impl Default for PipeOptions {
    fn default() -> PipeOptions {
        PipeOptions {
            disposition: 3,
            create_options: 0x20,
            share_access: 3,
            desired_access: 0x0012_019F,
            pipe_type: 0,
            read_mode: 0,
            completion_mode: 0,
            maximum_instances: u32::MAX,
            inbound_quota: 4096,
            outbound_quota: 4096,
            default_timeout: -500_000,
            timeout_specified: true,
            kernel_mode: false,
            client: None,
            ecp: Ecp::None,
            directory: None,
            odd_length: false,
        }
    }
}

/// How a client end is opened.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// `FILE_*` create options (24 bits).
    pub create_options: u32,
    /// `FILE_SHARE_*`.
    pub share_access: u16,
    /// The desired access.
    pub desired_access: u32,
    /// The request comes from kernel mode, as the file server's do.
    pub kernel_mode: bool,
    /// The token that the thread impersonates.
    pub client: Option<Arc<Token>>,
    /// The extra create parameter of the file server.
    pub ecp: Ecp,
    /// The directory of NPFS that the name is relative to, as a path; a name without a leading
    /// backslash is relative to the root directory where this is `None`.
    pub directory: Option<Vec<u16>>,
    /// The name is a byte short of whole units, which no well-meant caller asks for.
    pub odd_length: bool,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            create_options: 0x60,
            share_access: 0,
            desired_access: 0x0012_019F,
            kernel_mode: false,
            client: None,
            ecp: Ecp::None,
            directory: None,
            odd_length: false,
        }
    }
}

/// Whether a create carries `GUID_ECP_SRV_OPEN`, which says that it came over the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecp {
    /// It carries no extra create parameters.
    #[default]
    None,
    /// It carries another one.
    Other,
    /// The file server opens it for a client, which may be on the same machine.
    Server,
    /// A program in user mode says that it is the file server.
    Forged,
}

/// Text that names a pipe: UTF-8, or any UTF-16 units.
pub trait IntoUnits {
    /// Its UTF-16 units.
    fn into_units(self) -> Vec<u16>;
}

impl IntoUnits for &str {
    fn into_units(self) -> Vec<u16> {
        self.encode_utf16().collect()
    }
}

impl IntoUnits for &String {
    fn into_units(self) -> Vec<u16> {
        self.encode_utf16().collect()
    }
}

impl IntoUnits for &[u16] {
    fn into_units(self) -> Vec<u16> {
        self.to_vec()
    }
}

impl IntoUnits for &Vec<u16> {
    fn into_units(self) -> Vec<u16> {
        self.clone()
    }
}

impl IntoUnits for Vec<u16> {
    fn into_units(self) -> Vec<u16> {
        self
    }
}

/// What a pre-operation callback answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreStatus {
    /// Go on, and call the post-operation callback.
    SuccessWithCallback,
    /// Go on.
    SuccessNoCallback,
    /// The filter completed the operation itself.
    Complete,
}

/// How an operation went.
#[derive(Debug)]
pub struct Outcome {
    /// What the requestor gets.
    pub status: NtStatus,
    /// `FILE_CREATED` 2 for a first instance, `FILE_OPENED` 1.
    pub information: u64,
    /// What the first filter's pre-operation callback answered; `None` if there is none.
    pub pre: Option<PreStatus>,
    /// Bytes of driver stack that the callbacks wrote; 0 with the fast pool.
    pub stack_used: usize,
    /// The deepest API call with that API's own share charged.
    pub stack_charged: usize,
    /// The end of the pipe that the requestor got; dropping it closes it.
    pub end: Option<PipeEnd>,
}

enum Text {
    Guarded(GuestBuffer),
    Plain(GuestBlock),
}

/// What an operation asks NPFS for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    Create(CreateRequest),
    /// With the access that is asked for.
    Connect(u32),
}

/// An operation with the structures that filters see; can be run again and again.
pub struct PreOperation {
    pub(super) kernel: Arc<Kernel>,
    pub(super) process: Arc<Process>,
    block: GuestBlock,
    _text: Text,
    _directory: Option<GuestBuffer>,
    name: Vec<u16>,
    /// The name as NPFS understands it.
    pub(super) below: Vec<u16>,
    pub(super) request: Request,
    pub(super) major: u8,
}

impl PreOperation {
    /// A request to create an instance of a pipe. A name without a leading backslash is relative
    /// to the root directory of NPFS; an empty one is an anonymous pipe.
    fn create(
        kernel: &Kernel,
        process: &Arc<Process>,
        name: Vec<u16>,
        options: &PipeOptions,
    ) -> PreOperation {
        let request = Request::Create(CreateRequest {
            disposition: options.disposition,
            share: u32::from(options.share_access),
            kind: options.pipe_type,
            read_mode: options.read_mode,
            maximum_instances: options.maximum_instances,
            default_timeout: options.default_timeout,
            timeout_specified: options.timeout_specified,
        });
        let directory = options.directory.as_deref();
        let operation = PreOperation::new(
            kernel,
            process,
            (name, directory),
            request,
            IRP_MJ_CREATE_NAMED_PIPE,
        );
        let common = ConnectOptions {
            create_options: options.create_options & 0xFF_FFFF | options.disposition << 24,
            share_access: options.share_access,
            desired_access: options.desired_access,
            kernel_mode: options.kernel_mode,
            client: options.client.clone(),
            ecp: options.ecp,
            directory: options.directory.clone(),
            odd_length: options.odd_length,
        };
        operation.fill(&common).and_then(|()| operation.fill_pipe(options)).expect("own memory");
        operation
    }

    fn connect(
        kernel: &Kernel,
        process: &Arc<Process>,
        name: Vec<u16>,
        options: &ConnectOptions,
    ) -> PreOperation {
        let directory = options.directory.as_deref();
        let request = Request::Connect(options.desired_access);
        let operation =
            PreOperation::new(kernel, process, (name, directory), request, IRP_MJ_CREATE);
        const FILE_OPEN: u32 = 1;
        let options = ConnectOptions {
            create_options: options.create_options & 0xFF_FFFF | FILE_OPEN << 24,
            ..options.clone()
        };
        operation.fill(&options).expect("own memory");
        operation
    }

    fn new(
        kernel: &Kernel,
        process: &Arc<Process>,
        (name, directory): (Vec<u16>, Option<&[u16]>),
        request: Request,
        major: u8,
    ) -> PreOperation {
        let below = match directory {
            Some(directory) => [directory, &[u16::from(b'\\')], &name].concat(),
            None => name.clone(),
        };
        let text = if kernel.is_checked() {
            Text::Guarded(GuestBuffer::utf16(&name))
        } else {
            let block = GuestBlock::new(name.len() * 2);
            let raw: Vec<u8> = name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            guest::write_bytes(block.address(), &raw).expect("own memory");
            Text::Plain(block)
        };
        PreOperation {
            kernel: kernel.shared().expect("the caller holds the kernel"),
            process: process.clone(),
            block: GuestBlock::new(PARTS.size),
            _text: text,
            _directory: directory.map(GuestBuffer::utf16),
            name,
            below,
            request,
            major,
        }
    }

    fn at(&self, part: usize, member: usize) -> u64 {
        self.block.address() + (part + member) as u64
    }

    pub(super) fn data(&self) -> u64 {
        self.at(PARTS.data, 0)
    }

    pub(super) fn related(&self) -> u64 {
        self.at(PARTS.related, 0)
    }

    pub(super) fn context_slot(&self) -> u64 {
        self.at(PARTS.context, 0)
    }

    /// Everything but the pipe parameters.
    fn fill(&self, options: &ConnectOptions) -> Result<(), Fault> {
        type Data = FLT_CALLBACK_DATA;
        guest::write(self.at(PARTS.data, offset_of!(Data, Flags)), FLTFL_IRP_OPERATION)?;
        guest::write(self.at(PARTS.data, offset_of!(Data, Iopb)), self.at(PARTS.iopb, 0))?;
        let mode = u8::from(!options.kernel_mode);
        guest::write(self.at(PARTS.data, offset_of!(Data, RequestorMode)), mode)?;

        type Iopb = FLT_IO_PARAMETER_BLOCK;
        guest::write(self.at(PARTS.iopb, offset_of!(Iopb, MajorFunction)), self.major)?;
        let file = self.at(PARTS.file, 0);
        guest::write(self.at(PARTS.iopb, offset_of!(Iopb, TargetFileObject)), file)?;
        let parameters = PARTS.iopb + offset_of!(Iopb, Parameters);
        let security = self.at(PARTS.security, 0);
        guest::write(self.at(parameters, create::SECURITY_CONTEXT), security)?;
        guest::write(self.at(parameters, create::OPTIONS), options.create_options)?;
        guest::write(self.at(parameters, create::SHARE_ACCESS), options.share_access)?;

        for (part, size) in [(PARTS.file, size_of::<FILE_OBJECT>()), (PARTS.root, 0xD8)] {
            guest::write(self.at(part, offset_of!(FILE_OBJECT, Type)), 5u16)?;
            guest::write(self.at(part, offset_of!(FILE_OBJECT, Size)), size as u16)?;
        }
        guest::write(self.at(PARTS.file, offset_of!(FILE_OBJECT, Flags)), FO_NAMED_PIPE)?;
        if self.name.first() != Some(&u16::from(b'\\')) || self._directory.is_some() {
            let related = offset_of!(FILE_OBJECT, RelatedFileObject);
            guest::write(self.at(PARTS.file, related), self.at(PARTS.root, 0))?;
        }
        if let Some(directory) = &self._directory {
            let length = options.directory.as_ref().map_or(0, Vec::len) * 2;
            let (length, buffer) = (length as u16, directory.address());
            UnicodeString { length, maximum: length, buffer }
                .write(self.at(PARTS.root, offset_of!(FILE_OBJECT, FileName)))?;
        }
        let buffer = match &self._text {
            Text::Guarded(text) => text.address(),
            Text::Plain(text) => text.address(),
        };
        let odd = u16::from(options.odd_length);
        let length = (self.name.len() * 2).min(0xFFFE) as u16 - odd;
        UnicodeString { length, maximum: length, buffer }
            .write(self.at(PARTS.file, offset_of!(FILE_OBJECT, FileName)))?;

        type Related = FLT_RELATED_OBJECTS;
        let size = size_of::<Related>() as u16;
        guest::write(self.at(PARTS.related, offset_of!(Related, Size)), size)?;
        guest::write(self.at(PARTS.related, offset_of!(Related, FileObject)), file)?;

        type Security = IO_SECURITY_CONTEXT;
        let access = self.at(PARTS.access, 0);
        guest::write(self.at(PARTS.security, offset_of!(Security, AccessState)), access)?;
        let desired = options.desired_access;
        guest::write(self.at(PARTS.security, offset_of!(Security, DesiredAccess)), desired)?;
        type State = ACCESS_STATE;
        let remaining = offset_of!(State, RemainingDesiredAccess);
        guest::write(self.at(PARTS.access, remaining), desired)?;
        let original = offset_of!(State, OriginalDesiredAccess);
        guest::write(self.at(PARTS.access, original), desired)?;
        let subject = offset_of!(State, SubjectSecurityContext);
        type Subject = SECURITY_SUBJECT_CONTEXT;
        let client = options.client.as_ref().map_or(0, |token| token.address());
        let tokens = [
            (offset_of!(Subject, ClientToken), client),
            (offset_of!(Subject, PrimaryToken), self.process.token().address()),
        ];
        for (member, token) in tokens {
            guest::write(self.at(PARTS.access, subject + member), token)?;
        }
        // What this list looks like is the filter manager's own business.
        guest::write(self.at(PARTS.ecps, 0), options.ecp as u64)
    }

    /// The ECP_LIST; 0 where the create carries none.
    pub(super) fn ecp_list(data: u64) -> Result<u64, Fault> {
        let list = data + (PARTS.ecps - PARTS.data) as u64;
        Ok(if guest::read::<u64>(list)? == Ecp::None as u64 { 0 } else { list })
    }

    fn fill_pipe(&self, options: &PipeOptions) -> Result<(), Fault> {
        type Pipe = NAMED_PIPE_CREATE_PARAMETERS;
        let parameters = PARTS.iopb + offset_of!(FLT_IO_PARAMETER_BLOCK, Parameters);
        let pipe = self.at(PARTS.pipe, 0);
        guest::write(self.at(parameters, create::PIPE_PARAMETERS), pipe)?;
        let words = [
            (offset_of!(Pipe, NamedPipeType), options.pipe_type),
            (offset_of!(Pipe, ReadMode), options.read_mode),
            (offset_of!(Pipe, CompletionMode), options.completion_mode),
            (offset_of!(Pipe, MaximumInstances), options.maximum_instances),
            (offset_of!(Pipe, InboundQuota), options.inbound_quota),
            (offset_of!(Pipe, OutboundQuota), options.outbound_quota),
        ];
        for (member, value) in words {
            guest::write(self.at(PARTS.pipe, member), value)?;
        }
        let timeout = offset_of!(Pipe, DefaultTimeout);
        guest::write(self.at(PARTS.pipe, timeout), options.default_timeout)?;
        let specified = offset_of!(Pipe, TimeoutSpecified);
        guest::write(self.at(PARTS.pipe, specified), u8::from(options.timeout_specified))
    }

    /// Prepares the structures for one run: status, thread, and whose turn it is.
    pub(super) fn arm(&self, filter: u64, volume: u64, instance: u64) -> Result<(), Fault> {
        type Data = FLT_CALLBACK_DATA;
        guest::write(self.at(PARTS.data, offset_of!(Data, Thread)), thread_object())?;
        type Related = FLT_RELATED_OBJECTS;
        guest::write(self.at(PARTS.related, offset_of!(Related, Filter)), filter)?;
        guest::write(self.at(PARTS.related, offset_of!(Related, Volume)), volume)?;
        guest::write(self.at(PARTS.related, offset_of!(Related, Instance)), instance)?;
        let target = offset_of!(FLT_IO_PARAMETER_BLOCK, TargetInstance);
        guest::write(self.at(PARTS.iopb, target), instance)?;
        guest::write(self.context_slot(), 0u64)
    }

    pub(super) fn set_status(&self, status: NtStatus, information: u64) -> Result<(), Fault> {
        let block = PARTS.data + offset_of!(FLT_CALLBACK_DATA, IoStatus);
        guest::write(self.at(block, 0), u64::from(status.0))?;
        guest::write(self.at(block, 8), information)
    }

    pub(super) fn status(&self) -> Result<(NtStatus, u64), Fault> {
        let block = PARTS.data + offset_of!(FLT_CALLBACK_DATA, IoStatus);
        let status = guest::read::<u32>(self.at(block, 0))?;
        Ok((NtStatus(status), guest::read(self.at(block, 8))?))
    }

    /// Runs the whole operation: filters, NPFS, filters.
    pub fn run(&self) -> Result<Outcome, Box<Bug>> {
        self.run_meanwhile(&|| {})
    }

    /// The same, and something else happens between NPFS and the post-operation callbacks.
    pub fn run_meanwhile(&self, meanwhile: &dyn Fn()) -> Result<Outcome, Box<Bug>> {
        self.kernel.finish_boot();
        self.kernel.attach_filters()?;
        self.process.attached(|| super::dispatch::run(self, meanwhile))
    }

    /// Runs only the pre-operation callback of the topmost filter, for benchmarks; not to be used
    /// while the driver is being unloaded.
    pub fn run_pre(&self) -> Result<Option<PreStatus>, Box<Bug>> {
        self.process.attached(|| super::dispatch::run_pre(self))
    }
}

impl Kernel {
    /// True while a filter is being unregistered: no operation that begins now reaches it.
    pub fn is_unregistering(&self) -> bool {
        let state = self.filters().state();
        state.filters.iter().any(|filter| filter.draining.load(Ordering::Acquire))
    }

    /// A process creates an instance of a named pipe.
    pub fn create_named_pipe(
        &self,
        process: &Arc<Process>,
        name: impl IntoUnits,
        options: PipeOptions,
    ) -> Result<Outcome, Box<Bug>> {
        self.prepare_create_named_pipe(process, name, options).run()
    }

    /// A process opens the client end of a named pipe.
    pub fn connect_pipe(
        &self,
        process: &Arc<Process>,
        name: impl IntoUnits,
        options: ConnectOptions,
    ) -> Result<Outcome, Box<Bug>> {
        self.prepare_connect_pipe(process, name, options).run()
    }

    /// The request of [`Kernel::create_named_pipe`], to be run often.
    pub fn prepare_create_named_pipe(
        &self,
        process: &Arc<Process>,
        name: impl IntoUnits,
        options: PipeOptions,
    ) -> PreOperation {
        PreOperation::create(self, process, name.into_units(), &options)
    }

    /// The request of [`Kernel::connect_pipe`], to be run often.
    pub fn prepare_connect_pipe(
        &self,
        process: &Arc<Process>,
        name: impl IntoUnits,
        options: ConnectOptions,
    ) -> PreOperation {
        PreOperation::connect(self, process, name.into_units(), &options)
    }
}
