//! Attaching filters to NPFS and taking an operation through them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::operation::{Outcome, PreOperation, PreStatus, Request};
use super::{Filter, Operation};
use crate::bug::{Bug, BugKind};
use crate::cpu::Kpcr;
use crate::guest::{self, Fault, GuestBlock};
use crate::kernel::Kernel;
use crate::machine::Phase;
use crate::npfs::PipeEnd;
use crate::sched::Deadline;
use crate::status::NtStatus;

const FILE_DEVICE_NAMED_PIPE: u64 = 0x11;
const FLT_FSTYPE_NPFS: u64 = 25;
const AUTOMATIC_ATTACHMENT: u64 = 1;
const NEWLY_MOUNTED: u64 = 4;
const STATUS_FLT_DISALLOW_FAST_IO: u32 = 0xC01C_0004;

impl Kernel {
    /// Offers NPFS to every started filter that supports it and has no instance yet. Does nothing
    /// before NPFS is there.
    pub(crate) fn attach_filters(&self) -> Result<(), Box<Bug>> {
        if self.machine().phase() < Phase::Running {
            return Ok(());
        }
        let filters: Vec<_> = self.filters().state().filters.clone();
        for filter in filters {
            let wanted = filter.supports_npfs
                && filter.started.load(Ordering::Acquire)
                && !filter.draining.load(Ordering::Acquire)
                && filter.instance().is_none();
            if wanted && !filter.offered.swap(true, Ordering::AcqRel) {
                self.attach(&filter)?;
            }
        }
        Ok(())
    }

    /// Whether operations reach NPFS past all filters, as they do where somebody took hold of its
    /// device. The filters stay attached and are told nothing.
    pub fn bypass_filters(&self, bypassed: bool) {
        self.filters().bypassed.store(bypassed, Ordering::Release);
    }

    /// Whether whoever creates or opens a pipe waits, as he does where a filter at the top of the
    /// stack keeps the operation. With `false` those that wait go on.
    pub fn hold_pipes(&self, held: bool) {
        self.sched().change(|| self.filters().held.store(held, Ordering::Release));
    }

    /// The volumes other than NPFS that filters attached to: the filter manager offers every one,
    /// and a filter for pipes must refuse them.
    pub fn attachments_elsewhere(&self) -> Vec<&'static str> {
        let filters: Vec<_> = self.filters().state().filters.clone();
        filters.iter().flat_map(|filter| filter.elsewhere().clone()).collect()
    }

    fn attach(&self, filter: &Filter) -> Result<(), Box<Bug>> {
        for (volume, device_type, filesystem) in OTHER_VOLUMES {
            if self.offer(filter, &GuestBlock::new(64), device_type, filesystem)? {
                filter.elsewhere().push(volume);
            }
        }
        let instance = Arc::new(GuestBlock::new(64));
        if self.offer(filter, &instance, FILE_DEVICE_NAMED_PIPE, FLT_FSTYPE_NPFS)? {
            *filter.instance.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(instance);
        }
        Ok(())
    }

    /// Asks a filter whether it attaches to a volume; one without a setup callback always does.
    fn offer(
        &self,
        filter: &Filter,
        instance: &GuestBlock,
        device_type: u64,
        filesystem: u64,
    ) -> Result<bool, Box<Bug>> {
        if filter.setup == 0 {
            return Ok(true);
        }
        let related = self.related_objects(filter, instance.address());
        let flags = AUTOMATIC_ATTACHMENT | NEWLY_MOUNTED;
        let arguments = [related.address(), flags, device_type, filesystem];
        let answer = self.as_system(|| self.call(filter.setup, &arguments))?;
        Ok(NtStatus::from_register(answer.value).is_success())
    }

    /// FLT_RELATED_OBJECTS of a filter's instance on NPFS, without a file.
    pub(super) fn related_objects(&self, filter: &Filter, instance: u64) -> GuestBlock {
        let related = GuestBlock::new(0x30);
        let words = [0x30, filter.address(), self.filters().volume.address(), instance];
        for (index, word) in words.into_iter().enumerate() {
            guest::write(related.address() + 8 * index as u64, word).expect("own memory");
        }
        related
    }
}

