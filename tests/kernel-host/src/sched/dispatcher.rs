//! Dispatcher objects: events, threads and processes as they lie in driver memory.

use super::Deadline;
use crate::cpu::{Cx, Trap};
use crate::guest::{self, Fault};
use crate::kernel::Kernel;
use crate::status::NtStatus;

/// `KEVENT` in 32-bit words, as `KeInitializeEvent` notes it.
pub(crate) const EVENT_SIZE: u8 = 6;
const NOTIFICATION_EVENT: u8 = 0;
const SYNCHRONIZATION_EVENT: u8 = 1;
const PROCESS: u8 = 3;
/// Timers, notification and synchronization.
pub(crate) const TIMERS: [u8; 2] = [8, 9];
const THREAD: u8 = 6;
const SIGNAL_STATE: u64 = 4;

/// The type byte of an event, or `None` when there is no event at the address.
pub(crate) fn event_type(event: u64) -> Result<Option<u8>, Fault> {
    let kind: u8 = guest::read(event)?;
    let size: u8 = guest::read(event + 2)?;
    Ok((kind <= SYNCHRONIZATION_EVENT && size == EVENT_SIZE).then_some(kind))
}

/// Signals an event; returns whether it was signalled before.
pub(crate) fn set_event(kernel: &Kernel, event: u64) -> Result<i32, Fault> {
    kernel.sched().change(|| {
        let old: i32 = guest::read(event + SIGNAL_STATE)?;
        guest::write(event + SIGNAL_STATE, 1i32)?;
        Ok(old)
    })
}

/// Unsignals an event; returns whether it was signalled before.
pub(crate) fn clear_event(kernel: &Kernel, event: u64) -> Result<i32, Fault> {
    kernel.sched().change(|| {
        let old: i32 = guest::read(event + SIGNAL_STATE)?;
        guest::write(event + SIGNAL_STATE, 0i32)?;
        Ok(old)
    })
}

fn is_signalled(object: u64) -> Result<bool, Fault> {
    Ok(guest::read::<i32>(object + SIGNAL_STATE)? > 0)
}

/// Takes what a satisfied wait takes.
fn consume(object: u64) -> Result<(), Fault> {
    if [SYNCHRONIZATION_EVENT, TIMERS[1]].contains(&guest::read(object)?) {
        guest::write(object + SIGNAL_STATE, 0i32)?;
    }
    Ok(())
}

/// Waits for one or for all of some objects.
pub(crate) fn wait(
    cx: &Cx<'_>,
    objects: &[u64],
    all: bool,
    timeout: Option<i64>,
) -> Result<NtStatus, Trap> {
    for object in objects {
        let kind: u8 = guest::read(*object)?;
        let known = match kind {
            NOTIFICATION_EVENT | SYNCHRONIZATION_EVENT => event_type(*object)?.is_some(),
            THREAD | PROCESS => true,
            other => TIMERS.contains(&other),
        };
        if !known {
            return Err(cx.misuse(format!("wait on {object:#x}, which is no initialised event")));
        }
    }
    let kernel = cx.kernel();
    let poll = || -> Result<Option<u32>, Trap> {
        // The last step of a thread's own requests runs while it waits.
        kernel.requests().deliver(kernel, cx.kpcr().shared.tid as i64)?;
        if all {
            for object in objects {
                if !is_signalled(*object)? {
                    return Ok(None);
                }
            }
            for object in objects {
                consume(*object)?;
            }
            return Ok(Some(0));
        }
        for (index, object) in objects.iter().enumerate() {
            if is_signalled(*object)? {
                consume(*object)?;
                return Ok(Some(index as u32));
            }
        }
        Ok(None)
    };
    let deadline = Deadline::from_timeout(kernel, timeout);
    Ok(kernel.sched().block(kernel, deadline, poll)?.map_or(NtStatus::TIMEOUT, NtStatus))
}
