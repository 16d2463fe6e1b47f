//! The exports of ntoskrnl that are modelled, a module for each family.

mod attributes;
mod bugcheck;
mod dbg;
mod deferred;
mod etw;
mod ex;
mod format;
mod io;
mod io_device;
mod ke;
mod locks;
mod lookaside;
mod mm;
mod notify;
mod ob;
mod pipe;
mod ps;
mod requests;
mod rtl;
mod rundown;
mod se;
mod tracelogging;
mod transfer;
mod zw_directory;
mod zw_event;
mod zw_file;
mod zw_information;
mod zw_key;
mod zw_link;
mod zw_security;

pub(crate) use attributes::{ObjectAttributes, text_of};
pub use bugcheck::DumpBlock;
pub(crate) use bugcheck::{CrashCallbacks, require_no_crash};
pub(crate) use deferred::{WorkItems, allocate_work_item, free_work_item, queue_work, work_item};
pub use etw::Trace;
pub(crate) use etw::Tracing;
pub(crate) use io_device::Devices;
pub(crate) use locks::{Resources, acquire_resource, release_resource};
pub(crate) use notify::ProcessNotify;
pub(crate) use ob::{Object, Objects, OpenFile};
pub(crate) use requests::Requests;
pub use tracelogging::{TraceEvent, TraceValue};

use crate::cpu::Rec;

/// Every modelled API, of all DLLs.
pub(crate) fn all_apis() -> impl Iterator<Item = &'static Rec> {
    let families: [&[&'static Rec]; 24] = [
        bugcheck::APIS,
        dbg::APIS,
        deferred::APIS,
        etw::APIS,
        ex::APIS,
        io::APIS,
        io_device::APIS,
        ke::APIS,
        locks::APIS,
        lookaside::APIS,
        mm::APIS,
        notify::APIS,
        ob::APIS,
        ps::APIS,
        rtl::APIS,
        rundown::APIS,
        se::APIS,
        zw_directory::APIS,
        zw_event::APIS,
        zw_file::APIS,
        zw_information::APIS,
        zw_key::APIS,
        zw_link::APIS,
        zw_security::APIS,
    ];
    families.into_iter().chain(crate::flt::APIS).flatten().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_api_is_declared_once_and_has_a_stub() {
        let mut names = HashSet::new();
        for api in super::all_apis() {
            assert!(names.insert(api.name), "{} is declared twice", api.name);
            assert!(crate::cpu::api_address(api.name).is_some());
            assert!(matches!(api.dll, "ntoskrnl" | "fltmgr"), "{}", api.name);
        }
        assert!(names.len() > 90);
    }
}
