//! Opening, reading, writing and deleting files.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::transfer::Transfer;
use super::{Object, ObjectAttributes, OpenFile, requests};
use crate::bug::BugKind;
use crate::cpu::{Cx, PASSIVE, Trap, apis};
use crate::guest::{self, GuestBlock};
use crate::machine::{DiskError, OpenRequest};
use crate::sched::{Deadline, ticks};
use crate::status::NtStatus;

const DELETE: u32 = 0x1_0000;
const FILE_OPEN: u32 = 1;
const SHARE_ALL: u32 = 7;
const OPTION_SYNCHRONOUS: u32 = 0x30;
const OPTION_COMPLETE_IF_OPLOCKED: u32 = 0x100;
/// `FILE_WRITE_TO_END_OF_FILE` and `FILE_USE_FILE_POINTER_POSITION`.
const END_OF_FILE: i64 = -1;
const CURRENT_POSITION: i64 = -2;

/// A disk operation's result as the status of the call.
pub(super) fn settle<T>(result: Result<T, DiskError>) -> Result<Result<T, NtStatus>, Trap> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(DiskError::Status(status)) => Ok(Err(status)),
        Err(DiskError::PowerCut) => Err(BugKind::PowerCut.into()),
    }
}

/// The file that a handle refers to.
pub(super) fn file(cx: &Cx<'_>, handle: u64) -> Result<Result<Arc<OpenFile>, NtStatus>, Trap> {
    Ok(match cx.kernel().objects().handle(cx, handle)? {
        Object::File(file) => Ok(file),
        _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })
}

/// Fills the IO_STATUS_BLOCK of a call that waits for its end.
pub(super) fn complete(block: u64, status: NtStatus, information: u64) -> Result<NtStatus, Trap> {
    guest::write(block, u64::from(status.0))?;
    guest::write(block + 8, information)?;
    Ok(status)
}

/// Takes as long as a call that waits for its end takes just now.
pub(super) fn pause(cx: &Cx<'_>) -> Result<(), Trap> {
    let kernel = cx.kernel();
    let time = kernel.machine().disk().call_time();
    if !time.is_zero() {
        let deadline = Deadline::Interrupt(kernel.clock().interrupt_time() + ticks(time));
        kernel.sched().block(kernel, deadline, || Ok(None::<()>))?;
    }
    Ok(())
}

fn create(
    cx: &Cx<'_>,
    out: u64,
    attributes: u64,
    block: u64,
    request: OpenRequest,
) -> Result<NtStatus, Trap> {
    if cx.kpcr().apc_disabled.get() != 0 && cx.irql() > PASSIVE {
        return Err(cx.misuse("special kernel APCs must be enabled"));
    }
    let attributes = match ObjectAttributes::read(cx, attributes)? {
        Ok(attributes) => attributes,
        Err(status) => return Ok(status),
    };
    if !request.is_consistent() {
        return Ok(NtStatus::INVALID_PARAMETER);
    }
    if attributes.root == 0
        && let Some(name) = super::pipe::name(cx, &attributes.name)
    {
        // ntifs.h: without a quality of service a server may impersonate its client, and anybody may
        // have made the pipe. 0 is anonymous, 1 identification.
        if !matches!(attributes.impersonation, Some(0 | 1)) {
            return Err(cx.misuse("the pipe's server may impersonate the kernel"));
        }
        let kernel_handle = attributes.is_kernel_handle();
        return super::pipe::open(cx, out, block, name, request, kernel_handle);
    }
    let path = match attributes.file_path(cx)? {
        Ok(path) => path,
        Err(status) => return complete(block, status, 0),
    };
    pause(cx)?;
    let kernel = cx.kernel();
    let machine = kernel.machine();
    let now = kernel.clock().system_time();
    let opened = settle(machine.disk().files().at(now).open(&path, request))?;
    let (open, information) = match opened {
        Ok(opened) => opened,
        Err(status) => return complete(block, status, 0),
    };
    let file = OpenFile {
        open,
        access: request.access,
        synchronous: request.options & OPTION_SYNCHRONOUS != 0,
        position: Mutex::new(0),
        listing: Mutex::new(None),
        body: GuestBlock::new(0xD8),
        closed: AtomicBool::new(false),
    };
    let object = Object::File(Arc::new(file));
    let handle = kernel.objects().insert(cx, object, attributes.is_kernel_handle());
    guest::write(out, handle)?;
    // wdm.h, ntifs.h: an open that breaks another's oplock waits until he gives it up, unless it
    // was told to come back at once with this success code.
    let broken = || machine.disk().files().is_oplocked(open);
    if broken() {
        if request.options & OPTION_COMPLETE_IF_OPLOCKED != 0 {
            return complete(block, NtStatus::OPLOCK_BREAK_IN_PROGRESS, information);
        }
        kernel.sched().block(kernel, Deadline::Never, || Ok((!broken()).then_some(())))?;
    }
    complete(block, NtStatus::SUCCESS, information)
}

