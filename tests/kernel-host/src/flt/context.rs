//! Contexts of filters: blocks with counted references, attached to instances and volumes.
//!
//! NPFS keeps no contexts for streams, files and handles: its file objects have no advanced header.
//! [DDI: fltkernel/nf-fltkernel-fltsetstreamhandlecontext]

use std::collections::HashMap;
use std::mem::offset_of;

use windows_sys::Wdk::Storage::FileSystem::Minifilters::FLT_CONTEXT_REGISTRATION;

use crate::bug::Bug;
use crate::cpu::{APC, Cx, DISPATCH, Trap, apis};
use crate::guest;
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::pool::Request;
use crate::status::NtStatus;

const VOLUME: u16 = 1;
const INSTANCE: u16 = 2;
const CONTEXT_END: u16 = 0xFFFF;
const VARIABLE_SIZE: u64 = u64::MAX;
const KEEP_IF_EXISTS: u32 = 1;
const NON_PAGED: u32 = 0x200;
const ALREADY_DEFINED: NtStatus = NtStatus(0xC01C_0002);
const MAXIMUM_KINDS: usize = 16;

/// A kind of context that a filter registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    kind: u16,
    cleanup: u64,
    size: u64,
    tag: u32,
}

/// One that was allocated and not given back.
#[derive(Clone, Copy, Debug)]
struct Context {
    kind: u16,
    filter: u64,
    cleanup: u64,
    references: u32,
}

#[derive(Debug, Default)]
pub(super) struct Contexts {
    all: HashMap<u64, Context>,
    /// By the object and the filter that set it.
    set: HashMap<(u64, u16, u64), u64>,
}

/// Reads what a filter registers.
pub(super) fn kinds(cx: &Cx<'_>, mut entry: u64) -> Result<Vec<Kind>, Trap> {
    type Entry = FLT_CONTEXT_REGISTRATION;
    let mut found = Vec::new();
    while entry != 0 {
        let kind: u16 = guest::read(entry)?;
        if kind == CONTEXT_END {
            break;
        }
        if found.len() == MAXIMUM_KINDS {
            return Err(cx.misuse("the contexts do not end with FLT_CONTEXT_END"));
        }
        found.push(Kind {
            kind,
            cleanup: guest::read(entry + offset_of!(Entry, ContextCleanupCallback) as u64)?,
            size: guest::read(entry + offset_of!(Entry, Size) as u64)?,
            tag: guest::read(entry + offset_of!(Entry, PoolTag) as u64)?,
        });
        entry += size_of::<Entry>() as u64;
    }
    Ok(found)
}

/// Gives a reference back; with the last one the context goes. False when there is none.
fn release(kernel: &Kernel, context: u64) -> Result<bool, Box<Bug>> {
    let mut state = kernel.filters().state();
    let Some(found) = state.contexts.all.get_mut(&context) else { return Ok(false) };
    found.references -= 1;
    let left = *found;
    if left.references == 0 {
        state.contexts.all.remove(&context);
    }
    drop(state);
    kernel.ledger().settle(Debt::Context, context);
    if left.references == 0 {
        if left.cleanup != 0 {
            kernel.call(left.cleanup, &[context, u64::from(left.kind)])?;
        }
        let _ = kernel.pool().free(context, None, kernel.no_site());
    }
    Ok(true)
}

/// What is left on the objects of a filter goes with it.
pub(super) fn release_all(kernel: &Kernel, filter: u64) -> Result<(), Box<Bug>> {
    let mut state = kernel.filters().state();
    let mut own: Vec<_> = state
        .contexts
        .set
        .iter()
        .filter(|((_, _, of), _)| *of == filter)
        .map(|(k, c)| (*k, *c))
        .collect();
    own.sort_unstable();
    state.contexts.set.retain(|(_, _, of), _| *of != filter);
    drop(state);
    for (_, context) in own {
        release(kernel, context)?;
    }
    Ok(())
}

fn reference(cx: &Cx<'_>, context: u64) -> Result<(), Trap> {
    let kernel = cx.kernel();
    match kernel.filters().state().contexts.all.get_mut(&context) {
        Some(found) => found.references += 1,
        None => return Err(cx.misuse(format!("{context:#x} is no context, or is gone"))),
    }
    kernel.ledger().owe(Debt::Context, context, cx.site());
    Ok(())
}

/// The filter that a set or get is for: an instance names its own.
fn filter_of(cx: &Cx<'_>, instance: u64) -> Result<u64, Trap> {
    let found = cx.kernel().filters().filter_of_instance(instance);
    let found = found.ok_or_else(|| cx.misuse(format!("{instance:#x} is no instance")))?;
    Ok(found.address())
}

