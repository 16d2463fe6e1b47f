//! Handles, object references, `ZwClose`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cpu::{ANY, Cx, DISPATCH, PASSIVE, Trap, apis};
use crate::guest::{self, Fault, GuestBlock};
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::machine::FileInfo;
use crate::npfs::PipeEnd;
use crate::sched::{EVENT_SIZE, ThreadObject, clear_event, set_event, wait};
use crate::status::NtStatus;

/// Bits that every kernel handle has.
const KERNEL_HANDLE: u64 = 0xFFFF_FFFF_8000_0000;

/// A directory that is being listed.
#[derive(Debug)]
pub(crate) struct Listing {
    pub entries: Vec<FileInfo>,
    pub next: usize,
}

/// A file opened by a driver.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// The disk's number of it.
    pub open: u64,
    /// What it was opened for, as the driver asked.
    pub access: u32,
    /// Opened for synchronous I/O, so it has a position.
    pub synchronous: bool,
    pub position: Mutex<u64>,
    pub listing: Mutex<Option<Listing>>,
    /// The FILE_OBJECT.
    pub body: GuestBlock,
    /// Its handle is closed; requests may still go on.
    pub closed: AtomicBool,
}

/// An event known by a handle.
#[derive(Debug)]
pub(crate) struct EventObject {
    body: GuestBlock,
}

impl EventObject {
    /// One of kind 0, which stays signalled, or 1, which wakes one waiter.
    pub(crate) fn new(kind: u32, signalled: bool) -> Result<EventObject, Fault> {
        let body = GuestBlock::new(24);
        guest::write(body.address(), kind | u32::from(EVENT_SIZE) << 16)?;
        guest::write(body.address() + 4, i32::from(signalled))?;
        Ok(EventObject { body })
    }

    pub(crate) fn clear(&self, kernel: &Kernel) -> Result<(), Fault> {
        clear_event(kernel, self.body.address()).map(drop)
    }

    pub(crate) fn signal(&self, kernel: &Kernel) -> Result<(), Fault> {
        set_event(kernel, self.body.address()).map(drop)
    }

    /// The same for whoever holds the scheduler's lock, and looks again anyway.
    pub(crate) fn signal_locked(&self) -> Result<(), Fault> {
        guest::write(self.body.address() + 4, 1i32)
    }
}

/// What a handle refers to.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    File(Arc<OpenFile>),
    /// A registry key's path.
    Key(Arc<str>),
    /// A symbolic link's target.
    Link(Arc<str>),
    Thread(Arc<ThreadObject>),
    Event(Arc<EventObject>),
    /// The client end of a pipe; nothing for the root directory.
    Pipe(#[allow(dead_code, reason = "open as long as the handle is")] Option<Arc<PipeEnd>>),
}

#[derive(Debug, Default)]
struct Tables {
    handles: HashMap<u64, Object>,
    /// Objects that a driver knows by address.
    bodies: HashMap<u64, Object>,
    last: u64,
}

/// The handle table and the referenced objects of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Objects(Mutex<Tables>);

impl Objects {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a handle.
    pub(crate) fn insert(&self, cx: &Cx<'_>, object: Object, kernel_handle: bool) -> u64 {
        let mut tables = self.tables();
        tables.last += 4;
        let handle = tables.last | if kernel_handle { KERNEL_HANDLE } else { 0 };
        tables.handles.insert(handle, object);
        drop(tables);
        cx.kernel().ledger().owe(Debt::Handle, handle, cx.site());
        handle
    }

    /// What a handle refers to; a handle that does not exist is a report, as with Verifier.
    pub(crate) fn handle(&self, cx: &Cx<'_>, handle: u64) -> Result<Object, Trap> {
        let found = self.tables().handles.get(&handle).cloned();
        found.ok_or_else(|| cx.misuse(format!("invalid handle {handle:#x}")))
    }

    /// The event that a handle refers to.
    pub(crate) fn event(&self, cx: &Cx<'_>, handle: u64) -> Result<Arc<EventObject>, Trap> {
        match self.handle(cx, handle)? {
            Object::Event(event) => Ok(event),
            _ => Err(cx.misuse("the event handle is no event")),
        }
    }