/// Volumes that are offered besides NPFS: name, device type, `FLT_FILESYSTEM_TYPE`.
const OTHER_VOLUMES: [(&str, u64, u64); 3] = [
    (r"\Device\Mailslot", 0x0C, 26),
    (r"\Device\HarddiskVolume3", 0x08, 2),
    (r"\Device\Mup", 0x14, 13),
];

/// A callback is running: unregistering waits for it.
pub(super) struct Busy<'a> {
    kernel: &'a Kernel,
    filter: &'a Filter,
}

impl<'a> Busy<'a> {
    pub(super) fn begin(kernel: &'a Kernel, filter: &'a Filter) -> Option<Busy<'a>> {
        // In one order for all, with the store and the load of whoever unregisters the filter.
        filter.busy.fetch_add(1, Ordering::SeqCst);
        let busy = Busy { kernel, filter };
        (!filter.draining.load(Ordering::SeqCst)).then_some(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.filter.busy.fetch_sub(1, Ordering::AcqRel);
        if self.filter.draining.load(Ordering::Acquire) {
            self.kernel.sched().wake();
        }
    }
}

/// Takes an operation down and up the stack; `meanwhile` happens when NPFS is done with it.
pub(super) fn run(operation: &PreOperation, meanwhile: &dyn Fn()) -> Result<Outcome, Box<Bug>> {
    let kernel = &*operation.kernel;
    let held = || kernel.filters().held.load(Ordering::Acquire);
    let until_let_go = || Ok((!held()).then_some(()));
    if held() && kernel.sched().block(kernel, Deadline::Never, until_let_go).is_err() {
        return Err(kernel.crash_or_stopped());
    }
    let bypassed = kernel.filters().bypassed.load(Ordering::Acquire);
    let filters = if bypassed { Vec::new() } else { kernel.filters().attached() };
    let mut outcome = Outcome {
        status: NtStatus::SUCCESS,
        information: 0,
        pre: None,
        stack_used: 0,
        stack_charged: 0,
        end: None,
    };
    host(operation.set_status(NtStatus::SUCCESS, 0));
    let mut waiting = Vec::new();
    let mut completed = false;
    for filter in &filters {
        let Some(callbacks) = filter.operation(operation.major) else {
            continue;
        };
        let Some(busy) = Busy::begin(kernel, filter) else {
            continue;
        };
        let Some(instance) = filter.instance() else {
            continue;
        };
        let mut context = 0;
        let mut answer = PreStatus::SuccessWithCallback;
        if callbacks.pre != 0 {
            host(operation.arm(
                filter.address(),
                kernel.filters().volume.address(),
                instance.address(),
            ));
            answer = call_pre(operation, callbacks, &mut outcome)?;
            context = host(guest::read(operation.context_slot()));
            outcome.pre.get_or_insert(answer);
        }
        match answer {
            PreStatus::Complete => {
                completed = true;
                break;
            }
            PreStatus::SuccessWithCallback if callbacks.post != 0 => {
                waiting.push((busy, filter, instance, callbacks.post, context));
            }
            _ => {}
        }
    }
    if !completed {
        let (status, information, end) = below(operation);
        outcome.end = end;
        host(operation.set_status(status, information));
    }
    meanwhile();
    while let Some((busy, filter, instance, post, context)) = waiting.pop() {
        let volume = kernel.filters().volume.address();
        host(operation.arm(filter.address(), volume, instance.address()));
        call_post(operation, post, context, filter, &mut outcome)?;
        drop(busy);
    }
    (outcome.status, outcome.information) = host(operation.status());
    if !outcome.status.is_success() {
        outcome.end = None;
    }
    Ok(outcome)
}

/// Only the topmost filter's pre-operation callback.
pub(super) fn run_pre(operation: &PreOperation) -> Result<Option<PreStatus>, Box<Bug>> {
    let kernel = &*operation.kernel;
    let state = kernel.filters().state();
    let found = state.filters.iter().find(|filter| filter.operation(operation.major).is_some());
    let Some(filter) = found.cloned() else {
        return Ok(None);
    };
    drop(state);
    let Some(callbacks) = filter.operation(operation.major) else {
        return Ok(None);
    };
    let instance = filter.instance().map_or(0, |instance| instance.address());
    host(operation.arm(filter.address(), kernel.filters().volume.address(), instance));
    let arguments = [operation.data(), operation.related(), operation.context_slot()];
    let answer = kernel.call(callbacks.pre, &arguments)?;
    judge(operation, callbacks, answer.value as u32).map(Some)
}

