//! Exports by which tests reach requests that go on after their call, devices and descriptors.

use core::ffi::c_void;
use core::ptr::{null, null_mut};

use crate::nt::*;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn ZwReadFile(
        file: HANDLE,
        event: HANDLE,
        apc: *const c_void,
        context: *const c_void,
        block: *mut [u64; 2],
        buffer: *mut u8,
        length: u32,
        position: *const i64,
        key: *const u32,
    ) -> NTSTATUS;
    fn ZwCancelIoFileEx(file: HANDLE, request: *mut [u64; 2], block: *mut [u64; 2]) -> NTSTATUS;
    fn ZwCreateEvent(
        event: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        kind: u32,
        state: u8,
    ) -> NTSTATUS;
    fn ZwWaitForSingleObject(object: HANDLE, alertable: u8, timeout: *const i64) -> NTSTATUS;
    fn ZwQuerySecurityObject(
        file: HANDLE,
        what: u32,
        buffer: *mut u8,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    fn PsTerminateSystemThread(status: NTSTATUS) -> NTSTATUS;
    fn IoCreateDevice(
        driver: HANDLE,
        extension: u32,
        name: *const UNICODE_STRING,
        kind: u32,
        traits: u32,
        exclusive: u8,
        device: *mut HANDLE,
    ) -> NTSTATUS;
    fn IoDeleteDevice(device: HANDLE);
    fn IoRegisterShutdownNotification(device: HANDLE) -> NTSTATUS;
    fn IoUnregisterShutdownNotification(device: HANDLE);
    fn IofCompleteRequest(request: HANDLE, boost: i8);
}

const SYNCHRONIZE: u32 = 0x10_0000;
const READ: u32 = 0x12_0089;
const PENDING: NTSTATUS = 0x103;
const TIMEOUT: NTSTATUS = 0x102;
const PATH: &[u8; 23] = b"\\SystemRoot\\planted.bin";

/// Opens `\SystemRoot\planted.bin` to read, asynchronously, with more options.
unsafe fn open(options: u32, file: &mut HANDLE) -> NTSTATUS {
    let mut path = [0u16; PATH.len()];
    for (unit, byte) in path.iter_mut().zip(PATH) {
        *unit = u16::from(*byte);
    }
    let name = string(&path);
    let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
    let mut block = [0; 2];
    unsafe {
        ZwCreateFile(
            file,
            READ | SYNCHRONIZE,
            &attributes,
            &mut block,
            null(),
            0x80,
            7,
            1,
            options,
            null(),
            0,
        )
    }
}

/// Opens the file with these options besides, and closes it again; gives the status of the open.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedOpen(options: u32) -> NTSTATUS {
    unsafe {
        let mut file = null_mut();
        let status = open(options, &mut file);
        if status >= 0 {
            ZwClose(file);
        }
        status
    }
}

/// A request and all that belongs to it.
struct Request {
    file: HANDLE,
    event: HANDLE,
    block: *mut [u64; 2],
    buffer: *mut u8,
}

impl Request {
    /// Begins to read eight bytes; gives the status of the call.
    unsafe fn begin() -> (Request, NTSTATUS) {
        unsafe {
            let mut request = Request {
                file: null_mut(),
                event: null_mut(),
                block: ExAllocatePool2(NON_PAGED, 16, TAG).cast(),
                buffer: ExAllocatePool2(NON_PAGED, 8, TAG),
            };
            open(0, &mut request.file);
            let name = string(&[]);
            let unnamed = attributes(&name, OBJ_KERNEL_HANDLE);
            ZwCreateEvent(&mut request.event, 0x1F_0003, &unnamed, 0, 0);
            let start = 0;
            let status = ZwReadFile(
                request.file,
                request.event,
                null(),
                null(),
                request.block,
                request.buffer,
                8,
                &start,
                null(),
            );
            (request, status)
        }
    }

    unsafe fn wait(&self, timeout: i64) -> NTSTATUS {
        unsafe { ZwWaitForSingleObject(self.event, 0, &timeout) }
    }

    unsafe fn end(self) {
        unsafe {
            ZwClose(self.file);
            ZwClose(self.event);
            ExFreePoolWithTag(self.block.cast(), TAG);
            ExFreePoolWithTag(self.buffer, TAG);
        }
    }
}