    fn close(&self, cx: &Cx<'_>, handle: u64) -> Result<(), Trap> {
        let removed = self.tables().handles.remove(&handle);
        let Some(object) = removed else {
            return Err(cx.misuse(format!("close of invalid handle {handle:#x}")));
        };
        cx.kernel().ledger().settle(Debt::Handle, handle);
        if let Object::File(file) = object {
            file.closed.store(true, Ordering::Release);
            if cx.kernel().requests().keep(&file) {
                return Ok(());
            }
            let machine = cx.kernel().machine();
            machine.disk().files().close(file.open);
        }
        Ok(())
    }
}

/// The address and type name of what a handle refers to.
fn body_of(object: &Object) -> Option<(u64, &'static str)> {
    match object {
        Object::File(file) => Some((file.body.address(), "IoFileObjectType")),
        Object::Thread(thread) => Some((thread.address(), "PsThreadType")),
        Object::Event(event) => Some((event.body.address(), "ExEventObjectType")),
        Object::Key(_) | Object::Link(_) | Object::Pipe(_) => None,
    }
}

fn dereference(cx: &Cx<'_>, object: u64) -> Result<i64, Trap> {
    let kernel = cx.kernel();
    if !kernel.ledger().settle(Debt::ObjectReference, object) {
        return Err(cx.misuse(format!("object {object:#x} is dereferenced but not referenced")));
    }
    let left = kernel.ledger().owes(Debt::ObjectReference, object);
    if left == 0 {
        kernel.objects().tables().bodies.remove(&object);
    }
    Ok(left as i64 + 1)
}

apis! {
    ntoskrnl [PASSIVE, 1500]
    fn ZwClose(cx, handle: u64) -> NtStatus {
        cx.kernel().objects().close(cx, handle)?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ObReferenceObjectByHandle(cx, handle: u64, _access: u32, object_type: u64, mode: u8,
        out: u64, _information: u64) -> NtStatus {
        let kernel = cx.kernel();
        let object = kernel.objects().handle(cx, handle)?;
        if mode == 0 && object_type == 0 && matches!(object, Object::Key(_) | Object::Link(_)) {
            return Ok(NtStatus::NOT_SUPPORTED);
        }
        let Some((body, type_name)) = body_of(&object) else {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        if object_type != 0 && object_type != kernel.exports().object_type(type_name) {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        }
        guest::write(out, body)?;
        kernel.objects().tables().bodies.insert(body, object);
        kernel.ledger().owe(Debt::ObjectReference, body, cx.site());
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [DISPATCH, 300]
    fn ObfReferenceObject(cx, object: u64) -> i64 {
        let kernel = cx.kernel();
        let known = kernel.objects().tables().bodies.contains_key(&object)
            || kernel.processes().find(object).is_some()
            || object == cx.kpcr().thread_object();
        if !known {
            return Err(cx.misuse(format!("{object:#x} is no object")));
        }
        kernel.ledger().owe(Debt::ObjectReference, object, cx.site());
        Ok(kernel.ledger().owes(Debt::ObjectReference, object) as i64 + 1)
    }

    ntoskrnl [DISPATCH, 300]
    fn ObfDereferenceObject(cx, object: u64) -> i64 {
        dereference(cx, object)
    }

    ntoskrnl [DISPATCH, 300]
    fn ObDereferenceObjectDeferDelete(cx, object: u64) -> () {
        dereference(cx, object).map(|_| ())
    }

    ntoskrnl [PASSIVE, 1000]
    fn ZwWaitForSingleObject(cx, handle: u64, _alertable: u8, interval: u64) -> NtStatus {
        let object = cx.kernel().objects().handle(cx, handle)?;
        let interval = if interval == 0 { None } else { Some(guest::read::<i64>(interval)?) };
        match object {
            Object::Thread(thread) => wait(cx, &[thread.address()], false, interval),
            Object::Event(event) => wait(cx, &[event.body.address()], false, interval),
            // The requests of a synchronous file are complete when they return.
            Object::File(file) if file.synchronous => Ok(NtStatus::SUCCESS),
            Object::File(_) => Err(cx.misuse("a wait for an asynchronous file is not modelled")),
            Object::Key(_) | Object::Link(_) | Object::Pipe(_) => Ok(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    ntoskrnl [ANY, 20]
    fn ExGetPreviousMode(_cx) -> u8 {
        Ok(0)
    }
}
