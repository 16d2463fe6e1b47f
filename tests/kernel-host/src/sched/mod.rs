//! Threads, waits and time.
//!
//! Driver threads are OS threads. A dispatcher object's `SignalState` lies in driver memory; it
//! is read and changed only under one mutex a kernel, and one condition variable wakes every
//! waiter to look again. Time is the machine's clock, which `Kernel::advance` can move.

mod clock;
mod dispatcher;
mod thread;

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use clock::{Clock, MachineClock};
pub(crate) use dispatcher::{EVENT_SIZE, clear_event, event_type, set_event, wait};
pub(crate) use thread::{ThreadObject, Threads, create_system_thread};

use crate::bug::BugKind;
use crate::cpu::{Kpcr, Trap};
use crate::kernel::Kernel;

/// 100-nanosecond units of a duration.
pub(crate) fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// When a wait gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    Never,
    /// Interrupt time.
    Interrupt(i64),
    /// System time.
    System(i64),
    /// Real time, for the host's own waits.
    Real(Instant),
}

impl Deadline {
    /// From a timeout as NT passes it: negative relative, positive absolute.
    pub(crate) fn from_timeout(kernel: &Kernel, timeout: Option<i64>) -> Deadline {
        match timeout {
            None => Deadline::Never,
            Some(relative) if relative <= 0 => {
                let start = kernel.clock().interrupt_time();
                Deadline::Interrupt(start.saturating_add(relative.saturating_neg()))
            }
            Some(absolute) => Deadline::System(absolute),
        }
    }

    /// Real time left, `None` for ever.
    fn left(self, kernel: &Kernel) -> Option<Duration> {
        let of_ticks = |ticks: i64| Duration::from_nanos(ticks.max(0) as u64 * 100);
        match self {
            Deadline::Never => None,
            Deadline::Interrupt(end) => Some(of_ticks(end - kernel.clock().interrupt_time())),
            Deadline::System(end) => Some(of_ticks(end - kernel.clock().system_time())),
            Deadline::Real(end) => Some(end.saturating_duration_since(Instant::now())),
        }
    }
}

/// The one lock and the one condition variable of a kernel.
#[derive(Default)]
pub(crate) struct Sched {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Sched {
    /// Changes something that a waiter may look at.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change();
        drop(guard);
        self.changed.notify_all();
        result
    }

    /// Wakes every waiter to look again.
    pub(crate) fn wake(&self) {
        self.change(|| ());
    }

    /// Blocks until `poll`, which runs under the lock, has a value; `None` at the deadline.
    ///
    /// A thread that the test itself brought into the driver must not wait for ever: past the
    /// kernel's hang limit that is a report.
    pub(crate) fn block<T>(
        &self,
        kernel: &Kernel,
        deadline: Deadline,
        mut poll: impl FnMut() -> Result<Option<T>, Trap>,
    ) -> Result<Option<T>, Trap> {
        let kpcr = Kpcr::current();
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = poll()? {
            return Ok(Some(value));
        }
        let patience = match deadline {
            Deadline::Never if !kpcr.system_thread.get() => {
                Some(Instant::now() + kernel.hang_limit())
            }
            _ => None,
        };
        let _waiting = Waiting::begin(kpcr);
        loop {
            if kernel.is_stopping() {
                return Err(BugKind::Stopped.into());
            }
            let left = deadline.left(kernel);
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            if patience.is_some_and(|end| Instant::now() > end) {
                return Err(BugKind::Hang.into());
            }
            let mut nap = left.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(1));
            if let Some(next) = kernel.requests().next(kernel, kpcr.shared.tid as i64) {
                nap = nap.min(next);
            }
            let (next, _) =
                self.changed.wait_timeout(guard, nap).unwrap_or_else(PoisonError::into_inner);
            guard = next;
            if let Some(value) = poll()? {
                return Ok(Some(value));
            }
        }
    }
}

/// Marks a thread as sleeping for the watchdog.
struct Waiting<'a>(&'a Kpcr);

impl<'a> Waiting<'a> {
    fn begin(kpcr: &'a Kpcr) -> Waiting<'a> {
        kpcr.shared.waiting.store(true, Ordering::Relaxed);
        Waiting(kpcr)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.shared.waiting.store(false, Ordering::Relaxed);
    }
}
