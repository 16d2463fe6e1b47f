//! A minifilter with planted bugs. The registry value `Parameters\Bug` picks the one that its
//! pre-operation callback runs; 0 is the control, in which nothing is wrong. The numbers are
//! those of [`bugs::RUN`]; the kernel host's tests know what each must be reported as.
//!
//! It declares the few kernel functions that it needs itself, so that nothing but a linker is
//! needed to build it. On other targets than Windows the crate is empty.

#![cfg(windows)]
#![no_std]
// Every line here is for being wrong in a controlled way; the whole crate is FFI.
#![allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a test driver made of planted bugs"
)]
#![allow(non_snake_case, non_camel_case_types, reason = "names as the kernel has them")]

mod bugs;
mod checks;
mod messages;
mod nt;
mod races;
mod services;
mod transfers;

use core::ptr::{addr_of_mut, null, null_mut};

use nt::*;

static mut FILTER: HANDLE = null_mut();
static mut BUG: u32 = 0;
static mut STATE: bugs::State = bugs::State::NEW;

const OPERATIONS: [FLT_OPERATION_REGISTRATION; 3] = [
    FLT_OPERATION_REGISTRATION {
        MajorFunction: 0,
        Flags: 0,
        PreOperation: Some(pre_create),
        PostOperation: None,
        Reserved: null(),
    },
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
];

static OPERATION_TABLE: Shared<[FLT_OPERATION_REGISTRATION; 3]> = Shared(OPERATIONS);

static CONTEXTS: Shared<[FLT_CONTEXT_REGISTRATION; 2]> = Shared([
    FLT_CONTEXT_REGISTRATION {
        ContextType: 2,
        Flags: 0,
        ContextCleanupCallback: null(),
        Size: 16,
        PoolTag: TAG,
        Others: [0; 3],
    },
    FLT_CONTEXT_REGISTRATION {
        ContextType: 0xFFFF,
        Flags: 0,
        ContextCleanupCallback: null(),
        Size: 0,
        PoolTag: 0,
        Others: [0; 3],
    },
]);

static REGISTRATION: Shared<FLT_REGISTRATION> = Shared(FLT_REGISTRATION {
    Size: size_of::<FLT_REGISTRATION>() as u16,
    Version: 0x0203,
    Flags: 2,
    ContextRegistration: &raw const CONTEXTS.0 as *const _,
    OperationRegistration: &raw const OPERATION_TABLE.0 as *const _,
    FilterUnloadCallback: Some(unload),
    Others: [0; 10],
});

struct Shared<T>(T);

unsafe impl<T> Sync for Shared<T> {}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn DriverEntry(
    driver: HANDLE,
    registry_path: *const UNICODE_STRING,
) -> NTSTATUS {
    unsafe {
        DbgPrint(c"planted: %wZ\n".as_ptr(), registry_path);
        BUG = read_bug_number(registry_path);
        bugs::prepare(&mut *addr_of_mut!(STATE));
        races::prepare();
        let status = FltRegisterFilter(driver, &raw const REGISTRATION.0, &raw mut FILTER);
        if status < 0 {
            give_back();
            return status;
        }
        let status = FltStartFiltering(FILTER);
        if status < 0 {
            FltUnregisterFilter(FILTER);
            give_back();
        }
        status
    }
}

unsafe extern "system" fn pre_create_named_pipe(
    data: *mut FLT_CALLBACK_DATA,
    objects: *const FLT_RELATED_OBJECTS,
    context: *mut HANDLE,
) -> u32 {
    const INSTANCE: usize = 24;
    unsafe {
        let state = &mut *addr_of_mut!(STATE);
        state.filter = FILTER;
        state.data = data.cast();
        state.instance = objects.cast::<u8>().add(INSTANCE).cast::<HANDLE>().read();
        state.context = context;
        state.answer = 1;
        let number = BUG as usize;
        if let Some(run) = bugs::RUN.iter().chain(&races::RUN).chain(&checks::RUN).nth(number) {
            run(state);
        }
        state.answer
    }
}

/// Lets opens pass, unless they are to be swallowed: then they end here, as if there were no such
/// pipe.
unsafe extern "system" fn pre_create(
    data: *mut FLT_CALLBACK_DATA,
    _objects: *const FLT_RELATED_OBJECTS,
    _context: *mut HANDLE,
) -> u32 {
    const SWALLOWS_OPENS: u32 = 38;
    const STATUS_OFFSET: usize = 24;
    const OBJECT_NAME_NOT_FOUND: u64 = 0xC000_0034;
    const COMPLETE: u32 = 4;
    unsafe {
        if BUG != SWALLOWS_OPENS {
            return 1;
        }
        data.cast::<u8>().add(STATUS_OFFSET).cast::<u64>().write(OBJECT_NAME_NOT_FOUND);
    }
    COMPLETE
}

unsafe extern "system" fn unload(_flags: u32) -> NTSTATUS {
    unsafe {
        FltUnregisterFilter(FILTER);
        races::unload();
        give_back();
    }
    0
}

unsafe fn give_back() {
    unsafe {
        races::give_back();
        bugs::give_back(&mut *addr_of_mut!(STATE));
    }
}

/// `Bug` below the service's `Parameters`; 0 when it is not there.
unsafe fn read_bug_number(registry_path: *const UNICODE_STRING) -> u32 {
    const TAIL: &[u16; 11] = &[92, 80, 97, 114, 97, 109, 101, 116, 101, 114, 115];
    let mut path = [0u16; 256];
    unsafe {
        let used = usize::from((*registry_path).Length / 2);
        for index in 0..used {
            path[index & 0x7F] = *(*registry_path).Buffer.add(index);
        }
        let used = used & 0x7F;
        path[used..used + 11].copy_from_slice(TAIL);
        let name = string(&path[..used + 11]);
        let attributes = attributes(&name, OBJ_KERNEL_HANDLE);
        let mut key = null_mut();
        if ZwOpenKey(&mut key, 1, &attributes) < 0 {
            return 0;
        }
        let value_name = [b'B' as u16, b'u' as u16, b'g' as u16];
        let value_name = string(&value_name);
        let mut buffer = [0u32; 4];
        let mut length = 0;
        let status =
            ZwQueryValueKey(key, &value_name, 2, buffer.as_mut_ptr().cast(), 16, &mut length);
        ZwClose(key);
        if status < 0 { 0 } else { buffer[3] }
    }
}

/// For measuring what a call costs.
#[unsafe(no_mangle)]
pub extern "system" fn PlantedNothing() -> u32 {
    7
}

/// For measuring what an import call costs.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn PlantedImports(count: u32) -> u32 {
    let mut sum = 0;
    for _ in 0..count {
        sum += u32::from(unsafe { KeGetCurrentIrql() });
    }
    sum
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { KeBugCheckEx(0xE0, 1, 2, 3, 4) }
}
