//! The kernel functions and structures that the planted bugs use.

use core::ffi::{c_char, c_void};

pub type HANDLE = *mut c_void;
pub type NTSTATUS = i32;

pub const OBJ_KERNEL_HANDLE: u32 = 0x200;
pub const NON_PAGED: u64 = 0x40;
pub const PAGED: u64 = 0x100;
pub const TAG: u32 = u32::from_le_bytes(*b"PlnT");

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
pub struct KEVENT(pub [u64; 3]);

#[repr(C)]
pub struct FLT_CALLBACK_DATA(c_void);
#[repr(C)]
pub struct FLT_RELATED_OBJECTS(c_void);

type PreOperation = unsafe extern "system" fn(
    *mut FLT_CALLBACK_DATA,
    *const FLT_RELATED_OBJECTS,
    *mut HANDLE,
) -> u32;

pub type Connect =
    unsafe extern "system" fn(HANDLE, *mut c_void, *const u8, u32, *mut *mut c_void) -> NTSTATUS;

pub type CrashCallback = unsafe extern "system" fn(u32, HANDLE, *mut c_void, u32);

pub type MessageNotify =
    unsafe extern "system" fn(*mut c_void, *const u8, u32, *mut u8, u32, *mut u32) -> NTSTATUS;

#[repr(C)]
pub struct FLT_OPERATION_REGISTRATION {
    pub MajorFunction: u8,
    pub Flags: u32,
    pub PreOperation: Option<PreOperation>,
    pub PostOperation: Option<PreOperation>,
    pub Reserved: *const c_void,
}