/// Reads and waits `timeout`; a request that is not over then is cancelled and waited for again.
/// Gives the status in its block, above it the first byte, above that whether the call came back
/// with the request under way (1), and the wait for it ran out (2).
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedRead(timeout: i64) -> u64 {
    unsafe {
        let (request, status) = Request::begin();
        let mut facts = 0;
        if status == PENDING {
            facts |= 1;
            if request.wait(timeout) == TIMEOUT {
                facts |= 2;
                let mut block = [0; 2];
                ZwCancelIoFileEx(request.file, request.block, &mut block);
                request.wait(timeout);
            }
        }
        let found = (*request.block)[0] & 0xFFFF_FFFF;
        let first = u64::from(*request.buffer);
        request.end();
        found | first << 32 | facts << 40
    }
}

/// The bug: the buffer of a request that is not over is given back.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedReadAndFree() -> NTSTATUS {
    unsafe {
        let (request, status) = Request::begin();
        ExFreePoolWithTag(request.buffer, TAG);
        status
    }
}

/// A thread ends with a request under way; gives the status in the request's block then.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedEndThread() -> u64 {
    unsafe {
        let mut begun = None;
        let mut thread = null_mut();
        PsCreateSystemThread(
            &mut thread,
            0x1F_FFFF,
            null(),
            null_mut(),
            null_mut(),
            begin_and_end,
            (&raw mut begun).cast(),
        );
        ZwWaitForSingleObject(thread, 0, null());
        ZwClose(thread);
        let Some(request): Option<Request> = begun else { return u64::MAX };
        let found = (*request.block)[0] & 0xFFFF_FFFF;
        request.end();
        found
    }
}

unsafe extern "system" fn begin_and_end(begun: *mut c_void) {
    unsafe {
        *begun.cast::<Option<Request>>() = Some(Request::begin().0);
        PsTerminateSystemThread(0);
    }
}

/// The file's owner and access list: gives the status, above it the length that is needed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedSecurity(room: u32) -> u64 {
    unsafe {
        let mut file = null_mut();
        open(0, &mut file);
        let mut buffer = [0; 256];
        let mut needed = 0;
        let status =
            ZwQuerySecurityObject(file, 5, buffer.as_mut_ptr(), room.min(256), &mut needed);
        ZwClose(file);
        u64::from(status as u32) | u64::from(needed) << 32
    }
}

static mut DEVICE: HANDLE = null_mut();
static mut TOLD: u64 = 0;

/// Makes a device that is told of a shutdown. `how` says what its routine does: 0 all that it
/// should, 1 nothing, 2 it completes the request twice.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedShutdownNotice(driver: HANDLE, how: u32) -> NTSTATUS {
    unsafe {
        let mut device = null_mut();
        let status = IoCreateDevice(driver, 0, null(), 0x22, 0x100, 0, &mut device);
        if status < 0 {
            return status;
        }
        DEVICE = device;
        // DRIVER_OBJECT.MajorFunction[IRP_MJ_SHUTDOWN].
        let routine: unsafe extern "system" fn(HANDLE, HANDLE) -> NTSTATUS = match how {
            0 => told,
            1 => told_and_forgets,
            _ => told_and_completes_twice,
        };
        driver.cast::<usize>().add(0x70 / 8 + 0x10).write(routine as usize);
        IoRegisterShutdownNotification(device)
    }
}

/// Takes that back; gives how often the routine ran.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedShutdownNoticeEnds() -> u64 {
    unsafe {
        IoUnregisterShutdownNotification(DEVICE);
        IoDeleteDevice(DEVICE);
        TOLD
    }
}

/// The bug: a device is deleted that is still registered.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedDeleteDevice() {
    unsafe { IoDeleteDevice(DEVICE) };
}

unsafe extern "system" fn told(_device: HANDLE, request: HANDLE) -> NTSTATUS {
    unsafe {
        TOLD += 1;
        IofCompleteRequest(request, 0);
    }
    0
}

unsafe extern "system" fn told_and_forgets(_device: HANDLE, _request: HANDLE) -> NTSTATUS {
    0
}

unsafe extern "system" fn told_and_completes_twice(_device: HANDLE, request: HANDLE) -> NTSTATUS {
    unsafe {
        IofCompleteRequest(request, 0);
        IofCompleteRequest(request, 0);
    }
    0
}
