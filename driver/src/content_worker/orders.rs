//! What others ask of the worker. Nobody waits for it, except a shutdown, and that not for long.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use driver_core::journal::BodyId;

use super::{CLOSE_PATIENCE, LOOK_PATIENCE};
use crate::ffi::status::Result;
use crate::ffi::sync::{Event, PushLock, SECOND, now};
use crate::sensor::Sensor;

/// A turn of the worker that takes longer waits for the file system.
const BUSY_PATIENCE: u64 = LOOK_PATIENCE.saturating_add(5 * SECOND);
/// How long a shutdown waits for the worker's last word, which may follow a turn.
const SHUTDOWN_PATIENCE: u64 = CLOSE_PATIENCE.saturating_add(SECOND);

/// Whose strikes are to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pardon {
    /// Every body's.
    All,
    /// One body's.
    Body(BodyId),
}

/// What is asked, and how far the worker is.
pub struct Orders {
    reload: AtomicBool,
    pardon: PushLock<Option<Pardon>>,
    shutting_down: AtomicBool,
    over: AtomicBool,
    last_word: Event,
    busy_since: AtomicU64,
}

impl Orders {
    /// Nothing is asked.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    #[inline(never)]
    pub fn new() -> Result<Self> {
        Ok(Self {
            reload: AtomicBool::new(false),
            pardon: PushLock::new(None)?,
            shutting_down: AtomicBool::new(false),
            over: AtomicBool::new(false),
            last_word: Event::new()?,
            busy_since: AtomicU64::new(0),
        })
    }

    /// True when the worker has been at one turn for so long that it must be waiting for the file
    /// system, which it cannot tell itself.
    pub fn is_held_up(&self) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed);
        since != 0 && now().saturating_sub(since) > BUSY_PATIENCE
    }

    /// The worker began a turn at this time, or 0: it waits for the next.
    pub(super) fn set_busy(&self, since: u64) {
        self.busy_since.store(since, Ordering::Relaxed);
    }

    /// Takes the order to read every file again.
    pub(super) fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::AcqRel)
    }

    /// Takes the order to forget strikes.
    pub(super) fn take_pardon(&self) -> Option<Pardon> {
        self.pardon.lock().take()
    }

    /// Puts back an order that could not be carried out yet, unless there is a new one.
    pub(super) fn keep_pardon(&self, pardon: Pardon) {
        self.pardon.lock().get_or_insert(pardon);
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }

    /// True once the worker has had its last word, after which it begins nothing.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The worker has had its last word.
    pub(super) fn finish(&self) {
        self.over.store(true, Ordering::Release);
        self.last_word.set();
    }
}

impl Sensor {
    /// Has the worker look into the inbox at once, and read every file there again, also those
    /// that were refused and have not changed. Not before a boot's first minute is over. Any IRQL
    /// up to DISPATCH_LEVEL.
    pub fn reload_now(&self) {
        self.orders.reload.store(true, Ordering::Release);
        self.wake_worker.set();
    }

    /// Has the worker forget what was counted against a body, or against all, in the journal on
    /// the disk too, and read their files again. `false` when an earlier order for another body
    /// has yet to be carried out. PASSIVE_LEVEL.
    pub fn clear_quarantine(&self, pardon: Pardon) -> bool {
        let mut waiting = self.orders.pardon.lock();
        if waiting.is_some_and(|waiting| waiting != pardon && pardon != Pardon::All) {
            return false;
        }
        *waiting = Some(pardon);
        drop(waiting);
        self.reload_now();
        true
    }

    /// The machine goes down in order: content on trial is not to blame for what comes, which the
    /// worker writes down. Waits for that, but not for long. PASSIVE_LEVEL.
    pub fn note_shutdown(&self) {
        self.orders.shutting_down.store(true, Ordering::Release);
        self.wake_worker.set();
        self.orders.last_word.wait(SHUTDOWN_PATIENCE);
    }
}
