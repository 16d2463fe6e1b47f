//! `saker.sys`: a boot-start minifilter that judges the creation of named pipes against signed
//! channel files.
//!
//! | module | does |
//! |---|---|
//! | [`entry`] | the ladder in and the ladder out |
//! | [`sensor`] | what the driver holds while it runs |
//! | [`pipe_filter`] | judges one pipe create |
//! | [`pipe_event`] | says what is known about it |
//! | [`verdict`] | decides what becomes of it |
//! | [`settings`] | reads what the service parameters ask |
//! | [`pipe_name`] | its name, whichever way it was given |
//! | [`process_table`], [`identity`] | what is kept of processes and tokens, in [`shards`] |
//! | [`telling`] | the records of an event, from the decision to the result |
//! | [`content_worker`] | brings dropped files into force, on a thread of its own |
//! | [`state_folder`] | keeps accepted content and the journal |
//! | [`outbox`] | what waits for the clients at the port |
//! | [`telemetry`] | tells them, and carries out what they ask, on another thread |
//! | [`events`] | tells Event Tracing for Windows about it |
//! | [`crash_note`] | what a crash dump shall say |
//! | [`debug_map`] | where a debugger finds all this |
//! | [`probe`] | looks whether the filter sees what it should |
//! | [`ffi`] | speaks to the kernel: the only unsafe code |
//!
//! What is decided is decided in `driver-core`; what bytes mean, in `channel-format`.

#![no_std]
// The PDB holds it, so that a debugger has it with the symbols.
#![debugger_visualizer(natvis_file = "../windbg/saker.natvis")]
#![deny(
    unsafe_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

// The panic handler. The release build links no path to it: see the check in `xtask`.
use wdk_panic as _;

pub mod content_worker;
pub mod crash_note;
pub mod debug_map;
pub mod entry;
pub mod events;
#[allow(unsafe_code, reason = "the one place for it")]
pub mod ffi;
pub mod identity;
pub mod outbox;
pub mod pipe_event;
pub mod pipe_filter;
pub mod pipe_name;
pub mod probe;
pub mod process_table;
pub mod sensor;
pub mod settings;
pub mod shards;
pub mod state_folder;
pub mod telemetry;
pub mod telling;
pub mod verdict;

/// For dependencies that link `alloc`. The driver's own memory comes from [`ffi::pool`], which can
/// fail; no allocation through this one is reachable from a callback.
#[global_allocator]
static ALLOCATOR: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;
