//! The driver's look at itself: it opens a pipe that does not exist, from the worker's thread and
//! through the whole I/O path, and its own filter must see that.

use core::sync::atomic::{AtomicBool, Ordering};

use driver_abi::Probe;
use driver_core::Position;
use driver_core::probe::{self, Attempt, NAME_UNITS, Probing};

use crate::ffi::create::PipeCreate;
use crate::ffi::probe::{ThreadMark, open};
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{PushLock, now};
use crate::ffi::utf16;

/// Where pipes are.
const ROOT: &[u16; 17] = &utf16("\\Device\\NamedPipe");

/// What is known of the probes.
pub struct SelfProbe {
    probing: PushLock<Probing>,
    /// The thread that probes now.
    thread: ThreadMark,
    name: PushLock<[u16; NAME_UNITS]>,
    seen: AtomicBool,
}

impl SelfProbe {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    #[inline(never)]
    pub fn new() -> Result<Self> {
        Ok(Self {
            probing: PushLock::new(Probing::default())?,
            thread: ThreadMark::new(),
            name: PushLock::new([0; NAME_UNITS])?,
            seen: AtomicBool::new(false),
        })
    }

    /// Probes if that is due. `attached` is asked before and after. On the worker's thread alone,
    /// with nothing held.
    pub fn tick(&self, content: Option<Position>, attached: impl Fn() -> bool) {
        if !self.probing.lock().is_due(now(), attached(), content) {
            return;
        }
        let name = probe::name(now());
        *self.name.lock() = name;
        self.seen.store(false, Ordering::Relaxed);
        let mut path = [0; ROOT.len() + NAME_UNITS];
        for (to, from) in path.iter_mut().zip(ROOT.iter().chain(&name)) {
            *to = *from;
        }
        self.probing.lock().begin(now());
        self.thread.set();
        let outcome = open(&path);
        self.thread.clear();
        self.probing.lock().note(
            now(),
            Attempt {
                seen: self.seen.load(Ordering::Relaxed),
                attached: attached(),
                short_of_memory: outcome == Err(NtStatus::NO_RESOURCES),
            },
        );
    }

    /// True when `create` is the probe of now: then it has been seen, and is nobody's event.
    #[inline]
    pub fn sees(&self, create: &PipeCreate<'_>) -> bool {
        self.thread.asked_for(create) && self.is_named(create)
    }

    #[inline(never)]
    fn is_named(&self, create: &PipeCreate<'_>) -> bool {
        let is_it = create.name() == Some(self.name.lock().as_slice());
        if is_it {
            self.seen.store(true, Ordering::Relaxed);
        }
        is_it
    }

    /// What the last probe said.
    pub fn said(&self) -> Probe {
        self.probing.lock().said()
    }

    /// The probe that does not come back, if there is one.
    pub fn held(&self) -> Option<Probe> {
        self.probing.lock().held(now())
    }
}
