//! The kernel functions and structures that it uses.

use core::ffi::c_void;

pub type HANDLE = *mut c_void;
pub type NTSTATUS = i32;

pub const OBJ_KERNEL_HANDLE: u32 = 0x200;
pub const PAGED: u64 = 0x100;
pub const TAG: u32 = u32::from_le_bytes(*b"2024");

#[repr(C)]
pub struct UNICODE_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *const u16,
}

#[repr(C)]
pub struct OBJECT_ATTRIBUTES {
    pub Length: u32,
    pub RootDirectory: HANDLE,
    pub ObjectName: *const UNICODE_STRING,
    pub Attributes: u32,
    pub SecurityDescriptor: *const c_void,
    pub SecurityQualityOfService: *const c_void,
}

#[repr(C)]
pub struct FLT_CALLBACK_DATA {
    pub Flags: u32,
    pub Thread: HANDLE,
    pub Iopb: *mut FLT_IO_PARAMETER_BLOCK,
    pub Status: NTSTATUS,
    pub Information: usize,
}

#[repr(C)]
pub struct FLT_IO_PARAMETER_BLOCK {
    pub IrpFlags: u32,
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub OperationFlags: u8,
    pub Reserved: u8,
    pub TargetFileObject: *mut FILE_OBJECT,
}

#[repr(C)]
pub struct FILE_OBJECT {
    pub Before: [u8; 0x58],
    pub FileName: UNICODE_STRING,
}

#[repr(C)]
pub struct FLT_RELATED_OBJECTS(c_void);

type PreOperation = unsafe extern "system" fn(
    *mut FLT_CALLBACK_DATA,
    *const FLT_RELATED_OBJECTS,
    *mut HANDLE,
) -> u32;

#[repr(C)]
pub struct FLT_OPERATION_REGISTRATION {
    pub MajorFunction: u8,
    pub Flags: u32,
    pub PreOperation: Option<PreOperation>,
    pub PostOperation: Option<PreOperation>,
    pub Reserved: *const c_void,
}

#[repr(C)]
pub struct FLT_REGISTRATION {
    pub Size: u16,
    pub Version: u16,
    pub Flags: u32,
    pub ContextRegistration: *const c_void,
    pub OperationRegistration: *const FLT_OPERATION_REGISTRATION,
    pub FilterUnloadCallback: Option<unsafe extern "system" fn(u32) -> NTSTATUS>,
    pub Others: [usize; 10],
}

/// What the compiler's own library refers to when it handles floating point.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the compiler's name")]
pub static _fltused: i32 = 0;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn ExAllocatePool2(flags: u64, size: usize, tag: u32) -> *mut u8;
    pub fn ExFreePoolWithTag(block: *mut u8, tag: u32);
    pub fn IoRegisterBootDriverReinitialization(
        driver: HANDLE,
        routine: unsafe extern "system" fn(HANDLE, HANDLE, u32),
        context: HANDLE,
    );
    pub fn KeBugCheckEx(code: u32, a: usize, b: usize, c: usize, d: usize) -> !;
    pub fn KeDelayExecutionThread(mode: u8, alertable: u8, interval: *const i64) -> NTSTATUS;
    pub fn PsCreateSystemThread(
        thread: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: HANDLE,
        start: unsafe extern "system" fn(HANDLE),
        context: HANDLE,
    ) -> NTSTATUS;
    pub fn ZwClose(handle: HANDLE) -> NTSTATUS;
    pub fn ZwOpenFile(
        file: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        block: *mut [usize; 2],
        share: u32,
        options: u32,
    ) -> NTSTATUS;
    pub fn ZwQueryDirectoryFile(
        file: HANDLE,
        event: HANDLE,
        apc: HANDLE,
        context: HANDLE,
        block: *mut [usize; 2],
        buffer: *mut u8,
        length: u32,
        class: u32,
        single: u8,
        pattern: *const UNICODE_STRING,
        restart: u8,
    ) -> NTSTATUS;
    pub fn ZwQueryInformationFile(
        file: HANDLE,
        block: *mut [usize; 2],
        information: *mut u8,
        length: u32,
        class: u32,
    ) -> NTSTATUS;
    pub fn ZwReadFile(
        file: HANDLE,
        event: HANDLE,
        apc: HANDLE,
        context: HANDLE,
        block: *mut [usize; 2],
        buffer: *mut u8,
        length: u32,
        offset: *const i64,
        key: *mut u32,
    ) -> NTSTATUS;
}

#[link(name = "fltmgr.sys", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn FltRegisterFilter(
        driver: HANDLE,
        registration: *const FLT_REGISTRATION,
        filter: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn FltStartFiltering(filter: HANDLE) -> NTSTATUS;
    pub fn FltUnregisterFilter(filter: HANDLE);
}

/// A counted string over some units.
pub fn string(units: &[u16]) -> UNICODE_STRING {
    let length = (units.len() * 2) as u16;
    UNICODE_STRING { Length: length, MaximumLength: length, Buffer: units.as_ptr() }
}

/// Attributes of an object with that name, or without one.
pub fn attributes(name: *const UNICODE_STRING, flags: u32) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: core::ptr::null_mut(),
        ObjectName: name,
        Attributes: flags,
        SecurityDescriptor: core::ptr::null(),
        SecurityQualityOfService: core::ptr::null(),
    }
}
