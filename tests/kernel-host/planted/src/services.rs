//! Exports by which tests reach parts of the model that the bugs do not: ports, waits, threads.

use core::ffi::c_void;
use core::ptr::{addr_of_mut, null_mut};

use crate::nt::*;

static mut SERVER: HANDLE = null_mut();
static mut CLIENT: HANDLE = null_mut();

/// Opens `\PlantedPort`.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedOpenPort() -> NTSTATUS {
    let mut name = [0u16; 12];
    for (unit, byte) in name.iter_mut().zip(*b"\\PlantedPort") {
        *unit = u16::from(byte);
    }
    let name = string(&name);
    let mut attributes = attributes(&name, OBJ_KERNEL_HANDLE);
    unsafe {
        let mut descriptor = null_mut();
        let status = FltBuildDefaultSecurityDescriptor(&mut descriptor, 0x1F_0001);
        if status < 0 {
            return status;
        }
        attributes.SecurityDescriptor = descriptor;
        let status = FltCreateCommunicationPort(
            crate::FILTER,
            addr_of_mut!(SERVER),
            &attributes,
            null_mut(),
            connect,
            disconnect,
            message,
            1,
        );
        FltFreeSecurityDescriptor(descriptor);
        status
    }
}

/// Closes it.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedClosePort() {
    unsafe { FltCloseCommunicationPort(SERVER) };
}

/// Sends `ping` to the client, waiting at most `timeout` (as NT counts it) and, if `reply` is not
/// zero, for a reply; gives the status, and the reply's first byte above it.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedSend(timeout: i64, reply: u32) -> u64 {
    let mut answer = [0u8; 8];
    let mut length = 16 + answer.len() as u32;
    unsafe {
        let wanted = if reply != 0 { answer.as_mut_ptr().cast() } else { null_mut() };
        let status = FltSendMessage(
            crate::FILTER,
            addr_of_mut!(CLIENT),
            c"ping".as_ptr().cast(),
            4,
            wanted,
            &mut length,
            &timeout,
        );
        u64::from(status as u32) | u64::from(answer[0]) << 32
    }
}

/// Waits on an event that nobody sets; gives the status.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedWait(timeout: i64) -> NTSTATUS {
    let mut event = KEVENT([0; 3]);
    unsafe {
        KeInitializeEvent(&mut event, 1, 0);
        KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, &timeout)
    }
}

/// Calls an import with eight bytes of stack left.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedStackEnd() {
    let (mut low, mut high) = (0, 0);
    unsafe {
        IoGetStackLimits(&mut low, &mut high);
        core::arch::asm!(
            "mov r12, rsp",
            "lea rsp, [{low} + 8]",
            "call {import}",
            "mov rsp, r12",
            low = in(reg) low,
            import = in(reg) KeGetCurrentIrql as unsafe extern "system" fn() -> u8,
            out("r12") _,
            clobber_abi("system"),
        );
    }
}

unsafe extern "system" fn connect(
    client: HANDLE,
    _server_cookie: *mut c_void,
    context: *const u8,
    size: u32,
    _cookie: *mut *mut c_void,
) -> NTSTATUS {
    if size != 5 || unsafe { *context.add(4) } != b'o' {
        return 0xC000_0022_u32 as i32;
    }
    unsafe { CLIENT = client };
    0
}

unsafe extern "system" fn disconnect(_cookie: *mut c_void) {
    unsafe { FltCloseClientPort(crate::FILTER, addr_of_mut!(CLIENT)) };
}

/// Answers with the input turned round.
unsafe extern "system" fn message(
    _cookie: *mut c_void,
    input: *const u8,
    input_length: u32,
    output: *mut u8,
    output_length: u32,
    returned: *mut u32,
) -> NTSTATUS {
    if crate::messages::leaves_length_open() {
        return 0;
    }
    if let Some(status) = unsafe { crate::messages::run(input, input_length, addr_of_mut!(CLIENT)) }
    {
        unsafe { *returned = 0 };
        return status;
    }
    let count = input_length.min(output_length);
    for index in 0..count {
        unsafe { *output.add(index as usize) = *input.add((input_length - 1 - index) as usize) };
    }
    unsafe { *returned = count };
    0
}

/// Sets the value `V` of `\Registry\Machine` to a number, and flushes the hive if asked to.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedSetValue(number: u32, flush: u32) -> NTSTATUS {
    let name = [u16::from(b'V')];
    let name = string(&name);
    unsafe {
        let key = crate::bugs::open_key(OBJ_KERNEL_HANDLE);
        let data = (&raw const number).cast();
        let mut status = ZwSetValueKey(key, &name, 0, 4, data, 4);
        if status >= 0 && flush != 0 {
            status = ZwFlushKey(key);
        }
        ZwClose(key);
        status
    }
}
