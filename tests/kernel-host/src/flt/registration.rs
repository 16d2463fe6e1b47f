//! Registering, starting and unregistering filters.

use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Wdk::Foundation::{DRIVER_EXTENSION, DRIVER_OBJECT};
use windows_sys::Wdk::Storage::FileSystem::Minifilters::{
    FLT_OPERATION_REGISTRATION, FLT_REGISTRATION,
};

use super::{Filter, Operation};
use crate::cpu::{APC, Cx, PASSIVE, Trap, apis};
use crate::guest::{self, GuestBlock, UnicodeString};
use crate::ledger::Debt;
use crate::machine::service_key;
use crate::sched::Deadline;
use crate::status::NtStatus;

const IRP_MJ_OPERATION_END: u8 = 0x80;
const SUPPORT_NPFS: u32 = 2;
const MAXIMUM_OPERATIONS: usize = 64;

/// The service name of a driver object.
fn service(driver_object: u64) -> Result<String, Trap> {
    let at = offset_of!(DRIVER_OBJECT, DriverExtension) as u64;
    let extension: u64 = guest::read(driver_object + at)?;
    let name = extension + offset_of!(DRIVER_EXTENSION, ServiceKeyName) as u64;
    Ok(String::from_utf16_lossy(&UnicodeString::read(name)?.units()?))
}

/// The altitude that the INF wrote; `None` when the instance data are missing.
fn altitude(cx: &Cx<'_>, service: &str) -> Option<f64> {
    let machine = cx.kernel().machine();
    let text = |key: &str, name: &str| {
        let value = machine.registry().get(key, name)?;
        let units: Vec<u16> =
            value.data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Some(String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned())
    };
    let key = service_key(service);
    [format!(r"{key}\Parameters\Instances"), format!(r"{key}\Instances")].iter().find_map(|key| {
        let instance = text(key, "DefaultInstance")?;
        text(&format!(r"{key}\{instance}"), "Altitude")?.parse().ok()
    })
}

fn operations(cx: &Cx<'_>, mut entry: u64) -> Result<Vec<Operation>, Trap> {
    type Entry = FLT_OPERATION_REGISTRATION;
    let mut found = Vec::new();
    while entry != 0 {
        let major: u8 = guest::read(entry)?;
        if major == IRP_MJ_OPERATION_END {
            break;
        }
        if found.len() == MAXIMUM_OPERATIONS {
            return Err(cx.misuse("the operations do not end with IRP_MJ_OPERATION_END"));
        }
        found.push(Operation {
            major,
            pre: guest::read(entry + offset_of!(Entry, PreOperation) as u64)?,
            post: guest::read(entry + offset_of!(Entry, PostOperation) as u64)?,
        });
        entry += size_of::<Entry>() as u64;
    }
    Ok(found)
}

fn find(cx: &Cx<'_>, filter: u64) -> Result<Arc<Filter>, Trap> {
    let found = cx.kernel().filters().filter(filter);
    found.ok_or_else(|| cx.misuse(format!("{filter:#x} is no registered filter")))
}