fn set(
    cx: &Cx<'_>,
    (object, kind, filter): (u64, u16, u64),
    operation: u32,
    new: u64,
    old: u64,
) -> Result<NtStatus, Trap> {
    let kernel = cx.kernel();
    let known = kernel.filters().state().contexts.all.get(&new).map(|context| context.kind);
    if known != Some(kind) {
        return Err(cx.misuse(format!("{new:#x} is no context of this kind")));
    }
    if old != 0 {
        guest::write(old, 0u64)?;
    }
    let place = (object, kind, filter);
    let there = kernel.filters().state().contexts.set.get(&place).copied();
    if let Some(there) = there.filter(|_| operation == KEEP_IF_EXISTS) {
        if old != 0 {
            reference(cx, there)?;
            guest::write(old, there)?;
        }
        return Ok(ALREADY_DEFINED);
    }
    reference(cx, new)?;
    kernel.filters().state().contexts.set.insert(place, new);
    match there {
        // The reference that the object held goes to the caller, or back.
        Some(there) if old != 0 => guest::write(old, there)?,
        Some(there) => {
            release(kernel, there)?;
        }
        None => {}
    }
    Ok(NtStatus::SUCCESS)
}

fn get(cx: &Cx<'_>, place: (u64, u16, u64), out: u64) -> Result<NtStatus, Trap> {
    let there = cx.kernel().filters().state().contexts.set.get(&place).copied();
    guest::write(out, there.unwrap_or(0))?;
    let Some(there) = there else { return Ok(NtStatus::NOT_FOUND) };
    reference(cx, there)?;
    Ok(NtStatus::SUCCESS)
}

fn delete(cx: &Cx<'_>, place: (u64, u16, u64), old: u64) -> Result<NtStatus, Trap> {
    let kernel = cx.kernel();
    let there = kernel.filters().state().contexts.set.remove(&place);
    if old != 0 {
        guest::write(old, there.unwrap_or(0))?;
    }
    match there {
        None => return Ok(NtStatus::NOT_FOUND),
        Some(there) if old == 0 => drop(release(kernel, there)?),
        Some(_) => {}
    }
    Ok(NtStatus::SUCCESS)
}

apis! {
    // [DDI: fltkernel/nf-fltkernel-fltallocatecontext]
    fltmgr [APC, 500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltAllocateContext(cx, filter: u64, kind: u16, size: u64, pool: u32, out: u64) -> NtStatus {
        let kernel = cx.kernel();
        guest::write(out, 0u64)?;
        let Some(owner) = kernel.filters().filter(filter) else {
            return Err(cx.misuse(format!("{filter:#x} is no registered filter")));
        };
        let of_kind = |known: &&Kind| {
            known.kind == kind && (known.size == VARIABLE_SIZE || known.size >= size)
        };
        let Some(registered) = owner.contexts.iter().find(of_kind) else {
            return Ok(NtStatus(0xC01C_0016)); // STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND
        };
        let request = Request {
            size: size as usize,
            tag: registered.tag,
            paged: pool & NON_PAGED == 0,
            zeroed: false,
            site: cx.cheap_site(),
        };
        let context = kernel.pool().allocate(request);
        let new = Context { kind, filter, cleanup: registered.cleanup, references: 1 };
        kernel.filters().state().contexts.all.insert(context, new);
        kernel.ledger().owe(Debt::Context, context, cx.site());
        guest::write(out, context)?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [APC, 100]
    fn FltReferenceContext(cx, context: u64) -> () {
        reference(cx, context)
    }

    fltmgr [DISPATCH, 300]
    fn FltReleaseContext(cx, context: u64) -> () {
        if !release(cx.kernel(), context)? {
            return Err(cx.misuse(format!("{context:#x} is no context, or released too often")));
        }
        Ok(())
    }

    fltmgr [APC, 300, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltSetInstanceContext(cx, instance: u64, operation: u32, new: u64, old: u64) -> NtStatus {
        let place = (instance, INSTANCE, filter_of(cx, instance)?);
        set(cx, place, operation, new, old)
    }

    fltmgr [APC, 300]
    fn FltGetInstanceContext(cx, instance: u64, out: u64) -> NtStatus {
        let place = (instance, INSTANCE, filter_of(cx, instance)?);
        get(cx, place, out)
    }

    fltmgr [APC, 300]
    fn FltDeleteInstanceContext(cx, instance: u64, old: u64) -> NtStatus {
        let place = (instance, INSTANCE, filter_of(cx, instance)?);
        delete(cx, place, old)
    }

    fltmgr [APC, 300, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltSetVolumeContext(cx, volume: u64, operation: u32, new: u64, old: u64) -> NtStatus {
        // A volume is everybody's; the context says whose it is.
        let known = cx.kernel().filters().state().contexts.all.get(&new).copied();
        let filter = known.map_or(0, |context| context.filter);
        set(cx, (volume, VOLUME, filter), operation, new, old)
    }

    fltmgr [APC, 300]
    fn FltGetVolumeContext(cx, filter: u64, volume: u64, out: u64) -> NtStatus {
        get(cx, (volume, VOLUME, filter), out)
    }

    fltmgr [APC, 300]
    fn FltSetStreamHandleContext(_cx, _instance: u64, _file: u64, _operation: u32, _new: u64,
        old: u64) -> NtStatus {
        if old != 0 {
            guest::write(old, 0u64)?;
        }
        Ok(NtStatus::NOT_SUPPORTED)
    }

    fltmgr [APC, 300]
    fn FltGetStreamHandleContext(_cx, _instance: u64, _file: u64, out: u64) -> NtStatus {
        guest::write(out, 0u64)?;
        Ok(NtStatus::NOT_SUPPORTED)
    }
}
