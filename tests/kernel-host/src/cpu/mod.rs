//! Running driver code: per-thread processor region, stack switch, faults, API entry, watchdog.

#![allow(unsafe_code)]

mod api;
mod asm;
mod call;
mod kpcr;
mod seh;
mod shared_data;
mod signal;
mod stubs;
pub(crate) mod watchdog;

pub(crate) use api::{ANY, APC, Cx, DISPATCH, PASSIVE, Rec, Trap, apis, enter_api};
pub(crate) use asm::direct_export;
pub use call::Surroundings;
pub(crate) use call::{Returned, enter, thread_object};
pub(crate) use kpcr::{Held, Kpcr};
pub(crate) use signal::{add_image, call_out, install_handlers, remove_image};
pub(crate) use stubs::{StubPage, api_address};

/// Integer registers in the order of their encoding (rax rcx rdx rbx rsp rbp rsi rdi r8-r15).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Registers {
    pub general: [u64; 16],
    pub rip: u64,
}

/// Return addresses, innermost first: where a driver did something that is remembered.
pub(crate) type Site = std::sync::Arc<[u64]>;