fn call_pre(
    operation: &PreOperation,
    callbacks: Operation,
    outcome: &mut Outcome,
) -> Result<PreStatus, Box<Bug>> {
    let arguments = [operation.data(), operation.related(), operation.context_slot()];
    let returned = operation.kernel.call(callbacks.pre, &arguments)?;
    note_stack(operation, returned.stack_charged, outcome);
    judge(operation, callbacks, returned.value as u32)
}

fn call_post(
    operation: &PreOperation,
    post: u64,
    context: u64,
    filter: &Filter,
    outcome: &mut Outcome,
) -> Result<(), Box<Bug>> {
    const FINISHED: u32 = 0;
    const DRAINING: u64 = 1;
    // A filter that is being unregistered gets its context back before the operation is done, and
    // may not look at its status. [DDI: fltkernel/nc-fltkernel-pflt_post_operation_callback]
    let draining = filter.draining.load(Ordering::Acquire);
    let (status, information) = host(operation.status());
    if draining {
        host(operation.set_status(NtStatus(0xDEAD_DEAD), u64::MAX));
    }
    let flags = if draining { DRAINING } else { 0 };
    let arguments = [operation.data(), operation.related(), context, flags];
    let returned = operation.kernel.call(post, &arguments)?;
    if draining {
        host(operation.set_status(status, information));
    }
    note_stack(operation, returned.stack_charged, outcome);
    match returned.value as u32 {
        FINISHED => Ok(()),
        other => Err(refuse(operation, post, format!("post-operation callback returned {other}"))),
    }
}

fn note_stack(operation: &PreOperation, charged: usize, outcome: &mut Outcome) {
    outcome.stack_charged = outcome.stack_charged.max(charged);
    if operation.kernel.is_checked() {
        outcome.stack_used = outcome.stack_used.max(Kpcr::current().high_water());
    }
}

/// The answer of a pre-operation callback, and whether it may answer so.
fn judge(
    operation: &PreOperation,
    callbacks: Operation,
    answer: u32,
) -> Result<PreStatus, Box<Bug>> {
    let refuse = |why: &str| Err(refuse(operation, callbacks.pre, why.to_owned()));
    let context: u64 = host(guest::read(operation.context_slot()));
    let (status, _) = host(operation.status());
    match answer {
        0 if callbacks.post == 0 => {
            refuse("a post-operation callback was asked for but none is registered")
        }
        0 => Ok(PreStatus::SuccessWithCallback),
        1 | 4 if context != 0 => {
            refuse("a completion context was set without asking for a callback")
        }
        1 => Ok(PreStatus::SuccessNoCallback),
        4 if status == NtStatus::PENDING || status.0 == STATUS_FLT_DISALLOW_FAST_IO => {
            refuse("an operation was completed with a status that is not allowed")
        }
        4 => Ok(PreStatus::Complete),
        2 => refuse("a create was pended, which is not modelled"),
        5 => refuse("a create was synchronized, which is not allowed"),
        3 | 6 => refuse("the answer does not apply to this operation"),
        other => refuse(&format!("unknown answer {other}")),
    }
}

fn refuse(operation: &PreOperation, callback: u64, why: String) -> Box<Bug> {
    let kernel = &*operation.kernel;
    let bug = Bug::at(kernel, BugKind::Filter(why), callback);
    kernel.crash(&bug);
    Box::new(bug)
}

/// What NPFS makes of the request.
fn below(operation: &PreOperation) -> (NtStatus, u64, Option<PipeEnd>) {
    let kernel = &*operation.kernel;
    match operation.request {
        Request::Create(request) => match kernel.npfs().create(kernel, &operation.below, request) {
            Ok((information, end)) => (NtStatus::SUCCESS, information, Some(end)),
            Err(status) => (status, 0, None),
        },
        Request::Connect(access) => match kernel.npfs().connect(kernel, &operation.below, access) {
            Ok((information, end)) => (NtStatus::SUCCESS, information, end),
            Err(status) => (status, 0, None),
        },
    }
}

/// Access to the operation's own block, which is always mapped.
fn host<T>(result: Result<T, Fault>) -> T {
    result.expect("the operation's own memory")
}