/// The byte offset that a read or write uses, or the status when it may not be left out.
fn offset(file: &OpenFile, address: u64, size: u64) -> Result<Result<u64, NtStatus>, Trap> {
    let given = if address == 0 { CURRENT_POSITION } else { guest::read::<i64>(address)? };
    Ok(match given {
        END_OF_FILE => Ok(size),
        CURRENT_POSITION if file.synchronous => {
            Ok(*file.position.lock().unwrap_or_else(PoisonError::into_inner))
        }
        given if given >= 0 => Ok(given as u64),
        _ => Err(NtStatus::INVALID_PARAMETER),
    })
}

apis! {
    ntoskrnl [PASSIVE, 6000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwCreateFile(cx, out: u64, access: u32, attributes: u64, block: u64, _allocation: u64,
        file_attributes: u32, share: u32, disposition: u32, options: u32, _ea: u64, _ea_length: u32)
        -> NtStatus {
        let request =
            OpenRequest { access, share, disposition, options, attributes: file_attributes };
        create(cx, out, attributes, block, request)
    }

    ntoskrnl [PASSIVE, 6000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwOpenFile(cx, out: u64, access: u32, attributes: u64, block: u64, share: u32,
        options: u32) -> NtStatus {
        let request =
            OpenRequest { access, share, disposition: FILE_OPEN, options, attributes: 0 };
        create(cx, out, attributes, block, request)
    }

    ntoskrnl [PASSIVE, 3500, fails NtStatus::IO_DEVICE_ERROR.0]
    fn ZwReadFile(cx, handle: u64, event: u64, _apc: u64, _context: u64, block: u64, buffer: u64,
        length: u32, position: u64, _key: u64) -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let start = match offset(&file, position, u64::MAX)? {
            Ok(start) => start,
            Err(status) => return Ok(status),
        };
        requests::start(cx, file, block, event, Transfer::Read { buffer, length, start })
    }

    ntoskrnl [PASSIVE, 3500, fails NtStatus::IO_DEVICE_ERROR.0]
    fn ZwWriteFile(cx, handle: u64, event: u64, _apc: u64, _context: u64, block: u64, buffer: u64,
        length: u32, position: u64, _key: u64) -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let machine = cx.kernel().machine();
        let size = settle(machine.disk().files().info(file.open))?.map_or(0, |info| info.size);
        let start = match offset(&file, position, size)? {
            Ok(start) => start,
            Err(status) => return Ok(status),
        };
        requests::start(cx, file, block, event, Transfer::Write { buffer, length, start })
    }

    // ntifs.h (Windows Vista): asks and does not wait.
    ntoskrnl [PASSIVE, 1500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwCancelIoFileEx(cx, handle: u64, request: u64, block: u64) -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        let status = requests::cancel(cx, &file, request);
        complete(block, status, 0)
    }

    ntoskrnl [PASSIVE, 3500, fails NtStatus::IO_DEVICE_ERROR.0]
    fn ZwFlushBuffersFile(cx, handle: u64, block: u64) -> NtStatus {
        let file = match file(cx, handle)? {
            Ok(file) => file,
            Err(status) => return Ok(status),
        };
        pause(cx)?;
        let machine = cx.kernel().machine();
        let flushed = settle(machine.disk().files().flush(file.open))?;
        complete(block, flushed.err().unwrap_or(NtStatus::SUCCESS), 0)
    }

    ntoskrnl [PASSIVE, 6000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwDeleteFile(cx, attributes: u64) -> NtStatus {
        let attributes = match ObjectAttributes::read(cx, attributes)? {
            Ok(attributes) => attributes,
            Err(status) => return Ok(status),
        };
        let path = match attributes.file_path(cx)? {
            Ok(path) => path,
            Err(status) => return Ok(status),
        };
        let kernel = cx.kernel();
        let machine = kernel.machine();
        let mut files = machine.disk().files().at(kernel.clock().system_time());
        let request = OpenRequest {
            access: DELETE,
            share: SHARE_ALL,
            disposition: FILE_OPEN,
            options: 0,
            attributes: 0,
        };
        let open = match settle(files.open(&path, request))? {
            Ok((open, _)) => open,
            Err(status) => return Ok(status),
        };
        let deleted = files.set_delete(open, true);
        files.close(open);
        Ok(settle(deleted)?.err().unwrap_or(NtStatus::SUCCESS))
    }
}