fn unregister(cx: &Cx<'_>, filter: &Arc<Filter>) -> Result<(), Trap> {
    let kernel = cx.kernel();
    let open =
        kernel.filters().state().server_ports.values().any(|port| port.filter == filter.address());
    if open {
        return Err(cx.misuse("the server port must be closed first, or this waits for ever"));
    }
    filter.draining.store(true, Ordering::SeqCst);
    super::port::disconnect_all(cx, filter.address())?;
    let instance = filter.instance();
    if let Some(instance) = &instance {
        const FILTER_UNLOAD: u64 = 2;
        let related = kernel.related_objects(filter, instance.address());
        if filter.teardown_start != 0 {
            kernel.call(filter.teardown_start, &[related.address(), FILTER_UNLOAD])?;
        }
    }
    kernel.sched().block(kernel, Deadline::Never, || {
        Ok((filter.busy.load(Ordering::SeqCst) == 0).then_some(()))
    })?;
    // A client whose connection was under way has come meanwhile.
    super::port::disconnect_all(cx, filter.address())?;
    if let Some(instance) = instance {
        let related = kernel.related_objects(filter, instance.address());
        if filter.teardown_complete != 0 {
            kernel.call(filter.teardown_complete, &[related.address(), 2])?;
        }
        *filter.instance.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
    super::context::release_all(kernel, filter.address())?;
    kernel.filters().state().filters.retain(|other| other.address() != filter.address());
    kernel.ledger().settle(Debt::Filter, filter.address());
    Ok(())
}

apis! {
    fltmgr [APC, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltRegisterFilter(cx, driver_object: u64, registration: u64, out: u64) -> NtStatus {
        type Registration = FLT_REGISTRATION;
        let at = |member: usize| registration + member as u64;
        let size: u16 = guest::read(registration)?;
        let version: u16 = guest::read(at(offset_of!(Registration, Version)))?;
        let complete = offset_of!(Registration, NormalizeNameComponentExCallback);
        if version >> 8 != 2 || usize::from(size) < complete {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let service = service(driver_object)?;
        let Some(altitude) = altitude(cx, &service) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let kernel = cx.kernel();
        if kernel.filters().state().filters.iter().any(|other| other.altitude == altitude) {
            return Ok(NtStatus::FLT_INSTANCE_ALTITUDE_COLLISION);
        }
        let flags: u32 = guest::read(at(offset_of!(Registration, Flags)))?;
        let list = guest::read(at(offset_of!(Registration, OperationRegistration)))?;
        let contexts = guest::read(at(offset_of!(Registration, ContextRegistration)))?;
        let filter = Filter {
            body: GuestBlock::new(64),
            driver_object,
            altitude,
            supports_npfs: flags & SUPPORT_NPFS != 0,
            operations: operations(cx, list)?,
            contexts: super::context::kinds(cx, contexts)?,
            unload: guest::read(at(offset_of!(Registration, FilterUnloadCallback)))?,
            setup: guest::read(at(offset_of!(Registration, InstanceSetupCallback)))?,
            teardown_start: guest::read(at(offset_of!(
                Registration,
                InstanceTeardownStartCallback
            )))?,
            teardown_complete: guest::read(at(offset_of!(
                Registration,
                InstanceTeardownCompleteCallback
            )))?,
            started: false.into(),
            offered: false.into(),
            draining: false.into(),
            busy: Arc::default(),
            instance: Mutex::new(None),
            elsewhere: Mutex::new(Vec::new()),
        };
        let address = filter.address();
        kernel.ledger().owe(Debt::Filter, address, cx.site());
        kernel.filters().state().filters.push(Arc::new(filter));
        guest::write(out, address)?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [APC, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltStartFiltering(cx, filter: u64) -> NtStatus {
        let filter = find(cx, filter)?;
        if filter.started.swap(true, Ordering::AcqRel) {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        cx.kernel().attach_filters()?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [PASSIVE, 3000]
    fn FltUnregisterFilter(cx, filter: u64) -> () {
        let filter = find(cx, filter)?;
        unregister(cx, &filter)
    }

    fltmgr [APC, 100, fails NtStatus::FLT_DELETING_OBJECT.0]
    fn FltObjectReference(cx, filter: u64) -> NtStatus {
        let filter = find(cx, filter)?;
        if filter.draining.load(Ordering::Acquire) {
            return Ok(NtStatus::FLT_DELETING_OBJECT);
        }
        filter.busy.fetch_add(1, Ordering::AcqRel);
        cx.kernel().ledger().owe(Debt::FilterReference, filter.address(), cx.site());
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [APC, 100]
    fn FltObjectDereference(cx, filter: u64) -> () {
        let filter = find(cx, filter)?;
        if !cx.kernel().ledger().settle(Debt::FilterReference, filter.address()) {
            return Err(cx.misuse("dereferenced more often than referenced"));
        }
        cx.kernel().sched().change(|| filter.busy.fetch_sub(1, Ordering::AcqRel));
        Ok(())
    }
}
