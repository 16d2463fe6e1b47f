//! A minifilter with the shape that the sensor of 19 July 2024 had, for replays of that day beside
//! `saker.sys`. It reads the same channel files from the same folder, and nothing else is like it:
//!
//! * the newest file by name is taken as it is: no signature, no digest, no bounds;
//! * at every event an array of 20 inputs is filled, and a criterion reads the one that its record
//!   names, be that the 21st;
//! * a literal lies where its record says;
//! * the file is loaded again at every boot, whatever came of it before;
//! * what matches a blocking rule is blocked, however much that is.
//!
//! Beyond that it is a sound driver: what brings it down is content alone.

#![cfg(windows)]
#![no_std]
// Every check is left out on purpose; the whole crate is FFI.
#![allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a driver that must not check what it reads"
)]
#![allow(non_snake_case, non_camel_case_types, reason = "names as the kernel has them")]

mod content;
mod nt;

use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use content::Content;
use nt::*;

/// How many inputs this sensor supplies. Its content may ask for a 21st.
const INPUTS: usize = 20;
const PIPE_NAME: usize = 1;
const POLL: i64 = -5 * 10_000_000;

static FILTER: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(null_mut());
/// The content in force. What it replaces is never freed: a callback may still be reading it.
static CONTENT: AtomicPtr<u8> = AtomicPtr::new(null_mut());

static OPERATIONS: Shared<[FLT_OPERATION_REGISTRATION; 2]> = Shared([
    FLT_OPERATION_REGISTRATION {
        MajorFunction: 1,
        Flags: 0,
        PreOperation: Some(pre_create_named_pipe),
        PostOperation: None,
        Reserved: null(),
    },
    FLT_OPERATION_REGISTRATION {
        MajorFunction: 0x80,
        Flags: 0,
        PreOperation: None,
        PostOperation: None,
        Reserved: null(),
    },
]);

static REGISTRATION: Shared<FLT_REGISTRATION> = Shared(FLT_REGISTRATION {
    Size: size_of::<FLT_REGISTRATION>() as u16,
    Version: 0x0203,
    Flags: 2,
    ContextRegistration: null(),
    OperationRegistration: &raw const OPERATIONS.0 as *const _,
    FilterUnloadCallback: None,
    Others: [0; 10],
});

struct Shared<T>(T);

unsafe impl<T> Sync for Shared<T> {}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn DriverEntry(
    driver: HANDLE,
    _registry_path: *const UNICODE_STRING,
) -> NTSTATUS {
    unsafe {
        let mut filter = null_mut();
        let status = FltRegisterFilter(driver, &raw const REGISTRATION.0, &raw mut filter);
        if status < 0 {
            return status;
        }
        FILTER.store(filter, Ordering::Release);
        let status = FltStartFiltering(filter);
        if status < 0 {
            FltUnregisterFilter(filter);
            return status;
        }
        IoRegisterBootDriverReinitialization(driver, boot_devices_ready, null_mut());
        0
    }
}

/// The disk can be read: the content of last time is loaded before the first pipe exists.
unsafe extern "system" fn boot_devices_ready(_: HANDLE, _: HANDLE, _: u32) {
    unsafe {
        load();
        let mut thread = null_mut();
        let unnamed = attributes(null(), OBJ_KERNEL_HANDLE);
        let process = null_mut();
        PsCreateSystemThread(
            &mut thread,
            0x1F_03FF,
            &unnamed,
            process,
            null_mut(),
            poll,
            null_mut(),
        );
        ZwClose(thread);
    }
}

/// Takes what is delivered while the machine runs.
unsafe extern "system" fn poll(_: HANDLE) {
    loop {
        unsafe {
            KeDelayExecutionThread(0, 0, &POLL);
            load();
        }
    }
}

unsafe fn load() {
    let file = unsafe { content::newest() };
    if !file.is_null() {
        CONTENT.store(file, Ordering::Release);
    }
}

unsafe extern "system" fn pre_create_named_pipe(
    data: *mut FLT_CALLBACK_DATA,
    _objects: *const FLT_RELATED_OBJECTS,
    _context: *mut HANDLE,
) -> u32 {
    const PASS: u32 = 1;
    const COMPLETE: u32 = 4;
    let file = CONTENT.load(Ordering::Acquire);
    if file.is_null() {
        return PASS;
    }
    unsafe {
        let name = &(*(*(*data).Iopb).TargetFileObject).FileName;
        let inputs = ExAllocatePool2(PAGED, INPUTS * size_of::<Input>(), TAG).cast::<Input>();
        if inputs.is_null() {
            return PASS;
        }
        for index in 0..INPUTS {
            inputs.add(index).write(Input { units: null(), length: 0 });
        }
        let units = usize::from(name.Length) / 2;
        inputs.add(PIPE_NAME).write(Input { units: name.Buffer, length: units });
        let block = Content::of(file).blocks(inputs);
        ExFreePoolWithTag(inputs.cast(), TAG);
        if !block {
            return PASS;
        }
        (*data).Status = 0xC000_0022_u32 as i32;
        (*data).Information = 0;
        COMPLETE
    }
}

/// One input of an event.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Input {
    pub units: *const u16,
    pub length: usize,
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { KeBugCheckEx(0xE0, 1, 2, 3, 4) }
}
