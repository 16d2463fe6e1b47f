//! Threads, waits and time.
//!
//! Driver threads are OS threads. A dispatcher object's `SignalState` lies in driver memory; it
//! is read and changed only under one mutex a kernel, and one condition variable wakes every
//! waiter to look again. Time is the machine's clock, which `Kernel::advance` can move.
//!
//! A kernel that was built with a seed has a [`Schedule`]: one thread runs at a time.

mod clock;
mod dispatcher;
mod order;
mod race;
mod schedule;
mod service;
mod thread;

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use clock::{Clock, MachineClock};
pub(crate) use dispatcher::{EVENT_SIZE, TIMERS, clear_event, event_type, set_event, wait};
pub(crate) use order::Orders;
pub use race::{Race, Seeds};
pub use schedule::Played;
pub(crate) use schedule::Schedule;
pub(crate) use service::{Deferred, Service, Services, dpc};
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

    /// After some real time, for the host's own waits.
    pub(crate) fn after(kernel: &Kernel, patience: Duration) -> Deadline {
        match kernel.sched().schedule() {
            Some(_) => Deadline::Interrupt(kernel.clock().interrupt_time() + ticks(patience)),
            None => Deadline::Real(Instant::now() + patience),
        }
    }

    /// The interrupt time in a kernel whose clock is not real time, `None` for never.
    fn interrupt_time(self, kernel: &Kernel) -> Option<i64> {
        let now = kernel.clock().interrupt_time();
        match self {
            Deadline::Never => None,
            Deadline::Interrupt(end) => Some(end),
            Deadline::System(end) => Some(now + (end - kernel.clock().system_time())),
            // Nobody makes one: see `Deadline::after`.
            Deadline::Real(end) => Some(now + ticks(end.saturating_duration_since(Instant::now()))),
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
    schedule: Option<Schedule>,
}

impl Sched {
    /// With a seed, one thread at a time.
    pub(crate) fn new(seed: Option<u64>) -> Sched {
        Sched { schedule: seed.map(Schedule::new), ..Sched::default() }
    }

    /// The schedule of a kernel with a seed.
    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Changes something that a waiter may look at.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change();
        drop(guard);
        match &self.schedule {
            Some(schedule) => schedule.changed(),
            None => self.changed.notify_all(),
        }
        result
    }

    /// Wakes every waiter to look again.
    pub(crate) fn wake(&self) {
        self.change(|| ());
    }

    /// Tries until it succeeds: how a lock is waited for that is no dispatcher object.
    pub(crate) fn spin(
        &self,
        kernel: &Kernel,
        mut attempt: impl FnMut() -> Result<bool, Trap>,
    ) -> Result<(), Trap> {
        if attempt()? {
            return Ok(());
        }
        if let Some(schedule) = &self.schedule {
            let attempt = || Ok(attempt()?.then_some(()));
            return self.block_in_turn(schedule, kernel, None, true, attempt).map(drop);
        }
        let start = Instant::now();
        for turn in 1u32.. {
            if attempt()? {
                break;
            }
            if turn.is_multiple_of(32) {
                if kernel.is_stopping() {
                    return Err(BugKind::Stopped.into());
                }
                if start.elapsed() > kernel.hang_limit() {
                    return Err(BugKind::Hang.into());
                }
                if turn < 1024 {
                    std::thread::yield_now();
                } else {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        }
        Ok(())
    }

    /// A lock that is spun for was given back.
    pub(crate) fn released(&self) {
        if let Some(schedule) = &self.schedule {
            schedule.changed();
        }
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
        if let Some(schedule) = &self.schedule {
            let impatient = matches!(deadline, Deadline::Never) && !kpcr.system_thread.get();
            let deadline = deadline.interrupt_time(kernel);
            return self.block_in_turn(schedule, kernel, deadline, impatient, poll);
        }
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

impl Sched {
    /// The same where one thread runs at a time.
    fn block_in_turn<T>(
        &self,
        schedule: &Schedule,
        kernel: &Kernel,
        deadline: Option<i64>,
        impatient: bool,
        mut poll: impl FnMut() -> Result<Option<T>, Trap>,
    ) -> Result<Option<T>, Trap> {
        let kpcr = Kpcr::current();
        let patience = impatient.then(|| schedule.idle() + schedule::patience());
        let _waiting = Waiting::begin(kpcr);
        loop {
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            let polled = poll()?;
            drop(guard);
            if polled.is_some() {
                return Ok(polled);
            }
            let now = kernel.clock().interrupt_time();
            if kernel.is_stopping() {
                return Err(BugKind::Stopped.into());
            }
            if deadline.is_some_and(|end| end <= now) {
                return Ok(None);
            }
            if patience.is_some_and(|end| end <= schedule.idle()) || schedule.is_endless() {
                return Err(BugKind::Hang.into());
            }
            let request = kernel.requests().next(kernel, kpcr.shared.tid as i64);
            let request = request.map(|left| now + ticks(left));
            schedule.wait(kernel, [deadline, request].into_iter().flatten().min(), patience);
            kernel.hide_paged(kpcr.irql.get() as u8);
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
