//! The kernel's interface as `bindgen` sees it: everything of `wdk-sys`, the filter manager's
//! headers, and the few declarations that neither has.
//!
//! Purely declarations. `ffi`'s other modules wrap what the driver uses; nothing outside `ffi`
//! names an item of this module.

pub use wdk_sys::ntddk::*;
pub use wdk_sys::*;

pub use self::filter_manager::*;

/// The filter manager's headers, from `build.rs`.
#[allow(
    clippy::all,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rust_2018_idioms,
    unused_imports,
    unsafe_op_in_unsafe_fn,
    reason = "generated code"
)]
mod filter_manager {
    use wdk_sys::*;

    include!(concat!(env!("OUT_DIR"), "/flt.rs"));
}

/// Ends the table of operation registrations. A macro with a cast in the headers, of which
/// bindgen makes nothing; so are the next two.
pub const IRP_MJ_OPERATION_END: UCHAR = 0x80;

/// Ends the table of context registrations.
pub const FLT_CONTEXT_END: FLT_CONTEXT_TYPE = 0xFFFF;

/// Every right to a communication port.
pub const FLT_PORT_ALL_ACCESS: ACCESS_MASK = 0x001F_0001;

/// The extra create parameter of a create that the file server makes for a client. The headers
/// declare it, and no import library has it.
pub const ECP_SRV_OPEN: GUID = GUID {
    Data1: 0xBEBF_AEBC,
    Data2: 0xAABF,
    Data3: 0x489D,
    Data4: [0x9D, 0x2C, 0xE9, 0xE3, 0x61, 0x10, 0x28, 0x53],
};

/// Sets a provider's traits: an [`EVENT_INFO_CLASS`] of `evntprov.h`.
pub const EVENT_PROVIDER_SET_TRAITS: EVENT_INFO_CLASS = 2;

unsafe extern "C" {
    /// The calling thread. An export that the headers hide behind an inline function.
    pub fn PsGetCurrentThread() -> PETHREAD;
    /// What a process ended with; `STATUS_PENDING` while it runs. Windows 10, version 1703.
    pub fn PsGetProcessExitStatus(process: PEPROCESS) -> NTSTATUS;
    /// Whether a process is a protected one. Exported since Windows Vista, in no header.
    pub fn PsIsProtectedProcess(process: PEPROCESS) -> BOOLEAN;
}

/// Variables that `ntoskrnl.exe` exports.
///
/// An imported variable is reached through its slot in the import table, which holds the
/// variable's *address*. In C, `__declspec(dllimport)` hides that step; what bindgen generates for
/// these would refer to a symbol that no import library has. Here the slot itself is declared,
/// under the name that import libraries give it.
pub mod imported {
    use wdk_sys::{PEPROCESS, POBJECT_TYPE, ULONG};

    unsafe extern "C" {
        /// 0 = normal boot, 1 = safe mode, 2 = safe mode with network, 3 = directory repair.
        #[link_name = "__imp_InitSafeBootMode"]
        pub static INIT_SAFE_BOOT_MODE: *const ULONG;
        /// The System process.
        #[link_name = "__imp_PsInitialSystemProcess"]
        pub static PS_INITIAL_SYSTEM_PROCESS: *const PEPROCESS;
        /// The first address that no user memory has.
        #[link_name = "__imp_MmUserProbeAddress"]
        pub static MM_USER_PROBE_ADDRESS: *const u64;
        /// The object type of processes.
        #[link_name = "__imp_PsProcessType"]
        pub static PS_PROCESS_TYPE: *const POBJECT_TYPE;
        /// The object type of threads.
        #[link_name = "__imp_PsThreadType"]
        pub static PS_THREAD_TYPE: *const POBJECT_TYPE;
        /// The object type of open files.
        #[link_name = "__imp_IoFileObjectType"]
        pub static IO_FILE_OBJECT_TYPE: *const POBJECT_TYPE;
    }
}