#[repr(C)]
pub struct FLT_CONTEXT_REGISTRATION {
    pub ContextType: u16,
    pub Flags: u16,
    pub ContextCleanupCallback: *const c_void,
    pub Size: usize,
    pub PoolTag: u32,
    pub Others: [usize; 3],
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

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn ExAllocatePool2(flags: u64, size: usize, tag: u32) -> *mut u8;
    pub fn ExFreePoolWithTag(block: *mut u8, tag: u32);
    pub fn ExInitializeRundownProtection(reference: *mut usize);
    pub fn ExAcquireRundownProtection(reference: *mut usize) -> u8;
    pub fn ExWaitForRundownProtectionRelease(reference: *mut usize);
    pub fn EtwRegister(
        guid: *const [u32; 4],
        callback: *const c_void,
        context: *const c_void,
        handle: *mut u64,
    ) -> NTSTATUS;
    pub fn EtwUnregister(handle: u64) -> NTSTATUS;
    pub fn EtwWriteTransfer(
        handle: u64,
        event: *const u64,
        activity: *const c_void,
        related: *const c_void,
        count: u32,
        data: *const [u64; 2],
    ) -> NTSTATUS;
    pub fn KeQueryUnbiasedInterruptTime() -> u64;
    pub fn KeRegisterBugCheckReasonCallback(
        record: HANDLE,
        routine: CrashCallback,
        reason: u32,
        component: *const c_char,
    ) -> u8;
    pub fn IoGetCurrentProcess() -> HANDLE;
    pub fn IoGetStackLimits(low: *mut usize, high: *mut usize);
    pub fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    pub fn KeReleaseSpinLock(lock: *mut usize, irql: u8);
    pub fn KeBugCheckEx(code: u32, a: usize, b: usize, c: usize, d: usize) -> !;
    pub fn KeEnterCriticalRegion();
    pub fn KeGetCurrentIrql() -> u8;
    pub fn KeInitializeEvent(event: *mut KEVENT, kind: u32, state: u8);
    pub fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub fn KeClearEvent(event: *mut KEVENT);
    pub fn PsTerminateSystemThread(status: NTSTATUS) -> NTSTATUS;
    pub fn ZwWaitForSingleObject(handle: HANDLE, alertable: u8, timeout: *const i64) -> NTSTATUS;
    pub fn KeDelayExecutionThread(mode: u8, alertable: u8, interval: *const i64) -> NTSTATUS;
    pub fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: u32,
        mode: u8,
        alertable: u8,
        timeout: *const i64,
    ) -> NTSTATUS;
    pub fn MmCopyMemory(
        target: *mut u8,
        source: *const u8,
        count: usize,
        flags: u32,
        copied: *mut usize,
    ) -> NTSTATUS;
    pub fn ObfReferenceObject(object: HANDLE) -> isize;
    pub fn ObfDereferenceObject(object: HANDLE) -> isize;
    pub fn PsCreateSystemThread(
        thread: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut c_void,
        start: unsafe extern "system" fn(*mut c_void),
        context: *mut c_void,
    ) -> NTSTATUS;
    pub fn RtlInitUnicodeString(string: *mut UNICODE_STRING, source: *const u16);
    pub fn ZwOpenKey(
        key: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS;
    pub fn ZwCreateFile(
        file: *mut HANDLE,
        access: u32,
        attributes: *const OBJECT_ATTRIBUTES,
        block: *mut [u64; 2],
        allocation: *const i64,
        file_attributes: u32,
        share: u32,
        disposition: u32,
        options: u32,
        ea: *const c_void,
        ea_length: u32,
    ) -> NTSTATUS;
    pub fn ZwQueryValueKey(
        key: HANDLE,
        name: *const UNICODE_STRING,
        class: u32,
        buffer: *mut c_void,
        length: u32,
        result: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwSetValueKey(
        key: HANDLE,
        name: *const UNICODE_STRING,
        title: u32,
        kind: u32,
        data: *const c_void,
        size: u32,
    ) -> NTSTATUS;
    pub fn ZwFlushKey(key: HANDLE) -> NTSTATUS;
    pub fn ZwClose(handle: HANDLE) -> NTSTATUS;
    /// Not an export of any Windows: calling it must be reported.
    pub fn KePlantedNonsense();
    pub fn __C_specific_handler();
    fn __chkstk();
}

/// The compiler calls it for large frames; naming it makes the linker import it.
#[used]
static CHKSTK: unsafe extern "system" fn() = __chkstk;

/// What the compiler's own library refers to when it handles floating point.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the compiler's name")]
pub static _fltused: i32 = 0;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub fn DbgPrint(format: *const c_char, ...) -> u32;
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
    pub fn FltBuildDefaultSecurityDescriptor(out: *mut HANDLE, access: u32) -> NTSTATUS;
    pub fn FltFreeSecurityDescriptor(descriptor: HANDLE);
    pub fn FltCreateCommunicationPort(
        filter: HANDLE,
        port: *mut HANDLE,
        attributes: *const OBJECT_ATTRIBUTES,
        cookie: *mut c_void,
        connect: Connect,
        disconnect: unsafe extern "system" fn(*mut c_void),
        message: MessageNotify,
        maximum: i32,
    ) -> NTSTATUS;
    pub fn FltCloseCommunicationPort(port: HANDLE);
    pub fn FltCloseClientPort(filter: HANDLE, port: *mut HANDLE);
    pub fn FltSendMessage(
        filter: HANDLE,
        client: *mut HANDLE,
        buffer: *const c_void,
        length: u32,
        reply: *mut c_void,
        reply_length: *mut u32,
        timeout: *const i64,
    ) -> NTSTATUS;
    pub fn FltInitializePushLock(lock: *mut usize);
    pub fn FltDeletePushLock(lock: *mut usize);
    pub fn FltAcquirePushLockShared(lock: *mut usize);
    pub fn FltAcquirePushLockExclusive(lock: *mut usize);
    pub fn FltReleasePushLock(lock: *mut usize);
}

/// A counted string over some units.
pub fn string(units: &[u16]) -> UNICODE_STRING {
    let length = (units.len() * 2) as u16;
    UNICODE_STRING { Length: length, MaximumLength: length, Buffer: units.as_ptr() }
}

/// Attributes that name an object.
pub fn attributes(name: &UNICODE_STRING, flags: u32) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: core::ptr::null_mut(),
        ObjectName: name,
        Attributes: flags,
        SecurityDescriptor: core::ptr::null(),
        SecurityQualityOfService: core::ptr::null(),
    }
}
