//! A machine's clock: real time that a test can move forward, or time that only a test moves.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

/// 2026-01-01 00:00:00 UTC in 100-nanosecond units since 1601.
const FIRST_BOOT: i64 = 134_116_992_000_000_000;
/// Units in a minute.
const MINUTE: i64 = 600_000_000;
/// Units from 1601 to 1970.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// The clock of a machine; goes on across boots.
#[derive(Debug)]
pub(crate) struct MachineClock {
    start: Instant,
    /// Real time does not count.
    stands: AtomicBool,
    /// What `advance` added.
    skipped: AtomicI64,
    /// Time that the machine slept.
    slept: AtomicI64,
    /// What system time is ahead of the machine's own time.
    system: AtomicI64,
}

impl Default for MachineClock {
    fn default() -> MachineClock {
        MachineClock {
            start: Instant::now(),
            stands: AtomicBool::new(false),
            skipped: AtomicI64::new(0),
            slept: AtomicI64::new(0),
            system: AtomicI64::new(FIRST_BOOT),
        }
    }
}

impl MachineClock {
    pub(crate) fn now(&self) -> i64 {
        let real = if self.stands.load(Ordering::Relaxed) { 0 } else { self.real() };
        real + self.skipped.load(Ordering::Relaxed)
    }

    fn real(&self) -> i64 {
        super::ticks(self.start.elapsed())
    }

    /// From now on only `advance` moves it, or real time too. What has passed is rounded up to a
    /// minute first, so that a new machine's clock stands where it stood the time before.
    pub(crate) fn stand(&self, stands: bool) {
        if self.stands.swap(stands, Ordering::Relaxed) == stands {
            return;
        }
        if stands {
            let now = self.real() + self.skipped.load(Ordering::Relaxed);
            self.skipped.store((now / MINUTE + 1) * MINUTE, Ordering::Relaxed);
        } else {
            self.skipped.fetch_sub(self.real(), Ordering::Relaxed);
        }
    }

    /// A clock that says the same, and stands if this one does.
    pub(crate) fn copy(&self) -> MachineClock {
        MachineClock {
            start: Instant::now(),
            stands: AtomicBool::new(self.stands.load(Ordering::Relaxed)),
            skipped: AtomicI64::new(self.now()),
            slept: AtomicI64::new(self.slept.load(Ordering::Relaxed)),
            system: AtomicI64::new(self.system.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn advance(&self, ticks: i64) {
        self.skipped.fetch_add(ticks, Ordering::Relaxed);
    }

    fn slept(&self) -> i64 {
        self.slept.load(Ordering::Relaxed)
    }

    /// The machine sleeps. Timeouts do not count that. [DDI:
    /// wdm/nf-wdm-kequeryunbiasedinterrupttime]
    pub(crate) fn sleep(&self, ticks: i64) {
        self.slept.fetch_add(ticks, Ordering::Relaxed);
    }

    pub(crate) fn system_time(&self) -> i64 {
        self.now() + self.slept.load(Ordering::Relaxed) + self.system.load(Ordering::Relaxed)
    }

    /// Sets system time from seconds since 1970, as a user who sets the clock.
    pub(crate) fn set_unix_time(&self, seconds: u64) {
        let wanted = UNIX_EPOCH + seconds as i64 * 10_000_000;
        self.system.fetch_add(wanted - self.system_time(), Ordering::Relaxed);
    }
}

/// The clock of one kernel: interrupt time counts from its boot.
#[derive(Debug)]
pub(crate) struct Clock {
    machine: crate::machine::Machine,
    boot: i64,
    slept: i64,
}

impl Clock {
    pub(crate) fn new(machine: crate::machine::Machine) -> Clock {
        let (boot, slept) = (machine.clock().now(), machine.clock().slept());
        Clock { machine, boot, slept }
    }

    /// The same with the time that the machine slept since.
    pub(crate) fn biased_interrupt_time(&self) -> i64 {
        self.interrupt_time() + self.machine.clock().slept() - self.slept
    }

    /// 100-nanosecond units since boot; never 0.
    pub(crate) fn interrupt_time(&self) -> i64 {
        self.machine.clock().now() - self.boot + 1
    }

    /// 100-nanosecond units since 1601.
    pub(crate) fn system_time(&self) -> i64 {
        self.machine.clock().system_time()
    }
}
